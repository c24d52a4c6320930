//! How texts of clients are written so that a line stays a line.

use std::cell::OnceCell;
use std::io::Write as _;

/// Longest value of a client that is written, in bytes, if the format does not say.
pub const LONGEST: usize = 4096;

/// Where a text is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Between the literals of a text format.
    Plain,
    /// Within a text of JSON.
    Json,
}

/// A value that is being written, in pieces if need be.
#[derive(Debug)]
pub(crate) struct Sink<'l> {
    line: &'l mut Vec<u8>,
    style: Style,
    /// Bytes of the value that may still be written.
    room: usize,
    /// The whole of it, if it is a client's.
    value: &'l [u8],
    /// Whether that is no UTF-8, once somebody has asked.
    is_foreign: OnceCell<bool>,
}

impl<'l> Sink<'l> {
    /// For a text of ours, of any length.
    pub(crate) fn new(line: &'l mut Vec<u8>, style: Style) -> Self {
        Self::of(line, style, b"", usize::MAX)
    }

    /// For this value, or parts of it, up to a length.
    pub(crate) fn of(line: &'l mut Vec<u8>, style: Style, value: &'l [u8], room: usize) -> Self {
        Self {
            line,
            style,
            room,
            value,
            is_foreign: OnceCell::new(),
        }
    }

    /// Whether the value is no UTF-8: nobody asks as long as all of it is usual letters.
    fn is_foreign(&self) -> bool {
        let is_foreign = || std::str::from_utf8(self.value).is_err();
        *self.is_foreign.get_or_init(is_foreign)
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, value: impl itoa::Integer) {
        self.plain(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Adds something of ours that stands for itself in any style, such as digits.
    pub(crate) fn plain(&mut self, text: &[u8]) {
        self.line.extend_from_slice(text);
    }

    /// Adds a number that fills so many places.
    pub(crate) fn padded(&mut self, value: u64, places: u32, fill: u8) {
        let mut text = itoa::Buffer::new();
        let text = text.format(value);
        for _ in text.len()..places as usize {
            self.line.push(fill);
        }
        self.plain(text.as_bytes());
    }

    /// Adds a text, with `_` for white space.
    pub(crate) fn words(&mut self, text: &str) {
        let mut pieces = text.split(|c: char| c.is_ascii_whitespace());
        self.put(pieces.next().unwrap_or_default().as_bytes());
        for piece in pieces {
            self.put(b"_");
            self.put(piece.as_bytes());
        }
    }

    /// Adds bytes, as far as there is room.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let fitting = self.fitting(bytes);
        self.room = match fitting.len() == bytes.len() {
            true => self.room - fitting.len(),
            false => 0,
        };
        let quotes = self.style == Style::Json;
        let is_special =
            |byte: &u8| !(b' '..0x7F).contains(byte) || (quotes && matches!(byte, b'"' | b'\\'));
        // Nearly always nothing is; looked for without an early end, that is many bytes at a time.
        if !fitting
            .iter()
            .fold(false, |any, byte| any | is_special(byte))
        {
            self.line.extend_from_slice(fitting);
            return;
        }
        match std::str::from_utf8(fitting) {
            Ok(text) if !self.is_foreign() => text.chars().for_each(|c| self.character(c)),
            _ => fitting.iter().for_each(|byte| self.byte(*byte)),
        }
    }

    /// As much as there is room for, whole characters where it is UTF-8.
    fn fitting<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let starts_here = |end: &usize| bytes.get(*end).is_none_or(|byte| byte & 0xC0 != 0x80);
        let end = match self.room < bytes.len() && !self.is_foreign() {
            true => (0..=self.room).rev().find(starts_here).unwrap_or(0),
            false => self.room,
        };
        bytes.get(..end).unwrap_or(bytes)
    }

    fn character(&mut self, c: char) {
        let breaks = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        match self.style {
            Style::Json if matches!(c, '"' | '\\') => {
                self.line.extend_from_slice(&[b'\\', c as u8]);
            }
            _ if breaks => self.escaped(u32::from(c)),
            _ => {
                let mut bytes = [0; 4];
                let text = c.encode_utf8(&mut bytes);
                self.line.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// A byte of a value that is no UTF-8.
    fn byte(&mut self, byte: u8) {
        match byte.is_ascii() {
            true => self.character(char::from(byte)),
            false => self.escaped(byte.into()),
        }
    }

    fn escaped(&mut self, code: u32) {
        // Writing to memory does not fail.
        let _written = match self.style {
            Style::Plain if code < 0x100 => write!(self.line, "\\x{code:02x}"),
            Style::Plain | Style::Json => write!(self.line, "\\u{code:04x}"),
        };
    }
}

#[cfg(test)]
mod tests;
