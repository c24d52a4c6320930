//! Giving up power for good: what the proxy role and the control role do first thing in `main`.
//!
//! Both run before a second thread exists, so that nothing keeps what is given up here. Every step
//! that fails is an error that the caller ends on; there is no weaker mode. The order matters: name
//! spaces and mounts need root, the bounding set is emptied before the user id goes, what a change
//! of user id clears (parent-death signal, dumpable) is set after it, and the filter comes last
//! because it refuses most of the calls made here.

use std::convert::Infallible;
use std::ffi::CStr;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, chdir, getpid, pivot_root, setgroups, setresgid, setresuid};

use crate::{limits, process, seccomp};

/// User and group id of the proxy role.
pub const PROXY_ID: u32 = 15999;
/// User and group id of the control role.
pub const CONTROL_ID: u32 = 15998;

/// Threads of the proxy's user id on the node, over all generations and the agents of a test.
const MOST_THREADS: u64 = 4096;

/// An existing directory to mount the empty root on before it becomes `/`. Only this process sees
/// that mount.
const STAGING: &str = "/proc";

/// A step of giving up power that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot give up power ({step}): {source}; roles are started as root by the host role")]
pub struct ConfineError {
    step: &'static str,
    source: io::Error,
}

/// What the proxy role keeps.
#[derive(Debug)]
pub struct Confinement<'a> {
    /// User and group id to run under.
    pub id: u32,
    /// Descriptors to keep besides standard input, output and error.
    pub keep: &'a [BorrowedFd<'a>],
    /// Limit of private memory in bytes.
    pub memory: u64,
    /// Leaves room for [`become_program`] to follow.
    pub program: bool,
}

/// Locks the calling process in: afterwards it can do nothing but use the descriptors it has.
///
/// Nothing but those descriptors, in an empty read-only root, an empty network, its own pid, ipc,
/// uts and cgroup namespaces, as an id without capabilities, under a system call filter.
///
/// # Errors
/// If any step fails, the process is not the first of a pid namespace of its own (see
/// [`process::unshare_children`]), or it has a second thread. The process must then end.
pub fn enter(confinement: &Confinement<'_>) -> Result<(), ConfineError> {
    step(
        "be the first of an own pid namespace",
        check_first_process(),
    )?;
    step("have one thread", check_single_thread())?;
    step("close descriptors", close_others(confinement.keep))?;
    step("leave namespaces", leave_namespaces())?;
    step("empty the root directory", empty_root())?;
    step("limit memory", limits::limit_memory(confinement.memory))?;
    step("limit threads", limits::limit_processes(MOST_THREADS))?;
    step("limit shared resources", limits::no_shared_resources())?;
    drop_power(confinement.id)?;
    step(
        "filter system calls",
        seccomp::confine_proxy(confinement.program),
    )
}

/// Gives up root for the control role, which keeps the file system and the node's network.
///
/// `own` are directories that it gets as its own: made if missing, closed to everybody else.
///
/// # Errors
/// If any step fails or the process has a second thread. The process must then end.
pub fn drop_privileges(
    id: u32,
    keep: &[BorrowedFd<'_>],
    own: &[&Path],
) -> Result<(), ConfineError> {
    step("have one thread", check_single_thread())?;
    step("close descriptors", close_others(keep))?;
    for directory in own {
        step("own a directory", take_directory(directory, id))?;
    }
    step("limit shared resources", limits::no_shared_resources())?;
    drop_power(id)?;
    for directory in own {
        step("reach its own directory", check_reachable(directory))?;
    }
    step("filter system calls", seccomp::confine_control())
}

/// Runs another program in place of this one, under the confinement entered before.
///
/// The program is statically linked: the empty root has no loader and no libraries.
///
/// # Errors
/// If the kernel refuses to run it; on success this never returns.
pub fn become_program(program: &impl AsFd, arguments: &[&CStr]) -> io::Result<Infallible> {
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both arrays end in null and point at strings that outlive the call; the empty path
    // means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_fd().as_raw_fd(),
            c"".as_ptr(),
            pointers.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Err(io::Error::last_os_error())
}

fn step(step: &'static str, result: io::Result<()>) -> Result<(), ConfineError> {
    result.map_err(|source| ConfineError { step, source })
}

fn drop_power(id: u32) -> Result<(), ConfineError> {
    step("never dump core", limits::no_core_dumps())?;
    step("leave groups", setgroups(&[]).map_err(Into::into))?;
    step("empty the bounding set", empty_bounding_set())?;
    let group = Gid::from_raw(id);
    step(
        "change the group id",
        setresgid(group, group, group).map_err(Into::into),
    )?;
    let user = Uid::from_raw(id);
    step(
        "change the user id",
        setresuid(user, user, user).map_err(Into::into),
    )?;
    step("clear capabilities", clear_capabilities())?;
    step(
        "forbid new privileges",
        prctl::set_no_new_privs().map_err(Into::into),
    )?;
    step("be unreadable", process::set_undumpable())?;
    step("end with the host role", process::die_with_parent())?;
    step("be without power", check_powerless())
}

fn check_first_process() -> io::Result<()> {
    if getpid().as_raw() == 1 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "this is process {} of its namespace",
        getpid()
    )))
}

fn check_single_thread() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        count => Err(io::Error::other(format!("there are {count} threads"))),
    }
}

/// Closes every descriptor above standard error that is not to be kept.
fn close_others(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut from: libc::c_uint = 3;
    for number in kept.into_iter().map(RawFd::unsigned_abs) {
        if number > from {
            close_range(from, number - 1)?;
        }
        from = from.max(number + 1);
    }
    close_range(from, libc::c_uint::MAX)
}

fn close_range(first: libc::c_uint, last: libc::c_uint) -> io::Result<()> {
    // SAFETY: closes numbers only. The one thread of this process holds no object that owns a
    // descriptor outside the list to keep: it runs before anything was opened.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn leave_namespaces() -> io::Result<()> {
    Ok(unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP,
    )?)
}

/// Makes `/` an empty, read-only directory, with nothing mounted below it and no way back.
fn empty_root() -> io::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = Some("size=4k,nr_inodes=2,mode=0555");
    mount(Some("empty"), STAGING, Some("tmpfs"), flags, options)?;
    chdir(STAGING)?;
    // With both names the same, the old root is stacked on the new one, to be taken off at once.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    mount(
        none,
        "/",
        none,
        MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | flags,
        none,
    )?;
    Ok(())
}

fn take_directory(path: &Path, id: u32) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
    if let Some(parent) = path.parent() {
        // What lies above is root's; the role only passes through.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return Err(io::Error::other(format!(
            "{} is no directory",
            path.display()
        )));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    lchown(path, Some(id), Some(id))
}

/// Says at once, and with the reason, what would fail at the first write.
fn check_reachable(path: &Path) -> io::Result<()> {
    std::fs::read_dir(path).map(drop).map_err(|error| {
        let path = path.display();
        io::Error::new(
            error.kind(),
            format!("{path}: {error}; the directories above it must let others pass (mode 0711)"),
        )
    })
}

fn empty_bounding_set() -> io::Result<()> {
    // The kernel knows at most 64 capabilities and answers EINVAL above its last one.
    for capability in 0..64 {
        if prctl_number(libc::PR_CAPBSET_READ, capability)? < 0 {
            break;
        }
        if prctl_number(libc::PR_CAPBSET_DROP, capability)? < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn prctl_number(option: libc::c_int, value: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: the options used here take one number and touch no memory of this process.
    Ok(unsafe { libc::prctl(option, value, 0, 0, 0) })
}

/// Header and two words of `capset(2)`, version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

fn clear_capabilities() -> io::Result<()> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let words = [CapabilityWord::default(); 2];
    // SAFETY: version 3 reads exactly one header and two words.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain numbers.
    let cleared = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    if cleared == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks the kernel whether all of it took effect; a step that silently did nothing would be worse
/// than one that fails.
fn check_powerless() -> io::Result<()> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut words = [CapabilityWord {
        effective: 1,
        permitted: 1,
        inheritable: 1,
    }; 2];
    // SAFETY: version 3 writes exactly two words.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let has_capabilities = words.iter().any(|word| *word != CapabilityWord::default());
    let bounded = prctl_number(libc::PR_CAPBSET_READ, 0)? == 0;
    if has_capabilities
        || !bounded
        || setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok()
    {
        return Err(io::Error::other("capabilities are left"));
    }
    if !prctl::get_no_new_privs()? || prctl::get_dumpable()? {
        return Err(io::Error::other(
            "the process may gain privileges or be read",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
