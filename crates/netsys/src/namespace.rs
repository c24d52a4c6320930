//! A handle on one network namespace, and running code inside it.
//!
//! Holding a [`NetNs`] keeps the namespace alive. Code enters it only through [`NetNs::run`],
//! which uses a thread of its own that then ends: a thread that changed its namespace never goes
//! back to an executor, so no task of the agent can wake up in a pod by mistake.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::fstat;

/// `_IO(NSIO, 0x3)` of `linux/nsfs.h`: which `CLONE_NEW*` a namespace descriptor stands for.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// One network namespace, kept alive by an open descriptor.
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
    device: u64,
    inode: u64,
}

impl NetNs {
    /// Opens a namespace by path, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// If the file cannot be opened or is not a network namespace.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_fd(File::open(path)?.into())
    }

    /// Takes a descriptor from elsewhere, after asking the kernel whether it is a network
    /// namespace.
    ///
    /// # Errors
    /// `InvalidInput` if it is anything else.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the ioctl takes no argument and `fd` is open for the duration of the call.
        let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
        if kind != libc::CLONE_NEWNET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the descriptor is not a network namespace",
            ));
        }
        let stat = fstat(&fd)?;
        Ok(Self {
            fd,
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    /// A new one, with nothing in it but a loopback interface that is down.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_SYS_ADMIN`, or if the thread that makes it cannot start.
    pub fn fresh() -> io::Result<Self> {
        let make = || -> io::Result<Self> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        };
        thread::scope(|scope| {
            let inside = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, make)?;
            inside
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("panic while making a namespace")))
        })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open("/proc/thread-self/ns/net")
    }

    /// Which namespace this is, as device and inode: equal for two handles on the same one.
    pub fn inode(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// A second handle on the same namespace.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            device: self.device,
            inode: self.inode,
        })
    }

    /// Runs `work` inside the namespace, on a new thread that ends with it.
    ///
    /// The calling thread waits and stays where it is.
    ///
    /// # Errors
    /// If the thread cannot be started, the namespace cannot be entered (no `CAP_SYS_ADMIN`), or
    /// `work` panicked.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, || -> io::Result<T> {
                    setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
                    Ok(work())
                })?;
            inside
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("panic inside a namespace")))
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<NetNs> for OwnedFd {
    fn from(namespace: NetNs) -> Self {
        namespace.fd
    }
}

#[cfg(test)]
mod tests;
