//! Where in which trace a request stands: ids, in memory and as hexadecimal digits.

use std::fmt::{Display, Formatter};

/// A text is no id: it has other characters than small hexadecimal digits, is too short or too long, or
/// is all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of a trace or span")]
pub struct IdError;

/// The id of a trace; never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span; never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span that others have as their parent.
    pub span: SpanId,
    /// Whether it is recorded; `None` if nobody has decided.
    pub sampled: Option<bool>,
}

impl TraceId {
    /// An id made of a random number. The one number that is no id stands for another one.
    pub fn new(random: u128) -> Self {
        Self(random.max(1).to_be_bytes())
    }

    /// Reads 32 digits, or 16 as B3 allows: they are the lower half.
    pub(crate) fn read(text: &[u8]) -> Result<Self, IdError> {
        let mut bytes = [0; 16];
        match text.len() {
            32 => digits(text, &mut bytes)?,
            16 => digits(text, bytes.last_chunk_mut::<8>().ok_or(IdError)?)?,
            _ => return Err(IdError),
        }
        is_some(&bytes).then_some(Self(bytes)).ok_or(IdError)
    }

    /// The bytes, in the order in which they are written.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The lower half, which is random whoever made the id.
    pub(crate) fn lower(&self) -> u128 {
        u128::from_be_bytes(self.0) % (1 << 64)
    }
}

impl SpanId {
    /// An id made of a random number. The one number that is no id stands for another one.
    pub fn new(random: u64) -> Self {
        Self(random.max(1).to_be_bytes())
    }

    /// Reads 16 digits.
    pub(crate) fn read(text: &[u8]) -> Result<Self, IdError> {
        let mut bytes = [0; 8];
        digits(text, &mut bytes)?;
        is_some(&bytes).then_some(Self(bytes)).ok_or(IdError)
    }

    /// The bytes, in the order in which they are written.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl Display for TraceId {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Display for SpanId {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:016x}", u64::from_be_bytes(self.0))
    }
}

fn is_some(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// Reads exactly as many small hexadecimal digits as there is room for.
pub(crate) fn digits(text: &[u8], into: &mut [u8]) -> Result<(), IdError> {
    if text.len() != into.len() * 2 {
        return Err(IdError);
    }
    for (pair, byte) in text.chunks_exact(2).zip(into) {
        let [high, low] = *pair else {
            return Err(IdError);
        };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Ok(())
}

fn digit(byte: u8) -> Result<u8, IdError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(IdError),
    }
}
