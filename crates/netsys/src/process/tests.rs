use std::os::fd::IntoRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use super::*;

#[test]
fn a_child_sees_what_is_passed_and_nothing_else() {
    let (passed, _b) = crate::passing::stream_pair().expect("pair");
    let (kept, _d) = crate::passing::stream_pair().expect("pair");
    let mut command = Command::new("sh");
    let number = pass(&mut command, passed);
    let kept = kept.as_raw_fd();
    let script = format!("test -e /proc/self/fd/{number} && ! test -e /proc/self/fd/{kept}");
    let status = command.args(["-c", &script]).status().expect("sh");
    assert!(status.success());
}

#[test]
fn an_inherited_descriptor_is_taken_by_number() {
    let (a, b) = std::os::unix::net::UnixStream::pair().expect("pair");
    let taken = inherited(a.into_raw_fd()).expect("taken");
    let flags = FdFlag::from_bits_retain(fcntl(&taken, FcntlArg::F_GETFD).expect("flags"));
    assert!(flags.contains(FdFlag::FD_CLOEXEC));
    crate::passing::send(&taken, b"x", &[]).expect("send");
    let mut byte = [0];
    assert_eq!(crate::passing::recv_bytes(&b, &mut byte).expect("recv"), 1);
}

#[test]
fn a_number_that_is_not_open_is_an_error() {
    for number in [-1, 0, 2, 900_000] {
        assert!(inherited(number).is_err(), "{number}");
    }
}

#[test]
fn a_pidfd_kills_exactly_its_process() {
    let mut child = Command::new("sleep")
        .arg("60")
        .stdin(Stdio::null())
        .spawn()
        .expect("sleep");
    let handle = pidfd(child.id()).expect("pidfd");
    signal(&handle, Signal::SIGKILL).expect("kill");
    let status = child.wait().expect("wait");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert!(
        signal(&handle, Signal::SIGKILL).is_err(),
        "a process that ended takes no signal"
    );
}
