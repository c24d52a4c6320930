//! What a pod asks.

use crate::wire::{self, HEADER};
use crate::{FORMERR, IN, OPT};

/// Bytes that every client can take by UDP (RFC 1035).
const SMALLEST: u16 = 512;
/// Most that is sent by UDP whatever the client says: more travels in pieces.
const LARGEST: u16 = 1232;
/// Bit of a response.
const RESPONSE: u16 = 0x8000;
/// Bits of the kind of a request; all zero is a question.
const OPCODE: u16 = 0x7800;
/// Bit of a client that wants its question followed up.
const RECURSION: u16 = 0x0100;
/// Bit of a client that verifies signatures itself.
const CHECKING_DISABLED: u16 = 0x0010;
/// The answer is of the one who knows; recursion can be had.
const ANSWERED: u16 = RESPONSE | 0x0400 | 0x0080;
/// The answer did not fit.
const TRUNCATED: u16 = 0x0200;

/// A packet of a client that can be forwarded, read as far as the mesh cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    packet: &'a [u8],
    flags: u16,
    asked: Option<Asked<'a>>,
}

/// The one question of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked<'a> {
    /// As it came, letter by letter.
    bytes: &'a [u8],
    name: String,
    kind: u16,
    class: u16,
    edns: Option<Edns>,
}

/// What the client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edns {
    size: u16,
    flags: u32,
}

/// Why a packet goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no request at all: an answer to it could be an answer to an answer.
    Silent,
    /// It is a request that cannot be read; this is said to the client.
    Malformed(Vec<u8>),
}

impl<'a> Query<'a> {
    /// Reads a packet of a client.
    ///
    /// # Errors
    /// If it is no request, or one that cannot be read.
    pub fn read(packet: &'a [u8]) -> Result<Self, Unreadable> {
        let flags = wire::number(packet, 2).ok_or(Unreadable::Silent)?;
        if packet.len() < HEADER || flags & RESPONSE != 0 {
            return Err(Unreadable::Silent);
        }
        // Other requests than questions are for the resolver to judge.
        let questions = wire::number(packet, 4).unwrap_or_default();
        let asked = match (flags & OPCODE, questions) {
            (0, 1) => Some(
                Asked::read(packet)
                    .ok_or_else(|| Unreadable::Malformed(bare(packet, flags, FORMERR)))?,
            ),
            _ => None,
        };
        Ok(Self {
            packet,
            flags,
            asked,
        })
    }

    /// The packet as it came.
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// The name that is asked about, in small letters; `None` if this is no ordinary question.
    pub fn name(&self) -> Option<&str> {
        Some(&self.asked.as_ref()?.name)
    }

    /// The type of record that is asked for, if it is one of the Internet, by a client that speaks
    /// no newer language than we do.
    pub(crate) fn kind(&self) -> Option<u16> {
        let asked = self.asked.as_ref()?;
        let version = asked.edns.map_or(0, |edns| edns.flags >> 16 & 0xFF);
        (asked.class == IN && version == 0).then_some(asked.kind)
    }

    /// Bytes of the answer that the client can take by UDP.
    pub(crate) fn room(&self) -> usize {
        let edns = self.asked.as_ref().and_then(|asked| asked.edns);
        let size = edns.map_or(SMALLEST, |edns| edns.size.clamp(SMALLEST, LARGEST));
        usize::from(size)
    }

    /// The beginning of an answer: the question as it came, letter by letter.
    ///
    /// `records` are added by the caller, who must have counted them.
    pub(crate) fn head(&self, records: u16, truncated: bool) -> Vec<u8> {
        let mut flags = ANSWERED | self.flags & (RECURSION | CHECKING_DISABLED);
        if truncated {
            flags |= TRUNCATED;
        }
        let question = self.asked.as_ref().map_or(&[][..], |asked| asked.bytes);
        let said = u16::from(self.edns().is_some());
        let mut answer = Vec::with_capacity(usize::from(SMALLEST));
        answer.extend(self.packet.iter().take(2));
        for number in [flags, 1, records, 0, said] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(question);
        answer
    }

    /// What answers the client's own `OPT` record: nothing to a client that sent none.
    pub(crate) fn tail(&self) -> Vec<u8> {
        let Some(edns) = self.edns() else {
            return Vec::new();
        };
        // Whether it wants signatures is said back to it (RFC 3225).
        let flags = edns.flags & 0x8000;
        let mut tail = vec![0];
        tail.extend(OPT.to_be_bytes());
        tail.extend(LARGEST.to_be_bytes());
        tail.extend(flags.to_be_bytes());
        tail.extend(0_u16.to_be_bytes());
        tail
    }

    /// An answer with nothing but this code.
    pub fn refusal(&self, code: u8) -> Vec<u8> {
        bare(self.packet, self.flags, code)
    }

    fn edns(&self) -> Option<Edns> {
        self.asked.as_ref()?.edns
    }
}

impl<'a> Asked<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        let after_name = wire::after_plain_name(packet, HEADER)?;
        let (name, _) = wire::name(packet, HEADER)?;
        let bytes = packet.get(HEADER..after_name + 4)?;
        Some(Self {
            bytes,
            name,
            kind: wire::number(packet, after_name)?,
            class: wire::number(packet, after_name + 2)?,
            edns: edns(packet, after_name + 4)?,
        })
    }
}

/// What the client says of itself, if it does; the outer `None` if a record cannot be read.
fn edns(packet: &[u8], start: usize) -> Option<Option<Edns>> {
    let counts = [6, 8, 10].map(|at| wire::number(packet, at).unwrap_or_default());
    let records: usize = counts.into_iter().map(usize::from).sum();
    let (mut at, mut edns) = (start, None);
    for _ in 0..records {
        let record = wire::record(packet, at)?;
        if record.kind == OPT {
            let (size, flags) = (record.class, record.ttl);
            edns = Some(Edns { size, flags });
        }
        at = record.end;
    }
    Some(edns)
}

/// The question that a packet has, with a code and nothing else.
fn bare(packet: &[u8], flags: u16, code: u8) -> Vec<u8> {
    let question = wire::after_plain_name(packet, HEADER)
        .filter(|_| wire::number(packet, 4) == Some(1))
        .and_then(|end| packet.get(HEADER..end + 4))
        .unwrap_or_default();
    let kept = OPCODE | RECURSION | CHECKING_DISABLED;
    let flags = RESPONSE | 0x0080 | flags & kept | u16::from(code & 0xF);
    let mut answer = Vec::with_capacity(HEADER + question.len());
    answer.extend(packet.iter().take(2));
    for number in [flags, u16::from(!question.is_empty()), 0, 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(question);
    answer
}

#[cfg(test)]
mod tests;
