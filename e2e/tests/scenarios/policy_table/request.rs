//! Requests of the table on a connection, in either version, and the status of what comes back.

use std::io::{self, Read, Write};

use super::case::{Ask, Version};
use crate::frames::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, frame};

/// What is said of a request that has no reading: also by ending the stream, or the connection.
const MALFORMED: u16 = 400;

/// The status that a request is answered with; `token` makes one of claims.
pub(super) fn status(
    stream: &mut (impl Read + Write),
    ask: &Ask,
    version: Version,
    token: impl Fn(&str) -> String,
) -> io::Result<u16> {
    let lines = ask
        .lines
        .iter()
        .map(|line| match line.strip_prefix("token ") {
            Some(claims) => format!("Authorization: Bearer {}", token(claims)),
            None => line.clone(),
        });
    let lines: Vec<String> = lines.collect();
    match version {
        Version::One => {
            stream.write_all(text(&lines).as_bytes())?;
            status_line(stream)
        }
        Version::Two => {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            // Our decoder has no table.
            bytes.extend(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]));
            let fields = fields(&lines);
            let fields: Vec<(&str, &str)> = fields
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)));
            stream.write_all(&bytes)?;
            status_field(stream)
        }
    }
}

fn has(lines: &[String], name: &str) -> bool {
    let mut names = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    names.any(|(found, _)| found.trim().eq_ignore_ascii_case(name))
}

/// A head of HTTP/1.
fn text(lines: &[String]) -> String {
    let first = &lines[0];
    let is_whole = first.contains(" HTTP/");
    let mut text = match is_whole {
        true => format!("{first}\r\n"),
        false => format!("{first} HTTP/1.1\r\n"),
    };
    if !is_whole && !has(lines, "host") {
        text += "Host: server\r\n";
    }
    for line in &lines[1..] {
        text += &format!("{line}\r\n");
    }
    if !is_whole && !first.starts_with("GET ") && !first.starts_with("HEAD ") {
        text += "Content-Length: 0\r\n";
    }
    if !has(lines, "connection") {
        text += "Connection: close\r\n";
    }
    text + "\r\n"
}

/// Fields of HTTP/2.
fn fields(lines: &[String]) -> Vec<(String, String)> {
    let plain = |line: &String| {
        let mut parts = line.splitn(if line.starts_with(':') { 3 } else { 2 }, ':');
        let mut name = parts.next().unwrap().to_owned();
        if name.is_empty() {
            name = format!(":{}", parts.next().unwrap());
        }
        (name, parts.next().unwrap().trim().to_owned())
    };
    if lines[0].starts_with(':') {
        return lines.iter().map(plain).collect();
    }
    let (method, path) = lines[0].split_once(' ').unwrap();
    let more: Vec<(String, String)> = lines[1..].iter().map(plain).collect();
    let host = more
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map_or("server", |(_, host)| host);
    let mut fields: Vec<(String, String)> = [
        (":method", method),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let rest = more
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    fields.extend(rest.map(|(name, value)| (name.to_lowercase(), value.clone())));
    fields
}

/// The status of an answer of HTTP/1.
fn status_line(stream: &mut impl Read) -> io::Result<u16> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        match stream.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(MALFORMED),
            Ok(1) if byte != [b'\n'] => line.extend(byte),
            Ok(_) => break,
            Err(error) => return Err(error),
        }
    }
    if line.is_empty() {
        return Ok(MALFORMED);
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    match line.split(' ').nth(1).and_then(|word| word.parse().ok()) {
        Some(status) => Ok(status),
        None => Err(io::Error::other(format!("the answer began with {line:?}"))),
    }
}

/// The status of the answer on the first stream.
fn status_field(stream: &mut impl Read) -> io::Result<u16> {
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(MALFORMED),
            read => read?,
        }
        let [high, middle, low, kind, _flags, on @ ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = Vec::new();
        Read::take(&mut *stream, length.into()).read_to_end(&mut payload)?;
        match kind {
            HEADERS if u32::from_be_bytes(on) == 1 => return Ok(decoded(&payload)),
            RST_STREAM | GOAWAY => return Ok(MALFORMED),
            _ => {}
        }
    }
}

/// The first field of a block, which is the status (RFC 7541, 6.1 and 6.2, for an encoder without a table).
fn decoded(block: &[u8]) -> u16 {
    const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let first = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    let (kind, rest) = (block[first], &block[first + 1..]);
    if kind & 0x80 != 0 {
        return STATUSES[usize::from(kind & 0x7f) - 8];
    }
    let is_named_by_index = (8..=14).contains(&(kind & 0x0f));
    assert!(
        is_named_by_index,
        "{block:02x?} does not begin with a status"
    );
    let length = usize::from(rest[0] & 0x7f);
    let value = &rest[1..=length];
    match rest[0] & 0x80 {
        0 => std::str::from_utf8(value).unwrap().parse().unwrap(),
        _ => digits(value),
    }
}

/// A number in the code of Huffman (RFC 7541, appendix B): 0, 1 and 2 have five bits, the others six.
fn digits(coded: &[u8]) -> u16 {
    let mut bits = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
    let mut next = || u16::from(bits.next().unwrap());
    let mut number = 0;
    for _ in 0..3 {
        let five = (0..5).fold(0, |code, _| code << 1 | next());
        let digit = match five {
            0..=2 => five,
            _ => (five << 1 | next()) - 0b01_1001 + 3,
        };
        number = number * 10 + digit;
    }
    number
}
