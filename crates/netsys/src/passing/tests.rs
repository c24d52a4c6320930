use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;

/// A descriptor to send, and a reader that sees the end once every copy of it is closed.
fn watched() -> (OwnedFd, UnixStream) {
    let (sent, reader) = UnixStream::pair().expect("pair");
    (sent.into(), reader)
}

fn assert_no_copy_left(sent: OwnedFd, mut reader: UnixStream) {
    drop(sent);
    reader
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .expect("timeout");
    assert_eq!(reader.read(&mut [0]).expect("a descriptor leaked"), 0);
}

#[test]
fn descriptors_arrive_open_in_order_and_close_on_exec() {
    let (a, b) = seqpacket_pair().expect("pair");
    let (mut ours, theirs) = UnixStream::pair().expect("pair");
    let null = fs::File::open("/dev/null").expect("open");
    assert_eq!(
        send(&a, b"two", &[theirs.as_fd(), null.as_fd()]).expect("send"),
        3
    );
    drop(theirs);
    let mut buffer = [0; 16];
    let (count, mut fds) = recv(&b, &mut buffer).expect("recv");
    assert_eq!((&buffer[..count], fds.len()), (&b"two"[..], 2));
    let flags = nix::fcntl::fcntl(&fds[0], nix::fcntl::FcntlArg::F_GETFD).expect("flags");
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    UnixStream::from(fds.remove(0))
        .write_all(b"hello")
        .expect("write");
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
}

#[test]
fn the_largest_message_passes_and_one_more_descriptor_does_not() {
    let (a, b) = seqpacket_pair().expect("pair");
    let null = fs::File::open("/dev/null").expect("open");
    let many = vec![null.as_fd(); MAX_DESCRIPTORS];
    send(&a, &[1; 4096], &many).expect("send");
    let mut buffer = [0; 4096];
    let (count, fds) = recv(&b, &mut buffer).expect("recv");
    assert_eq!((count, fds.len()), (4096, MAX_DESCRIPTORS));
    let error = send(&a, b"x", &vec![null.as_fd(); MAX_DESCRIPTORS + 1]).expect_err("too many");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_cut_message_is_an_error_and_leaks_nothing() {
    let (a, b) = seqpacket_pair().expect("pair");
    let (sent, reader) = watched();
    send(&a, &[1; 100], &[sent.as_fd(), sent.as_fd()]).expect("send");
    let error = recv(&b, &mut [0; 10]).expect_err("cut");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // More descriptors than the receiver has room for, sent by a peer that breaks the rule.
    send_many(&a, &sent, MAX_DESCRIPTORS + 20);
    let error = recv(&b, &mut [0; 10]).expect_err("cut");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_no_copy_left(sent, reader);
}

#[test]
fn descriptors_from_a_peer_that_may_send_none_are_dropped() {
    let (a, b) = seqpacket_pair().expect("pair");
    let (sent, reader) = watched();
    send(&a, b"x", &[sent.as_fd()]).expect("send");
    let error = recv_bytes(&b, &mut [0; 10]).expect_err("descriptors");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_no_copy_left(sent, reader);
    send(&a, b"plain", &[]).expect("send");
    assert_eq!(recv_bytes(&b, &mut [0; 10]).expect("recv"), 5);
}

#[test]
fn empty_full_and_closed_sockets_answer_at_once() {
    let (a, b) = seqpacket_pair().expect("pair");
    assert_eq!(
        send(&a, b"", &[]).expect_err("empty").kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(
        recv(&b, &mut [0; 8]).expect_err("empty").kind(),
        io::ErrorKind::WouldBlock
    );
    let full = (0..10_000)
        .find_map(|_| send(&a, &[0; 512], &[]).err())
        .expect("a full socket");
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    drop(b);
    // Unread messages of the peer that went are told first, then its absence.
    assert_eq!(
        send(&a, b"x", &[]).expect_err("gone").kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        send(&a, b"x", &[]).expect_err("gone").kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[test]
fn a_stream_carries_descriptors_with_the_first_byte() {
    let (a, b) = stream_pair().expect("pair");
    let null = fs::File::open("/dev/null").expect("open");
    send(&a, b"frame", &[null.as_fd()]).expect("send");
    let mut buffer = [0; 2];
    let (count, fds) = recv(&b, &mut buffer).expect("recv");
    assert_eq!((count, fds.len()), (2, 1));
    let (count, fds) = recv(&b, &mut [0; 16]).expect("recv");
    assert_eq!((count, fds.len()), (3, 0));
    drop(a);
    assert_eq!(recv(&b, &mut [0; 16]).expect("end").0, 0);
}

#[test]
fn the_peer_of_a_pair_is_this_process() {
    let (a, _b) = seqpacket_pair().expect("pair");
    let peer = peer_credentials(&a).expect("credentials");
    assert_eq!(peer.pid.unsigned_abs(), std::process::id());
    assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
}

fn send_many(socket: &OwnedFd, file: &OwnedFd, count: usize) {
    let raw = vec![file.as_raw_fd(); count];
    let parts = [IoSlice::new(b"x")];
    let control = [ControlMessage::ScmRights(&raw)];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &parts,
        &control,
        MsgFlags::empty(),
        None,
    )
    .expect("send");
}
