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

/// Small hexadecimal digits of an id: written for every request, so without `fmt` and without memory of
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits<const N: usize>([u8; N]);

impl<const N: usize> Digits<N> {
    fn of(bytes: &[u8]) -> Self {
        let mut digits = [b'0'; N];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[letter(byte >> 4), letter(byte & 0xf)]);
        }
        Self(digits)
    }

    /// As a text.
    pub fn as_str(&self) -> &str {
        // Digits are always a text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn letter(half: u8) -> u8 {
    match half {
        0..=9 => b'0' + half,
        _ => b'a' + half - 10,
    }
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

    /// The digits, as they are written.
    pub fn digits(&self) -> Digits<32> {
        Digits::of(&self.0)
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

    /// The digits, as they are written.
    pub fn digits(&self) -> Digits<16> {
        Digits::of(&self.0)
    }
}

impl Display for TraceId {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.digits().as_str())
    }
}

impl Display for SpanId {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.digits().as_str())
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
