//! A JSON object on one line, written field by field into memory: lines are written for every
//! request, so there is nothing in between.
//!
//! Texts may come from clients. They are escaped, so that a line stays one line; made UTF-8, so
//! that it can be read; and bounded. Names are ours and need none of that.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ambit_kit::clock;
use ambit_model::SpiffeId;

use crate::ends::Ends;
use crate::scratch;

/// Longest text in a line, in bytes; what is longer is cut.
pub(crate) const LONGEST: usize = 1024;

/// An object that is being written.
#[derive(Debug)]
pub(crate) struct Object(Vec<u8>);

impl Object {
    /// An object that begins with this field.
    pub(crate) fn new(name: &'static str, text: &'static str) -> Self {
        let mut object = Self(scratch::take());
        object.0.push(b'{');
        object.text(name, text.as_bytes());
        object
    }

    /// Adds a text, or nothing if it is empty.
    pub(crate) fn text(&mut self, name: &'static str, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        self.name(name);
        self.0.push(b'"');
        let text = bounded(text);
        match std::str::from_utf8(text) {
            Ok(text) => self.escape(text),
            Err(_) => {
                for chunk in text.utf8_chunks() {
                    self.escape(chunk.valid());
                    if !chunk.invalid().is_empty() {
                        self.escape("\u{FFFD}");
                    }
                }
            }
        }
        self.0.push(b'"');
    }

    /// Adds a text if it is known.
    pub(crate) fn known(&mut self, name: &'static str, text: Option<&str>) {
        self.text(name, text.unwrap_or_default().as_bytes());
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &'static str, value: impl itoa::Integer) {
        self.name(name);
        digits(&mut self.0, value);
    }

    /// Adds a number of milliseconds with three places.
    pub(crate) fn millis(&mut self, name: &'static str, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(name, micros / 1000);
        let places = [100, 10, 1].map(|unit| b'0' + (micros / unit % 10) as u8);
        self.0.push(b'.');
        self.0.extend_from_slice(&places);
    }

    /// Adds a text such as `12ms`.
    pub(crate) fn span(&mut self, name: &'static str, value: Duration) {
        self.quoted(name, |line| {
            digits(line, value.as_millis());
            line.extend_from_slice(b"ms");
        });
    }

    /// Adds the time of day.
    pub(crate) fn now(&mut self, name: &'static str) {
        let now = clock::rfc3339(clock::wall());
        self.quoted(name, |line| line.extend_from_slice(now.as_bytes()));
    }

    /// Adds an address and port.
    pub(crate) fn address(&mut self, name: &'static str, value: SocketAddr) {
        self.quoted(name, |line| match value.ip() {
            IpAddr::V4(ip) => {
                for (octet, after) in ip.octets().into_iter().zip(*b"...:") {
                    digits(line, octet);
                    line.push(after);
                }
                digits(line, value.port());
            }
            // Writing to memory does not fail.
            IpAddr::V6(_) => drop(write!(line, "{value}")),
        });
    }

    /// Adds who is who, as far as it is known.
    pub(crate) fn ends(&mut self, ends: &Ends) {
        if let Some(source) = &ends.source {
            self.text("src.workload", source.name.as_bytes());
            self.text("src.namespace", source.namespace.as_bytes());
        }
        self.known(
            "src.identity",
            ends.source_id.as_ref().map(SpiffeId::as_str),
        );
        if let Some(service) = &ends.service {
            self.text("dst.service", service.name.hostname.as_bytes());
        }
        if let Some(destination) = &ends.destination {
            self.text("dst.workload", destination.name.as_bytes());
            self.text("dst.namespace", destination.namespace.as_bytes());
        }
        let identity = ends.destination_id.as_ref().map(SpiffeId::as_str);
        self.known("dst.identity", identity);
    }

    /// The whole line with its end.
    pub(crate) fn into_line(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }

    /// Adds a text that has nothing to escape.
    fn quoted(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        self.0.push(b'"');
        write(&mut self.0);
        self.0.push(b'"');
    }

    fn name(&mut self, name: &'static str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Adds a text as RFC 8259 section 7 wants it.
    fn escape(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        let is_special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7F);
        // Nearly always nothing is; looked for without an early end, that is many bytes at a time.
        if !rest.iter().fold(false, |any, byte| any | is_special(byte)) {
            self.0.extend_from_slice(rest);
            return;
        }
        while let Some((plain, [special, after @ ..])) = rest
            .iter()
            .position(is_special)
            .and_then(|at| rest.split_at_checked(at))
        {
            self.0.extend_from_slice(plain);
            match special {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', *special]),
                control => {
                    write!(self.0, "\\u{control:04x}").ok();
                }
            }
            rest = after;
        }
        self.0.extend_from_slice(rest);
    }
}

fn digits(line: &mut Vec<u8>, value: impl itoa::Integer) {
    let mut text = itoa::Buffer::new();
    line.extend_from_slice(text.format(value).as_bytes());
}

/// No more than the longest text, whole characters where it is UTF-8.
fn bounded(bytes: &[u8]) -> &[u8] {
    let starts_here = |end: &usize| bytes.get(*end).is_none_or(|byte| byte & 0xC0 != 0x80);
    // A character has four bytes at most.
    let end = (LONGEST - 3..=LONGEST).rev().find(starts_here);
    bytes.get(..end.unwrap_or(LONGEST)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
