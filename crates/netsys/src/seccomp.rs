//! The system call filters of the proxy role and the control role.
//!
//! The proxy's is an allow list: what a tokio program needs that only accepts, connects, reads and
//! writes on sockets given to it. Everything else gives `EPERM`, also what nobody calls by
//! accident (`setns`, `bpf`, `ptrace`): killing would say no more to an attacker, and would turn a
//! library's harmless probe into an outage of the node. Filters see numbers, not memory, so what is
//! behind a pointer (the address of `connect`, `clone3`'s flags) has to be held by other means:
//! the empty network namespace, and refusing `clone3` so that libc falls back to `clone`.

use std::collections::BTreeMap;
use std::io;

use nix::libc::{self, c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Calls of the proxy role that are harmless with any arguments.
const ALWAYS: &[c_long] = &[
    // Sockets that exist already. `bind` gives the client's address to the application's leg.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_pipe2,
    libc::SYS_splice,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_ppoll,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Memory; what maps it as executable is below.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads and signals of its own.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    // Facts.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_sched_getaffinity,
    libc::SYS_sysinfo,
    // Answered by the other filter: see `refuse_clone3`.
    libc::SYS_clone3,
    // Older twins that libc still uses here.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// What a statically linked program needs on top to start in the proxy's place.
const PROGRAM_START: &[c_long] = &[
    libc::SYS_set_tid_address,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
];

/// Socket options that the proxy role may set: none of them changes where packets go.
const SOCKET_OPTIONS: &[(c_int, c_int)] = &[
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
];

/// Commands of `fcntl` that the proxy role may give.
const FCNTL: &[c_int] = &[
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETPIPE_SZ,
    libc::F_SETPIPE_SZ,
];

/// `CLONE_NEW*`, all of them.
const NEW_NAMESPACES: c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// Calls that the control role is refused: it keeps files and the node's network, but gains no
/// power and looks into no other process.
const CONTROL_REFUSED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    libc::SYS_listen,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Puts the proxy role's filter on the calling thread and all it starts.
///
/// With `program`, one more call is allowed: `execveat` of a descriptor that the process holds.
pub(crate) fn confine_proxy(program: bool) -> io::Result<()> {
    install(&refuse_clone3()?)?;
    install(&proxy_filter(program)?)
}

/// Puts the control role's filter on the calling thread and all it starts.
pub(crate) fn confine_control() -> io::Result<()> {
    install(&refuse_clone3()?)?;
    install(&control_filter()?)
}

fn proxy_filter(program: bool) -> io::Result<BpfProgram> {
    let mut rules: Rules = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    if program {
        rules.extend(PROGRAM_START.iter().map(|call| (*call, Vec::new())));
        rules.insert(
            libc::SYS_execveat,
            vec![all([equal(4, libc::AT_EMPTY_PATH)?])?],
        );
    }
    rules.insert(libc::SYS_clone, vec![all([a_thread()?])?]);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![all([masked(2, libc::PROT_EXEC, 0)?])?]);
    }
    rules.insert(libc::SYS_shutdown, vec![all([equal(1, libc::SHUT_WR)?])?]);
    rules.insert(libc::SYS_tgkill, vec![all([equal(0, 1)?])?]);
    rules.insert(libc::SYS_prlimit64, vec![all([null(2)?])?]);
    rules.insert(
        libc::SYS_prctl,
        any(0, &[libc::PR_SET_NAME, libc::PR_SET_VMA])?,
    );
    rules.insert(libc::SYS_fcntl, any(1, FCNTL)?);
    let mut ioctls = Vec::new();
    for request in [libc::FIONREAD, libc::FIONBIO] {
        ioctls.push(all([compare(1, SeccompCmpOp::Eq, request & 0xffff_ffff)?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctls);
    let mut pairs = Vec::new();
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        pairs.push(all([equal(0, libc::AF_UNIX)?, masked(1, 0xf, kind)?])?);
    }
    rules.insert(libc::SYS_socketpair, pairs);
    let mut options = Vec::new();
    for (level, name) in SOCKET_OPTIONS {
        options.push(all([equal(1, *level)?, equal(2, *name)?])?);
    }
    rules.insert(libc::SYS_setsockopt, options);
    build(
        rules,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
    )
}

fn control_filter() -> io::Result<BpfProgram> {
    let mut rules: Rules = CONTROL_REFUSED
        .iter()
        .map(|call| (*call, Vec::new()))
        .collect();
    // Processes of its own would outlive it; only threads.
    rules.insert(
        libc::SYS_clone,
        vec![all([masked(0, libc::CLONE_THREAD, 0)?])?],
    );
    let mut sockets = Vec::new();
    for family in [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_XDP] {
        sockets.push(all([equal(0, family)?])?);
    }
    sockets.push(all([masked(1, 0xf, libc::SOCK_RAW)?, not_netlink()?])?);
    rules.insert(libc::SYS_socket, sockets);
    build(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
    )
}

/// `clone3` hides its flags behind a pointer; told that it does not exist, libc uses `clone`.
fn refuse_clone3() -> io::Result<BpfProgram> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    build(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
    )
}

fn build(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(io::Error::other)?;
    BpfProgram::try_from(filter).map_err(io::Error::other)
}

fn install(program: &BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(program).map_err(io::Error::other)
}

fn a_thread() -> io::Result<SeccompCondition> {
    masked(0, libc::CLONE_THREAD | NEW_NAMESPACES, libc::CLONE_THREAD)
}

/// Name look-up asks the kernel for addresses over a raw netlink socket, which has no power.
fn not_netlink() -> io::Result<SeccompCondition> {
    compare(
        0,
        SeccompCmpOp::Ne,
        u64::from(libc::AF_NETLINK.unsigned_abs()),
    )
}

fn any(argument: u8, values: &[c_int]) -> io::Result<Vec<SeccompRule>> {
    values
        .iter()
        .map(|value| all([equal(argument, *value)?]))
        .collect()
}

fn all(conditions: impl Into<Vec<SeccompCondition>>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions.into()).map_err(io::Error::other)
}

fn equal(argument: u8, value: c_int) -> io::Result<SeccompCondition> {
    compare(argument, SeccompCmpOp::Eq, u64::from(value.cast_unsigned()))
}

fn masked(argument: u8, mask: c_int, value: c_int) -> io::Result<SeccompCondition> {
    let mask = SeccompCmpOp::MaskedEq(u64::from(mask.cast_unsigned()));
    compare(argument, mask, u64::from(value.cast_unsigned()))
}

fn null(argument: u8) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
        .map_err(io::Error::other)
}

fn compare(argument: u8, how: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
