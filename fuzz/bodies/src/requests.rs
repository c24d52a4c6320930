//! What clients send before anything is decided about it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ambit_tunnel::forwarded;
use ambit_waypoint::hello::{Hello, LONGEST, server_name};
use ambit_waypoint::http::grpc::Messages;
use ambit_waypoint::http::scan::{Limits, Scanner};
use ambit_waypoint::http::verified::Verified;
use ambit_waypoint::protocol::{Sniffed, is_settings, sniff};
use hyper::rt::{Read as _, ReadBuf};
use tokio::io::BufReader;

const LIMITS: Limits = Limits {
    line: 1 << 10,
    head: 4 << 10,
    fields: 32,
};
/// Beginnings of one input that are looked at.
const BEGINNINGS: usize = 64;

/// HTTP/1 of clients: what passes does not depend on how it was cut, and has no line that two
/// readers could take for two. The first byte says how it is cut.
pub fn request_head(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let bytes = &ended(bytes);
    let (whole, result) = Scanner::new(LIMITS).passable(bytes);
    let mut scanner = Scanner::new(LIMITS);
    let (mut passed, mut shown) = (0, 0);
    let in_pieces = loop {
        if shown == bytes.len() {
            break Ok(());
        }
        shown = (shown + usize::from(*cut).max(1)).min(bytes.len());
        let (taken, result) = scanner.passable(bytes.get(passed..shown).unwrap_or_default());
        passed += taken;
        if result.is_err() {
            break result;
        }
    };
    // How much of a body has passed before its fault depends on the pieces; its end does not.
    assert_eq!(result, in_pieces);
    assert!(result.is_err() || passed == whole);
    assert!(whole <= bytes.len());
}

/// With the end of a line: what is wrong with one that comes in pieces may be found only then.
fn ended(bytes: &[u8]) -> Vec<u8> {
    [bytes, b"\n"].concat()
}

/// The header of tunnels that tells of clients: what is read can be written, and read again.
pub fn forwarded(bytes: &[u8]) {
    let Ok(value) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(client) = forwarded::client(value) {
        assert_eq!(forwarded::client(&forwarded::of(client)), Some(client));
    }
}

/// HTTP/1 of clients as the parser is shown it: what passes, and why nothing more does, depends neither
/// on the pieces in which it comes nor on the room that there is for it. The first two bytes tell both.
pub fn client_reader(bytes: &[u8]) {
    let [cut, room, bytes @ ..] = bytes else {
        return;
    };
    let bytes = &ended(bytes)[..];
    let (whole, result) = Scanner::new(LIMITS).passable(bytes);
    let connection = BufReader::with_capacity(usize::from(*cut).max(1), bytes);
    let mut reader = Verified::new(connection, LIMITS, Duration::MAX);
    let fault = reader.fault();
    let mut room = vec![0; usize::from(*room).max(1)];
    let mut read = Vec::new();
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        let mut context = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut reader).poll_read(&mut context, buffer.unfilled());
        match polled {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                read.extend_from_slice(buffer.filled());
            }
            Poll::Ready(_) => break,
            Poll::Pending => unreachable!("all of it is there"),
        }
    }
    assert!(bytes.starts_with(&read));
    assert_eq!(fault.get().map(|wrong| wrong.fault), result.err());
    assert!(result.is_err() || read.len() == whole);
}

/// TLS of clients: the beginning of a hello says nothing, or what the whole says.
pub fn client_hello(bytes: &[u8]) {
    let whole = server_name(bytes);
    assert!(whole != Hello::More || bytes.len() < LONGEST);
    for early in beginnings(bytes) {
        let said = server_name(early);
        assert!(said == Hello::More || said == whole || early.len() >= LONGEST);
    }
}

/// The first bytes of clients and of servers: a beginning says nothing, or what the whole says.
pub fn first_bytes(bytes: &[u8]) {
    let whole = sniff(bytes);
    for early in beginnings(bytes) {
        let said = sniff(early);
        assert!(said == Sniffed::More || said == whole);
        assert!(!is_settings(early) || is_settings(bytes));
    }
}

fn beginnings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = (0..bytes.len()).step_by(bytes.len() / BEGINNINGS + 1);
    ends.filter_map(|end| bytes.get(..end))
}

/// Messages of gRPC: there are as many in all pieces as in the whole. The first byte says how it is cut.
pub fn grpc_messages(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = Messages::default().ended_by(bytes);
    let mut messages = Messages::default();
    let pieces = bytes.chunks(usize::from(*cut).max(1));
    assert_eq!(
        pieces.map(|piece| messages.ended_by(piece)).sum::<u64>(),
        whole
    );
}
