//! Counts the frames that cost us more than the peer, and says when there are too many.
//!
//! Flow control bounds data, and `h2` bounds what it queues; neither bounds how often a peer may
//! make us work for nothing with PING, SETTINGS or RST_STREAM. The scan reads frame headers
//! (RFC 9113 section 4.1) as the decrypted bytes pass by and keeps two leaky buckets. No I/O and
//! no clock here: the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// RFC 9113 section 4.1.
const HEADER: usize = 9;
/// RFC 9113 section 3.4: a client begins with this many bytes that are no frame.
const PREFACE: usize = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;

/// What a peer sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flood {
    /// PING, SETTINGS, PRIORITY or frames of unknown type.
    #[error("too many control frames")]
    Control,
    /// RST_STREAM ("rapid reset").
    #[error("too many stream resets")]
    Reset,
}

impl Flood {
    /// A stable word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Control => "control_flood",
            Self::Reset => "reset_flood",
        }
    }
}

/// A bucket that leaks: `burst` at once, `rate` per second for ever.
#[derive(Debug)]
struct Bucket {
    level: f64,
    burst: f64,
    rate: f64,
    at: Option<Instant>,
}

impl Bucket {
    const fn new(burst: f64, rate: f64) -> Self {
        Self {
            level: 0.0,
            burst,
            rate,
            at: None,
        }
    }

    /// Adds one; true if the bucket runs over.
    fn add(&mut self, now: Instant) -> bool {
        let since = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.level = (self.level - since.as_secs_f64() * self.rate).max(0.0) + 1.0;
        self.level > self.burst
    }
}

/// The scan of one connection's incoming frames.
#[derive(Debug)]
pub struct Guard {
    header: [u8; HEADER],
    have: usize,
    skip: usize,
    control: Bucket,
    resets: Bucket,
}

impl Guard {
    /// A guard of what a server sends.
    pub(crate) fn of_server() -> Self {
        Self::new(0)
    }

    /// A guard of what a client sends.
    pub fn of_client() -> Self {
        Self::new(PREFACE)
    }

    fn new(skip: usize) -> Self {
        Self {
            header: [0; HEADER],
            have: 0,
            skip,
            // A peer pings every few seconds and changes its settings hardly ever.
            control: Bucket::new(200.0, 20.0),
            // An application that resets its connections may do so a few hundred times a second.
            resets: Bucket::new(2000.0, 500.0),
        }
    }

    /// Looks at the next bytes of the connection.
    pub fn scan(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let missing = (HEADER - self.have).min(bytes.len());
            let (taken, rest) = bytes.split_at(missing);
            for (slot, byte) in self.header.iter_mut().skip(self.have).zip(taken) {
                *slot = *byte;
            }
            self.have += missing;
            bytes = rest;
            if self.have == HEADER {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// A header is complete: counts it and skips its payload.
    fn frame(&mut self, now: Instant) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let answer = flags & ACK != 0;
        match kind {
            DATA | HEADERS | GOAWAY | WINDOW_UPDATE | CONTINUATION => Ok(()),
            SETTINGS | PING if answer => Ok(()),
            RST_STREAM if self.resets.add(now) => Err(Flood::Reset),
            RST_STREAM => Ok(()),
            _ if self.control.add(now) => Err(Flood::Control),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
