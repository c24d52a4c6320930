//! The language between two host roles: JSON messages with descriptors, over a stream socket.
//!
//! A frame is eight bytes (length of the message, number of descriptors, both little-endian) and
//! the message. Descriptors travel with the first byte. Only root can be at the other end, but it
//! may be of another version: whatever cannot be read is an error, never a guess.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use ambit_netsys::passing;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::host::kept::KeptPod;

/// Version of this language; the first message of each side names it.
pub(crate) const VERSION: u32 = 1;
/// Longest message; the largest one names a pod.
const LONGEST: usize = 64 * 1024;
/// Most descriptors of a frame: a namespace and its listeners, with room to grow.
const MOST_DESCRIPTORS: usize = 32;
const HEADER: usize = 8;

/// What host roles say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Word {
    /// The new role asks for everything.
    Hello {
        /// The language it speaks.
        version: u32,
        /// Whether it knows of listeners for questions about names; roles of old do not.
        #[serde(default)]
        names: bool,
    },
    /// The old role answers: how much will follow. With the page sockets, and one more descriptor
    /// if a generation serves: the way to its counters.
    State {
        /// The language it speaks.
        version: u32,
        /// How many pods follow.
        pods: usize,
        /// The last generation number it gave.
        last_generation: u64,
        /// The generation that serves.
        serving: Option<u64>,
        /// Where the page sockets listen.
        pages: Vec<SocketAddr>,
    },
    /// A pod, with its namespace and its listeners.
    Pod {
        /// The pod.
        kept: Box<KeptPod>,
        /// Where its listeners listen.
        listeners: Vec<SocketAddr>,
    },
    /// The new role serves; the old one has only its open connections left.
    Taken,
}

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: UnixStream,
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Frames {
    /// Speaks over this socket.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// The user at the other end.
    pub(crate) fn peer(&self) -> io::Result<u32> {
        Ok(passing::peer_credentials(&self.stream)?.uid)
    }

    /// Says a word.
    pub(crate) async fn send(&self, word: &Word, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let message = serde_json::to_vec(word)?;
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let count = u32::try_from(descriptors.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(HEADER + message.len());
        frame.extend(length.to_le_bytes());
        frame.extend(count.to_le_bytes());
        frame.extend(message);
        let (mut rest, mut descriptors) = (frame.as_slice(), descriptors);
        while !rest.is_empty() {
            let send = || passing::send(&self.stream, rest, descriptors);
            let sent = self.stream.async_io(Interest::WRITABLE, send).await?;
            descriptors = &[];
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits for a word and its descriptors; `None` when the other role is gone.
    pub(crate) async fn recv(&mut self) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
        loop {
            if let Some(heard) = self.take()? {
                return Ok(Some(heard));
            }
            let mut chunk = vec![0; 4096];
            let receive = || passing::recv(&self.stream, &mut chunk);
            let (count, descriptors) = self.stream.async_io(Interest::READABLE, receive).await?;
            if count == 0 {
                return Ok(None);
            }
            self.bytes
                .extend_from_slice(chunk.get(..count).unwrap_or_default());
            self.descriptors.extend(descriptors);
            if self.descriptors.len() > MOST_DESCRIPTORS {
                return Err(malformed("more descriptors than announced"));
            }
        }
    }

    /// Takes a whole frame out of what has been read.
    fn take(&mut self) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
        let Some(parsed) = parse(&self.bytes)? else {
            return Ok(None);
        };
        if parsed.descriptors > self.descriptors.len() {
            return Err(malformed("fewer descriptors than announced"));
        }
        self.bytes.drain(..parsed.length);
        Ok(Some((
            parsed.word,
            self.descriptors.drain(..parsed.descriptors).collect(),
        )))
    }
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Its message.
    pub(crate) word: Word,
    /// How many descriptors belong to it.
    pub(crate) descriptors: usize,
    /// Its bytes.
    pub(crate) length: usize,
}

/// Reads the first frame; `None` if more must come.
pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<Parsed>> {
    let Some(([a, b, c, d, e, f, g, h], rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let number = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
    let (length, descriptors) = (number([*a, *b, *c, *d]), number([*e, *f, *g, *h]));
    if length > LONGEST || descriptors > MOST_DESCRIPTORS {
        return Err(malformed("a frame is larger than any frame can be"));
    }
    let Some(message) = rest.get(..length) else {
        return Ok(None);
    };
    let word = serde_json::from_slice(message).map_err(|error| malformed(&error.to_string()))?;
    Ok(Some(Parsed {
        word,
        descriptors,
        length: HEADER + length,
    }))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the other host role: {what}"),
    )
}

#[cfg(test)]
mod tests;
