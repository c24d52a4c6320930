//! Processes: descriptors that a child inherits, handles that tell when a process ends, and the
//! settings that keep a process from being read.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// Makes this process unreadable: no core, no ptrace, `/proc/PID` owned by root.
///
/// # Errors
/// As `prctl`.
pub fn set_undumpable() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// Has the kernel kill this process when the *thread* that started it ends.
///
/// A change of credentials clears it, so it is set after one.
///
/// # Errors
/// As `prctl`.
pub fn die_with_parent() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Gives the calling thread an empty network namespace of its own.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_ADMIN`.
pub fn unshare_network() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNET)?)
}

/// Makes the next child of the calling thread the first process of a new pid namespace.
///
/// The thread itself stays where it is and can start no further threads.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_ADMIN`.
pub fn unshare_children() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID)?)
}

/// Has a command hand a descriptor to its child, and says under which number.
///
/// The descriptor stays close-on-exec in this process: no other child gets it by chance. The
/// command owns it; drop the command after the start to close this side's copy.
pub fn pass(command: &mut Command, fd: OwnedFd) -> RawFd {
    let number = fd.as_raw_fd();
    let keep = move || {
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty()))
            .map(drop)
            .map_err(Into::into)
    };
    // SAFETY: between fork and exec the closure makes one system call on a descriptor that it
    // owns; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(keep) };
    number
}

/// Leaves a descriptor open for the program that this process is about to become.
///
/// # Errors
/// As `fcntl`.
pub fn keep_over_exec(fd: &impl AsFd) -> io::Result<()> {
    Ok(fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)?)
}

/// The name under which `ps` and `top` show this process.
///
/// # Errors
/// If it holds a zero byte.
pub fn set_name(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    Ok(prctl::set_name(&name)?)
}

/// Takes a descriptor that this process inherited under a number given on its command line.
///
/// It becomes close-on-exec and non-blocking. Takes each number once: two owners of one
/// descriptor would close each other's.
///
/// # Errors
/// If the number is not open, or is standard input, output or error.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("descriptor {number} is no inherited socket"),
        ));
    }
    // SAFETY: only asks whether the number is open; an unused number gives EBADF.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(
            error.kind(),
            format!("inherited descriptor {number}: {error}"),
        ));
    }
    // SAFETY: the number is open, and by contract of this function it is taken once, at start,
    // from the command line that the parent wrote.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(fd)
}

/// A descriptor that becomes readable when the process ends.
///
/// # Errors
/// If there is no such process.
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers in, a new descriptor or -1 out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made the descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to exactly the process that a [`pidfd`] stands for, never to a later one with
/// the same number.
///
/// # Errors
/// If the process has ended.
pub fn signal(pidfd: &impl AsFd, signal: Signal) -> io::Result<()> {
    // SAFETY: plain numbers and a null `siginfo`, which means "as kill would".
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests;
