//! A long stream of bytes that both ends can make, and its digest: what a transfer is checked by.
//!
//! Each block begins with its number, so that a lost, doubled or swapped block changes the digest
//! although the rest of every block is alike.

use std::fmt;
use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};

const BLOCK: usize = 256 * 1024;

/// How many bytes passed, and their SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// How many.
    pub bytes: u64,
    /// Of all of them, in hex.
    pub sha256: String,
}

impl fmt::Display for Passed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.bytes, self.sha256)
    }
}

/// Sends the first `bytes` of the stream.
pub fn send(to: &mut impl Write, bytes: u64) -> io::Result<Passed> {
    let mut hash = Context::new(&SHA256);
    let mut block: Vec<u8> = (0..=250_u8).cycle().take(BLOCK).collect();
    let mut left = bytes;
    let mut number = 0_u64;
    while left > 0 {
        for (place, byte) in block.iter_mut().zip(number.to_be_bytes()) {
            *place = byte;
        }
        let length = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let part = block.get(..length).unwrap_or(&block);
        hash.update(part);
        to.write_all(part)?;
        left = left.saturating_sub(length as u64);
        number = number.wrapping_add(1);
    }
    Ok(passed(bytes, hash))
}

/// Reads to the end.
pub fn digest(from: &mut impl Read) -> io::Result<Passed> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; BLOCK];
    let mut bytes = 0_u64;
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(passed(bytes, hash));
        }
        hash.update(buffer.get(..length).unwrap_or_default());
        bytes = bytes.saturating_add(length as u64);
    }
}

/// What [`send`] answers, without sending.
pub fn expected(bytes: u64) -> Passed {
    // A sink never fails; were it to, no transfer would match.
    send(&mut io::sink(), bytes).unwrap_or(Passed {
        bytes: 0,
        sha256: String::new(),
    })
}

fn passed(bytes: u64, hash: Context) -> Passed {
    let sha256 = hash
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Passed { bytes, sha256 }
}

#[cfg(test)]
mod tests;
