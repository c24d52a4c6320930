//! A program that tries to break out of the proxy's confinement, and says how far it got.
//!
//! The launcher starts it in the proxy's place, with the proxy's descriptors and limits (the host
//! role's `--proxy-program`). It depends on nothing but std and libc's symbols, so that tests build
//! it with one call of `rustc -C target-feature=+crt-static`. Per attempt it prints one JSON line,
//! `{"attempt":"…","result":"refused","errno":1}` or `…"result":"SUCCEEDED"`, after a first line
//! `{"given":N}` (sockets that came over the link) and before a last one `{"done":N}`: a run
//! without it was cut short. Run outside the confinement, as root, the same
//! attempts succeed; that run shows that the other one proves something.
//!
//! Arguments: `LINK-FD FEED-FD` as from the launcher, then any of
//! `netns=PATH token=PATH state=DIR api=SOCKET reach=IP:PORT victim=PID`.
#![allow(
    missing_docs,
    unsafe_code,
    reason = "a stand-alone program against libc's symbols"
)]

use std::env;
use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int;
    fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize;
    fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize;
    fn close(fd: c_int) -> c_int;
    fn poll(fds: *mut PollFd, count: c_ulong, timeout: c_int) -> c_int;
    fn recvmsg(fd: c_int, message: *mut Message, flags: c_int) -> isize;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut c_int) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: c_uint)
    -> c_int;
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn shutdown(fd: c_int, how: c_int) -> c_int;
    fn setns(fd: c_int, kind: c_int) -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn chroot(path: *const c_char) -> c_int;
    fn ptrace(request: c_int, ...) -> c_long;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn execve(path: *const c_char, argv: *const *const c_char, envp: *const *const c_char)
    -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn setuid(uid: c_uint) -> c_int;
    fn setgroups(count: usize, groups: *const c_uint) -> c_int;
    fn setrlimit(resource: c_int, limit: *const [u64; 2]) -> c_int;
    fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn mprotect(address: *mut c_void, length: usize, protection: c_int) -> c_int;
    fn getpid() -> c_int;
}

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

#[repr(C)]
struct Part {
    base: *mut c_void,
    length: usize,
}

#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: c_uint,
    parts: *mut Part,
    part_count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

/// Numbers of system calls that differ between the architectures.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const CLONE: i64 = 56;
    pub const PROCESS_VM_READV: i64 = 310;
    pub const PERF_EVENT_OPEN: i64 = 298;
    pub const BPF: i64 = 321;
    pub const USERFAULTFD: i64 = 323;
    pub const MEMFD_CREATE: i64 = 319;
    pub const KEYCTL: i64 = 250;
    pub const PIVOT_ROOT: i64 = 155;
    pub const OPEN_BY_HANDLE_AT: i64 = 304;
    pub const NAME_TO_HANDLE_AT: i64 = 303;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const CLONE: i64 = 220;
    pub const PROCESS_VM_READV: i64 = 270;
    pub const PERF_EVENT_OPEN: i64 = 241;
    pub const BPF: i64 = 280;
    pub const USERFAULTFD: i64 = 282;
    pub const MEMFD_CREATE: i64 = 279;
    pub const KEYCTL: i64 = 219;
    pub const PIVOT_ROOT: i64 = 41;
    pub const OPEN_BY_HANDLE_AT: i64 = 265;
    pub const NAME_TO_HANDLE_AT: i64 = 264;
}
const IO_URING_SETUP: i64 = 425;
const OPEN_TREE: i64 = 428;
const FSOPEN: i64 = 430;
const CLONE3: i64 = 435;
const PIDFD_OPEN: i64 = 434;
const PIDFD_GETFD: i64 = 438;

const SIGCHLD: c_int = 17;
const CLONE_NEWUSER: c_int = 0x1000_0000;
const CLONE_NEWNET: c_int = 0x4000_0000;
const CLONE_NEWNS: c_int = 0x2_0000;
const O_CLOEXEC: c_int = 0o2_000_000;
const AF_UNIX: c_int = 1;
const AF_INET: c_int = 2;
const AF_INET6: c_int = 10;
const AF_NETLINK: c_int = 16;
const AF_PACKET: c_int = 17;
const SOCK_STREAM: c_int = 1;
const SOCK_DGRAM: c_int = 2;
const SOCK_RAW: c_int = 3;
const SOL_SOCKET: c_int = 1;

/// What the command line names.
#[derive(Default)]
struct Targets {
    netns: String,
    token: String,
    state: String,
    api: String,
    reach: String,
    victim: c_int,
    /// Sockets that came over the link: an outgoing one and a listener.
    outgoing: c_int,
    listener: c_int,
}

/// An attempt says with which error it was refused, or that it got through.
type Attempt = fn(&Targets) -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    // Other namespaces.
    ("open the node's network namespace", |to| open_nodes(to)),
    ("open a pod's network namespace", |to| open(&to.netns)),
    ("enter a namespace by any descriptor", |to| enter_any(to)),
    ("unshare the network", |_| {
        checked(unsafe { unshare(CLONE_NEWNET) })
    }),
    ("unshare the user namespace", |_| {
        checked(unsafe { unshare(CLONE_NEWUSER) })
    }),
    ("unshare mounts", |_| {
        checked(unsafe { unshare(CLONE_NEWNS) })
    }),
    ("clone into a user namespace", |_| clone_with(CLONE_NEWUSER)),
    ("clone3", |_| clone3()),
    ("fork", |_| clone_with(0)),
    // The network.
    ("make an IPv4 socket", |_| {
        make_socket(AF_INET, SOCK_STREAM, 0)
    }),
    ("make an IPv6 socket", |_| {
        make_socket(AF_INET6, SOCK_STREAM, 0)
    }),
    ("make a Unix socket", |_| {
        make_socket(AF_UNIX, SOCK_STREAM, 0)
    }),
    ("make a netlink socket", |_| {
        make_socket(AF_NETLINK, SOCK_RAW, 0)
    }),
    ("make a raw socket", |_| make_socket(AF_INET, SOCK_RAW, 1)),
    ("make a packet socket", |_| {
        make_socket(AF_PACKET, SOCK_RAW, 0)
    }),
    ("make a datagram socket pair", |_| datagram_pair()),
    ("reach an address", |to| reach(to)),
    ("send a datagram", |_| {
        UdpSocket::bind("127.0.0.1:0").map(drop)
    }),
    // What a socket that was given may do.
    ("set a mark", |to| {
        set_option(to.outgoing, SOL_SOCKET, 36, 0x53a)
    }),
    ("clear a mark", |to| {
        set_option(to.outgoing, SOL_SOCKET, 36, 0)
    }),
    ("set transparent", |to| set_option(to.outgoing, 0, 19, 1)),
    ("bind to a device", |to| bind_to_device(to)),
    ("attach to a device's priority", |to| {
        set_option(to.outgoing, SOL_SOCKET, 12, 7)
    }),
    ("listen", |to| checked(unsafe { listen(to.outgoing, 1) })),
    ("shut a listener down", |to| {
        checked(unsafe { shutdown(to.listener, 2) })
    }),
    // Other processes.
    ("trace a process", |to| trace(to)),
    ("read another process by /proc", |to| {
        open(&format!("/proc/{}/mem", to.victim))
    }),
    ("read another process", |to| read_process(to)),
    ("take a descriptor of another process", |to| {
        take_descriptor(to)
    }),
    ("signal another process", |to| {
        checked(unsafe { kill(to.victim, 0) })
    }),
    ("read own memory by /proc", |_| open("/proc/self/mem")),
    // Files.
    ("read the node's token", |to| fs::read(&to.token).map(drop)),
    ("list kept state", |to| fs::read_dir(&to.state).map(drop)),
    ("read a system file", |_| fs::read("/etc/passwd").map(drop)),
    ("make a file", |_| make_file()),
    ("make a device", |_| make_device()),
    ("open a file by handle", |_| open_by_handle()),
    ("call enrol", |to| enrol(to)),
    // Mounts and roots.
    ("mount", |_| mount_tmpfs()),
    ("mount by descriptor", |_| {
        called(unsafe { syscall(FSOPEN, c"tmpfs".as_ptr(), 0) })
    }),
    ("open a tree", |_| {
        called(unsafe { syscall(OPEN_TREE, -100, c"/".as_ptr(), 1) })
    }),
    ("change the root directory", |_| {
        checked(unsafe { chroot(c"/".as_ptr()) })
    }),
    ("pivot the root", |_| pivot()),
    // The kernel's larger surfaces.
    ("set up io_uring", |_| io_uring()),
    ("load bpf", |_| bpf()),
    ("use keys", |_| {
        called(unsafe { syscall(number::KEYCTL, 0, -3, 1) })
    }),
    ("open a performance event", |_| perf()),
    ("use userfaultfd", |_| {
        called(unsafe { syscall(number::USERFAULTFD, 0) })
    }),
    // Power and programs.
    ("run a shell", |_| run_shell()),
    ("run a program from memory", |_| memory_file()),
    ("map memory to run", |_| map_executable()),
    ("make memory run", |_| protect_executable()),
    ("become root", |_| checked(unsafe { setuid(0) })),
    ("join groups", |_| checked(unsafe { setgroups(1, &0) })),
    ("raise the memory limit", |_| {
        checked(unsafe { setrlimit(2, &[u64::MAX; 2]) })
    }),
    ("become readable", |_| {
        checked(unsafe { prctl(4, 1 as c_ulong, 0, 0, 0) })
    }),
    ("outlive the host role", |_| {
        checked(unsafe { prctl(1, 0 as c_ulong, 0, 0, 0) })
    }),
];

fn main() {
    let mut targets = Targets {
        outgoing: -1,
        listener: -1,
        victim: -1,
        ..Targets::default()
    };
    let mut arguments = env::args().skip(1);
    let link: c_int = arguments
        .next()
        .and_then(|fd| fd.parse().ok())
        .unwrap_or(-1);
    let _feed = arguments.next();
    for argument in arguments {
        let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
        match name {
            "netns" => targets.netns = value.to_owned(),
            "token" => targets.token = value.to_owned(),
            "state" => targets.state = value.to_owned(),
            "api" => targets.api = value.to_owned(),
            "reach" => targets.reach = value.to_owned(),
            "victim" => targets.victim = value.parse().unwrap_or(-1),
            other => eprintln!("hostile: unknown argument {other}"),
        }
    }
    let given = descriptors_from(link);
    targets.outgoing = given.first().copied().unwrap_or(-1);
    targets.listener = given.get(1).copied().unwrap_or(-1);
    println!("{{\"given\":{}}}", given.len());
    for (name, attempt) in ATTEMPTS {
        let line = match isolated(*attempt, &targets) {
            Outcome::Succeeded => format!("{{\"attempt\":\"{name}\",\"result\":\"SUCCEEDED\"}}"),
            Outcome::Refused(errno) => {
                format!("{{\"attempt\":\"{name}\",\"result\":\"refused\",\"errno\":{errno}}}")
            }
            Outcome::Killed(signal) => {
                format!("{{\"attempt\":\"{name}\",\"result\":\"refused\",\"signal\":{signal}}}")
            }
        };
        println!("{line}");
    }
    println!("{{\"done\":{}}}", ATTEMPTS.len());
}

enum Outcome {
    Succeeded,
    Refused(c_int),
    Killed(c_int),
}

/// Makes one attempt in a child where forking works, else in this process: what the confinement
/// refuses leaves nothing behind.
fn isolated(attempt: Attempt, targets: &Targets) -> Outcome {
    let mut ends = [-1; 2];
    unsafe { pipe2(ends.as_mut_ptr(), O_CLOEXEC) };
    let child = unsafe { fork() };
    if child == 0 {
        let errno = errno_of(&attempt(targets));
        unsafe {
            write(ends[1], (&raw const errno).cast(), 4);
            _exit(0);
        }
    }
    let outcome = if child < 0 {
        match errno_of(&attempt(targets)) {
            0 => Outcome::Succeeded,
            errno => Outcome::Refused(errno),
        }
    } else {
        unsafe { close(ends[1]) };
        ends[1] = -1;
        let (mut errno, mut status): (c_int, c_int) = (0, 0);
        // An attempt that became another program wrote nothing: it succeeded.
        unsafe { read(ends[0], (&raw mut errno).cast(), 4) };
        unsafe { waitpid(child, &raw mut status, 0) };
        match (status & 0x7f, errno) {
            (0, 0) => Outcome::Succeeded,
            (0, errno) => Outcome::Refused(errno),
            (signal, _) => Outcome::Killed(signal),
        }
    };
    for end in ends {
        unsafe { close(end) };
    }
    outcome
}

fn errno_of(result: &io::Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(9999),
    }
}

fn checked(result: c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn called(result: c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Waits for one message of the host role and takes the descriptors that it brings.
fn descriptors_from(link: c_int) -> Vec<c_int> {
    let mut wait = PollFd {
        fd: link,
        events: 1,
        revents: 0,
    };
    if unsafe { poll(&raw mut wait, 1, 10_000) } != 1 {
        return Vec::new();
    }
    let mut bytes = [0u8; 4096];
    let mut control = [0u64; 40];
    let mut part = Part {
        base: bytes.as_mut_ptr().cast(),
        length: bytes.len(),
    };
    let mut message = Message {
        name: std::ptr::null_mut(),
        name_length: 0,
        parts: &raw mut part,
        part_count: 1,
        control: control.as_mut_ptr().cast(),
        control_length: size_of_val(&control),
        flags: 0,
    };
    if unsafe { recvmsg(link, &raw mut message, 0) } <= 0 || message.control_length < 16 {
        return Vec::new();
    }
    // One record of rights: its length, level and type, then the numbers.
    let count = (control[0] as usize).saturating_sub(16) / 4;
    let numbers = control[2..]
        .iter()
        .flat_map(|word| [*word as u32, (*word >> 32) as u32]);
    numbers.take(count).map(|number| number as c_int).collect()
}

fn open(path: &str) -> io::Result<()> {
    fs::File::open(path).map(drop)
}

fn open_nodes(to: &Targets) -> io::Result<()> {
    open("/proc/1/ns/net").or_else(|_| open(&format!("/proc/{}/ns/net", to.victim)))
}

fn enter_any(to: &Targets) -> io::Result<()> {
    // Whatever can be opened joins the descriptors to try; the files stay open until the end.
    let _opened: Vec<_> = [to.netns.as_str(), "/proc/1/ns/net", "/proc/self/ns/net"]
        .iter()
        .filter_map(|path| fs::File::open(path).ok())
        .collect();
    let mut last = io::Error::from_raw_os_error(9);
    for fd in 0..256 {
        match checked(unsafe { setns(fd, 0) }) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(9) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn clone_with(flags: c_int) -> io::Result<()> {
    let flags = c_ulong::from((flags | SIGCHLD) as c_uint);
    let child = unsafe { syscall(number::CLONE, flags, 0 as c_ulong, 0, 0, 0) };
    end_child(child)
}

fn clone3() -> io::Result<()> {
    let mut arguments = [0u64; 8];
    arguments[0] = CLONE_NEWUSER as u64;
    arguments[4] = SIGCHLD as u64;
    let child = unsafe { syscall(CLONE3, arguments.as_ptr(), size_of_val(&arguments)) };
    end_child(child)
}

fn end_child(child: c_long) -> io::Result<()> {
    if child == 0 {
        unsafe { _exit(0) };
    }
    if child > 0 {
        unsafe { waitpid(child as c_int, std::ptr::null_mut(), 0) };
    }
    called(child)
}

fn make_socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<()> {
    checked(unsafe { socket(domain, kind, protocol) })
}

fn datagram_pair() -> io::Result<()> {
    let mut ends = [0; 2];
    checked(unsafe { socketpair(AF_UNIX, SOCK_DGRAM, 0, ends.as_mut_ptr()) })
}

fn reach(to: &Targets) -> io::Result<()> {
    let address: SocketAddr = to
        .reach
        .parse()
        .map_err(|_| io::Error::from_raw_os_error(22))?;
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).map(drop)
}

fn set_option(fd: c_int, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    checked(unsafe { setsockopt(fd, level, name, (&raw const value).cast(), 4) })
}

fn bind_to_device(to: &Targets) -> io::Result<()> {
    checked(unsafe { setsockopt(to.outgoing, SOL_SOCKET, 25, c"lo".as_ptr().cast(), 3) })
}

fn trace(to: &Targets) -> io::Result<()> {
    const SEIZE: c_int = 0x4206;
    let none = std::ptr::null_mut::<c_void>();
    called(unsafe { ptrace(SEIZE, to.victim, none, none) })
}

/// Any address of the victim will do: reading may only fail with EFAULT if it was allowed.
fn read_process(to: &Targets) -> io::Result<()> {
    let mut byte = 0u8;
    let mine = Part {
        base: (&raw mut byte).cast(),
        length: 1,
    };
    let theirs = Part {
        base: 0x1000 as *mut c_void,
        length: 1,
    };
    let read = unsafe {
        // The last arguments go by the stack, where a narrow number leaves its upper half open.
        let (one, none): (c_long, c_long) = (1, 0);
        syscall(
            number::PROCESS_VM_READV,
            to.victim,
            &raw const mine,
            one,
            &raw const theirs,
            one,
            none,
        )
    };
    match called(read) {
        Err(error) if error.raw_os_error() == Some(14) => Ok(()),
        other => other,
    }
}

fn take_descriptor(to: &Targets) -> io::Result<()> {
    let handle = unsafe { syscall(PIDFD_OPEN, to.victim, 0) };
    called(handle)?;
    called(unsafe { syscall(PIDFD_GETFD, handle, 0, 0) })
}

fn make_file() -> io::Result<()> {
    let path = format!("/hostile-{}", unsafe { getpid() });
    fs::write(&path, "x")?;
    fs::remove_file(&path)
}

fn make_device() -> io::Result<()> {
    let path = format!("/hostile-null-{}", unsafe { getpid() });
    let name = CString::new(path.as_str())?;
    unsafe extern "C" {
        fn mknod(path: *const c_char, mode: c_uint, device: c_ulong) -> c_int;
    }
    checked(unsafe { mknod(name.as_ptr(), 0o20_600, 0x103) })?;
    fs::remove_file(path)
}

fn open_by_handle() -> io::Result<()> {
    let mut handle = [0u8; 136];
    handle[0] = 128;
    let (mut mount_id, path) = (0 as c_int, c"/");
    called(unsafe {
        let found = handle.as_mut_ptr();
        syscall(
            number::NAME_TO_HANDLE_AT,
            -100,
            path.as_ptr(),
            found,
            &raw mut mount_id,
            0,
        )
    })?;
    let root = fs::File::open("/")?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&root);
    called(unsafe { syscall(number::OPEN_BY_HANDLE_AT, fd, handle.as_ptr(), 0) })
}

fn enrol(to: &Targets) -> io::Result<()> {
    let mut api = UnixStream::connect(&to.api)?;
    api.set_read_timeout(Some(Duration::from_secs(5)))?;
    api.write_all(b"{\"op\":\"list\"}\n")?;
    let mut answer = [0; 1];
    api.read_exact(&mut answer)
}

fn mount_tmpfs() -> io::Result<()> {
    let kind = c"tmpfs".as_ptr();
    checked(unsafe { mount(kind, c"/mnt".as_ptr(), kind, 0, std::ptr::null()) })
}

fn pivot() -> io::Result<()> {
    // EINVAL and EBUSY are what root hears of these arguments: the call itself was allowed.
    let here = c"/".as_ptr();
    match called(unsafe { syscall(number::PIVOT_ROOT, here, here) }) {
        Err(error) if matches!(error.raw_os_error(), Some(16 | 22)) => Ok(()),
        other => other,
    }
}

fn io_uring() -> io::Result<()> {
    let mut parameters = [0u64; 32];
    called(unsafe { syscall(IO_URING_SETUP, 1, parameters.as_mut_ptr()) })
}

/// A map of one entry: the least that needs the call.
fn bpf() -> io::Result<()> {
    let mut attributes = [0u32; 32];
    attributes[..4].copy_from_slice(&[2, 4, 4, 1]);
    called(unsafe {
        syscall(
            number::BPF,
            0,
            attributes.as_mut_ptr(),
            size_of_val(&attributes),
        )
    })
}

/// A software event that counts this process's own clock.
fn perf() -> io::Result<()> {
    let mut attributes = [0u32; 32];
    attributes[..2].copy_from_slice(&[1, 128]);
    called(unsafe {
        syscall(
            number::PERF_EVENT_OPEN,
            attributes.as_mut_ptr(),
            0,
            -1,
            -1,
            0 as c_ulong,
        )
    })
}

fn run_shell() -> io::Result<()> {
    let words = [
        c"sh".as_ptr(),
        c"-c".as_ptr(),
        c"exit 0".as_ptr(),
        std::ptr::null(),
    ];
    let environment = [std::ptr::null()];
    checked(unsafe { execve(c"/bin/sh".as_ptr(), words.as_ptr(), environment.as_ptr()) })
}

fn memory_file() -> io::Result<()> {
    called(unsafe { syscall(number::MEMFD_CREATE, c"x".as_ptr(), 0) })
}

fn map(protection: c_int) -> io::Result<*mut c_void> {
    let page = unsafe { mmap(std::ptr::null_mut(), 4096, protection, 0x22, -1, 0) };
    if page.addr() == usize::MAX {
        Err(io::Error::last_os_error())
    } else {
        Ok(page)
    }
}

fn map_executable() -> io::Result<()> {
    map(7).map(drop)
}

fn protect_executable() -> io::Result<()> {
    checked(unsafe { mprotect(map(3)?, 4096, 5) })
}
