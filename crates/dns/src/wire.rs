//! Numbers and names in a packet. Every look is bounded, and past the end there is nothing.

/// Bytes before the first question.
pub const HEADER: usize = 12;
/// Longest name, as it travels.
const LONGEST_NAME: usize = 255;
/// Longest label.
const LONGEST_LABEL: u8 = 63;
/// How often a name may go on elsewhere in the packet.
const MOST_JUMPS: usize = 64;

/// The number in two bytes.
pub(crate) fn number(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

/// The number in four bytes.
pub(crate) fn long_number(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

/// A name in small letters without a dot at its end, and where the next thing begins.
///
/// A name may go on at an earlier place of the packet; each jump must go further back than the one
/// before, so that there is an end.
pub(crate) fn name(packet: &[u8], start: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let (mut at, mut after, mut lowest) = (start, None, start);
    let mut jumps = 0;
    loop {
        let length = *packet.get(at)?;
        match length {
            0 => return Some((text, after.unwrap_or(at + 1))),
            1..=LONGEST_LABEL => {
                let label = packet.get(at + 1..at + 1 + usize::from(length))?;
                push_label(&mut text, label)?;
                at += 1 + usize::from(length);
            }
            0xC0.. => {
                let target = usize::from(number(packet, at)? & 0x3FFF);
                after.get_or_insert(at + 2);
                jumps += 1;
                if target >= lowest || jumps > MOST_JUMPS {
                    return None;
                }
                (at, lowest) = (target, target);
            }
            _ => return None,
        }
    }
}

/// Bytes that are no letters of a host name are written so that they cannot be taken for any.
fn push_label(text: &mut String, label: &[u8]) -> Option<()> {
    if !text.is_empty() {
        text.push('.');
    }
    for byte in label {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => {
                text.push(char::from(byte.to_ascii_lowercase()));
            }
            other => {
                text.push('\\');
                for digit in [other / 100, other / 10 % 10, other % 10] {
                    text.push(char::from(b'0' + digit));
                }
            }
        }
    }
    // Four characters for a byte at most; what is longer than any name is none.
    (text.len() <= 4 * LONGEST_NAME).then_some(())
}

/// Where the next thing begins after a name that goes on nowhere else: in a question, before which
/// there is no other name.
pub(crate) fn after_plain_name(packet: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = *packet.get(at)?;
        if length > LONGEST_LABEL || at - start >= LONGEST_NAME {
            return None;
        }
        at += 1 + usize::from(length);
        if length == 0 {
            return (at - start <= LONGEST_NAME).then_some(at);
        }
    }
}

/// A record of a packet, behind its questions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Where it begins, with its name.
    pub(crate) start: usize,
    /// Its type.
    pub(crate) kind: u16,
    /// Its class; of an `OPT` record a size.
    pub(crate) class: u16,
    /// How long it holds; of an `OPT` record flags.
    pub(crate) ttl: u32,
    /// Where its data begin.
    pub(crate) data: usize,
    /// Where they end.
    pub(crate) end: usize,
}

/// The record that begins there.
pub(crate) fn record(packet: &[u8], start: usize) -> Option<Record> {
    let (_, at) = name(packet, start)?;
    let data = at + 10;
    let end = data + usize::from(number(packet, at + 8)?);
    // All of it must be there.
    packet.get(data..end)?;
    Some(Record {
        start,
        kind: number(packet, at)?,
        class: number(packet, at + 2)?,
        ttl: long_number(packet, at + 4)?,
        data,
        end,
    })
}
