//! Counts the frames that cost us more than the peer, and says when there are too many.
//!
//! Flow control bounds data, and `h2` bounds what it queues; neither bounds how often a peer may
//! make us work for nothing with PING, SETTINGS or RST_STREAM. The scan reads frame headers
//! (RFC 9113 section 4.1) as the decrypted bytes pass by and keeps two leaky buckets. No I/O and
//! no clock here: the time is passed in.
//!
//! Peers that fit their windows to the way measure it by PING, once in every round trip in which DATA
//! comes in: at many small answers that is one for each. So each HEADERS and DATA that we send takes
//! one control frame out of its bucket. What that lets pass is no more than what we send.

use std::io::IoSlice;
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
/// Flag of SETTINGS and PING.
const ACK: u8 = 1;
/// Flag of DATA.
const END_STREAM: u8 = 1;
/// Flag of DATA: a length of padding stands first, at most [`MOST_PADDING`], and so much at the end.
const PADDED: u8 = 8;
/// Most bytes of a frame that are padding, its length among them.
const MOST_PADDING: usize = 256;

/// What a peer sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flood {
    /// PING, SETTINGS, PRIORITY, DATA without any, or frames of unknown type.
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

    /// Takes one out.
    fn take(&mut self) {
        self.level = (self.level - 1.0).max(0.0);
    }
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
}

/// Where the next byte stands among frames that pass one way.
#[derive(Debug)]
struct Frames {
    header: [u8; HEADER],
    have: usize,
    skip: usize,
}

impl Frames {
    /// Behind so many bytes that are no frame.
    const fn behind(skip: usize) -> Self {
        Self {
            header: [0; HEADER],
            have: 0,
            skip,
        }
    }

    /// Takes bytes off the front up to the end of the next header; `None` once all are taken.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let rest = bytes.get(skipped..).unwrap_or_default();
        let missing = (HEADER - self.have).min(rest.len());
        let (taken, rest) = rest.split_at(missing);
        for (slot, byte) in self.header.iter_mut().skip(self.have).zip(taken) {
            *slot = *byte;
        }
        self.have += missing;
        *bytes = rest;
        if self.have < HEADER {
            return None;
        }
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        (self.have, self.skip) = (0, length);
        Some(Head {
            length,
            kind,
            flags,
        })
    }
}

/// The scan of one connection's frames.
#[derive(Debug)]
pub struct Guard {
    received: Frames,
    sent: Frames,
    control: Bucket,
    resets: Bucket,
}

impl Guard {
    /// A guard of what a server sends.
    pub(crate) fn of_server() -> Self {
        Self::new(0, PREFACE)
    }

    /// A guard of what a client sends.
    pub fn of_client() -> Self {
        Self::new(PREFACE, 0)
    }

    fn new(received: usize, sent: usize) -> Self {
        Self {
            received: Frames::behind(received),
            sent: Frames::behind(sent),
            // A peer pings every few seconds and changes its settings hardly ever.
            control: Bucket::new(200.0, 20.0),
            // An application that resets its connections may do so a few hundred times a second.
            resets: Bucket::new(2000.0, 500.0),
        }
    }

    /// Looks at the next bytes that the peer sends.
    pub fn scan(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while let Some(head) = self.received.next(&mut bytes) {
            self.count(head, now)?;
        }
        Ok(())
    }

    /// Looks at the next bytes that we send: so many of these.
    pub fn wrote(&mut self, parts: &[IoSlice<'_>], mut written: usize) {
        for part in parts {
            let mut bytes = part.get(..written).unwrap_or(part);
            written -= bytes.len();
            while let Some(head) = self.sent.next(&mut bytes) {
                if matches!(head.kind, DATA | HEADERS) {
                    self.control.take();
                }
            }
        }
    }

    fn count(&mut self, head: Head, now: Instant) -> Result<(), Flood> {
        let Head {
            length,
            kind,
            flags,
        } = head;
        match kind {
            DATA if flags & END_STREAM != 0 => Ok(()),
            DATA if flags & PADDED != 0 && length > MOST_PADDING => Ok(()),
            // Of a shorter one all may be padding.
            DATA if flags & PADDED == 0 && length > 0 => Ok(()),
            HEADERS | GOAWAY | WINDOW_UPDATE | CONTINUATION => Ok(()),
            SETTINGS | PING if flags & ACK != 0 => Ok(()),
            RST_STREAM if self.resets.add(now) => Err(Flood::Reset),
            RST_STREAM => Ok(()),
            _ if self.control.add(now) => Err(Flood::Control),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
