//! What a client sends on HTTP/1, looked at before any parser sees it: a machine without I/O.
//!
//! Two readers that disagree about where a request ends are how requests are smuggled. So a head is
//! handed on only when all of it has passed these rules, which leave one reading (RFC 9112):
//!
//! - lines end with CRLF, and CR and LF stand nowhere else; no line continues the one before it
//! - a name is a token right before its colon; a value has no control characters
//! - the length of a body is told once: one Content-Length of digits, or one `Transfer-Encoding:
//!   chunked`, never both, and no Transfer-Encoding in HTTP/1.0
//! - HTTP/1.1 has one Host
//!
//! Bodies are followed, not changed: chunk sizes, extensions and trailers have to be as strict.
//!
//! ```text
//!   Head --no body--> Head     Head --length--> Length --> Head
//!   Head --chunked--> Size <--> Data --last--> Trailers --> Head
//!   Head --CONNECT, Upgrade--> Opaque: the rest is not HTTP, or the connection ends with the answer
//! ```

mod fields;

use self::fields::{Fields, Framing};

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the request line.
    pub line: usize,
    /// Bytes of the head, and of trailers.
    pub head: usize,
    /// Fields of the head, and of trailers.
    pub fields: usize,
}

/// Bytes of a chunk's size and its extensions.
const CHUNK_LINE: usize = 1024;

/// What is wrong with what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first line is not `METHOD TARGET HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// CR or LF alone.
    #[error("a line ends with something other than CRLF")]
    LineEnd,
    /// A line that begins with a blank (RFC 9112 section 5.2).
    #[error("a header line continues the one before it")]
    Folded,
    /// A name that is no token, or a blank before the colon.
    #[error("a header's name is malformed")]
    Name,
    /// A control character.
    #[error("a header's value has a control character")]
    Value,
    /// Several lengths, or one that is no number.
    #[error("Content-Length is not one number")]
    Length,
    /// Anything but one `chunked`.
    #[error("Transfer-Encoding is something other than one `chunked`")]
    Encoding,
    /// Two ways to tell the length.
    #[error("there are both Content-Length and Transfer-Encoding")]
    Ambiguous,
    /// No Host in HTTP/1.1, several, or one with characters that no host has.
    #[error("there is not exactly one valid Host")]
    Host,
    /// A chunk's size or end.
    #[error("a chunk is malformed")]
    Chunk,
    /// A trailer that would change how the message is read.
    #[error("a trailer that must not be one")]
    Trailer,
    /// A line longer than allowed.
    #[error("the request line is too long")]
    LineTooLong,
    /// A head larger than allowed.
    #[error("the headers are too large")]
    HeadTooLarge,
    /// More fields than allowed.
    #[error("there are too many headers")]
    TooMany,
    /// It did not come in time.
    #[error("the request did not come in time")]
    Late,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::LineTooLong => 414,
            Self::HeadTooLarge | Self::TooMany => 431,
            Self::Version => 505,
            Self::Late => 408,
            _ => 400,
        }
    }

    /// A stable word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::LineTooLong | Self::HeadTooLarge | Self::TooMany => "oversized_request",
            Self::Late => "slow_request",
            _ => "malformed_request",
        }
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The head of a request.
    Head,
    /// The rest of a request.
    Rest,
    /// What is no HTTP, or not any more.
    Anything,
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Opaque,
}

/// Follows one connection.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    state: State,
    /// How much of what is not complete was shown before: it is not read again for every byte that
    /// a slow client adds.
    shown: usize,
}

impl Scanner {
    /// At the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Head,
            shown: 0,
        }
    }

    /// How many bytes at the beginning of `bytes` may be handed on. The rest belongs to something
    /// that is not complete: it is to be shown again, with more. A fault counts after those.
    pub fn passable(&mut self, bytes: &[u8]) -> (usize, Result<(), Fault>) {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok(0) => break,
                Ok(taken) => passed += taken,
                Err(fault) => return (passed, Err(fault)),
            }
        }
        (passed, Ok(()))
    }

    /// What comes next.
    pub fn awaits(&self) -> Awaits {
        match self.state {
            State::Head => Awaits::Head,
            State::Opaque => Awaits::Anything,
            _ => Awaits::Rest,
        }
    }

    /// Takes one unit off the front; 0 if it is not complete.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let is_of_lines = matches!(self.state, State::Head | State::Size | State::Trailers);
        if is_of_lines && rest.len() <= self.limits.head {
            let fresh = rest.get(self.shown..).unwrap_or_default();
            if !fresh.contains(&b'\n') {
                self.shown = rest.len();
                return Ok(0);
            }
        }
        let taken = self.unit(rest)?;
        self.shown = if taken == 0 { rest.len() } else { 0 };
        Ok(taken)
    }

    fn unit(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        match self.state {
            State::Head => self.head(rest),
            State::Length(left) => Ok(self.counted(left, rest, State::Length, State::Head)),
            State::Size => self.size(rest),
            State::Data(left) => Ok(self.counted(left, rest, State::Data, State::DataEnd)),
            State::DataEnd => self.data_end(rest),
            State::Trailers => self.trailers(rest),
            State::Opaque => Ok(rest.len()),
        }
    }

    fn counted(&mut self, left: u64, rest: &[u8], same: fn(u64) -> State, next: State) -> usize {
        let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let left = left.saturating_sub(taken as u64);
        self.state = if left == 0 { next } else { same(left) };
        taken
    }

    fn head(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        // RFC 9112 section 2.2: an empty line before a request is passed over.
        if let [b'\r', b'\n', ..] = rest {
            return Ok(2);
        }
        if rest == b"\r" {
            return Ok(0);
        }
        let Some(line) = line(rest, self.limits.line, Fault::LineTooLong)? else {
            return Ok(0);
        };
        let http10 = fields::request_line(line)?;
        let mut fields = Fields::of_head(self.limits.fields);
        let begin = line.len() + 2;
        let Some(end) = self.fields(rest, begin, &mut fields)? else {
            return Ok(0);
        };
        let framing = fields.framing(http10)?;
        let opaque = fields.upgrades() || line.starts_with(b"CONNECT ");
        self.state = match framing {
            _ if opaque => State::Opaque,
            Framing::Length(0) | Framing::None => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
        };
        Ok(end)
    }

    /// Reads fields up to the empty line; the position after it.
    fn fields(
        &self,
        rest: &[u8],
        begin: usize,
        fields: &mut Fields,
    ) -> Result<Option<usize>, Fault> {
        let mut at = begin;
        loop {
            let left = self.limits.head.saturating_sub(at);
            let Some(line) = line(
                rest.get(at..).unwrap_or_default(),
                left,
                Fault::HeadTooLarge,
            )?
            else {
                return Ok(None);
            };
            at += line.len() + 2;
            if line.is_empty() {
                return Ok(Some(at));
            }
            fields.add(line)?;
        }
    }

    fn size(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let Some(line) = line(rest, CHUNK_LINE, Fault::Chunk)? else {
            return Ok(0);
        };
        self.state = match fields::chunk_size(line)? {
            0 => State::Trailers,
            size => State::Data(size),
        };
        Ok(line.len() + 2)
    }

    fn data_end(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(2)
            }
            [b'\r'] => Ok(0),
            _ => Err(Fault::Chunk),
        }
    }

    fn trailers(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let mut fields = Fields::of_trailers(self.limits.fields);
        let Some(end) = self.fields(rest, 0, &mut fields)? else {
            return Ok(0);
        };
        self.state = State::Head;
        Ok(end)
    }
}

/// The first line without its CRLF; `None` if its end is not there yet.
fn line(rest: &[u8], limit: usize, too_long: Fault) -> Result<Option<&[u8]>, Fault> {
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let Some(end) = end else {
        return if rest.len() > limit {
            Err(too_long)
        } else {
            Ok(None)
        };
    };
    if end > limit {
        return Err(too_long);
    }
    match rest.get(end..) {
        Some([b'\r', b'\n', ..]) => Ok(rest.get(..end)),
        Some([b'\r']) => Ok(None),
        _ => Err(Fault::LineEnd),
    }
}

#[cfg(test)]
mod tests;
