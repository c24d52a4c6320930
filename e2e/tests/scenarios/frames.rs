//! HTTP/2 by hand: frames that no library would send.

use std::io::{self, Read, Write as _};
use std::net::TcpStream;

use crate::support::SOON;

/// Types of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
/// Flags of HEADERS and CONTINUATION.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The client's preface and empty SETTINGS.
pub(crate) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Fields in the plainest form of HPACK: literal, not indexed, not compressed (RFC 7541 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The head of a GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "s"),
        (":path", path),
    ])
}

/// An integer of seven bits and more (RFC 7541 5.1).
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        block.push(u8::try_from(value).unwrap());
        return;
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    block.push(u8::try_from(value).unwrap());
}

/// Sends all of it, as far as the peer takes it, and reads until it closes or says nothing more.
pub(crate) fn send(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    // A peer that has had enough closes while we send.
    stream.write_all(bytes).ok();
    let mut answer = Vec::new();
    read(stream, &mut answer).ok();
    answer
}

fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_millis(500)))?;
    stream.read_to_end(answer)?;
    Ok(())
}

/// Reads frames up to one of this type, with these flags, on this stream.
pub(crate) fn receive(
    stream: &mut TcpStream,
    is_last: impl Fn(u8, u8, u32) -> bool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [high, middle, low, kind, flags, on @ ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = Read::take(&mut *stream, length.into());
        io::copy(&mut payload, &mut io::sink())?;
        if is_last(kind, flags, u32::from_be_bytes(on)) {
            return Ok(());
        }
    }
}
