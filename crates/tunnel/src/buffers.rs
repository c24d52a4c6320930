//! Large buffers for bytes on their way, shared by all connections of the process.
//!
//! A connection takes one when there is something to read and gives it back when the bytes have
//! gone on, so that idle connections hold none. A few are kept, because fresh memory costs more
//! in page faults than the bytes cost to copy.

use parking_lot::Mutex;

/// Bytes read at once, and so the payload of a full DATA frame.
pub(crate) const SIZE: usize = 128 << 10;

/// More room in each, for the heads of frames: bodies come in powers of two, and what does not fit
/// would be a short write of its own.
const HEADS: usize = 2 << 10;

/// Buffers kept for the next reader: 4 MiB.
const KEPT: usize = 32;

/// Reads shorter than this are better copied out, so that few bytes never hold a large buffer.
const COPIED: usize = SIZE / 8;

static FREE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer that goes back to the others when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    filled: usize,
}

impl Buffer {
    /// Takes a kept buffer, or makes one.
    pub(crate) fn take() -> Self {
        let memory = FREE.lock().pop();
        Self {
            memory: memory.unwrap_or_else(|| vec![0; SIZE + HEADS].into_boxed_slice()),
            filled: 0,
        }
    }

    /// At most `limit` bytes to read into.
    pub(crate) fn space(&mut self, limit: usize) -> &mut [u8] {
        let end = limit.min(SIZE);
        self.memory.get_mut(..end).unwrap_or_default()
    }

    /// Says how many bytes have been read.
    pub(crate) fn fill(&mut self, filled: usize) {
        self.filled = filled.min(self.memory.len());
    }

    /// Adds as many bytes as fit; how many did.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.memory.get_mut(self.filled..).unwrap_or_default();
        let fits = bytes.len().min(space.len());
        if let (Some(space), Some(bytes)) = (space.get_mut(..fits), bytes.get(..fits)) {
            space.copy_from_slice(bytes);
        }
        self.filled += fits;
        fits
    }

    /// What has been read.
    pub(crate) fn filled(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }

    /// What has been read, in memory of its own size if there is little of it.
    pub(crate) fn compact(self) -> Result<Box<[u8]>, Self> {
        if self.filled < COPIED {
            Ok(self.filled().into())
        } else {
            Err(self)
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.filled()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut free = FREE.lock();
        if !memory.is_empty() && free.len() < KEPT {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests;
