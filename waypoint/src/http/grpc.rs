//! Messages of gRPC, counted as the pieces of a body go by. Nothing is kept of them but where in a
//! message the last piece ended.

/// Bytes before each message: a flag, and the length in four.
const PREFIX: u8 = 5;

/// How far the messages of a body have gone by.
#[derive(Debug, Default)]
pub struct Messages {
    /// Bytes of the prefix that have gone by.
    prefix: u8,
    /// Bytes of the message that are still to come.
    rest: usize,
}

impl Messages {
    /// How many messages end in this piece.
    pub fn ended_by(&mut self, mut piece: &[u8]) -> u64 {
        let mut ended = 0;
        loop {
            if self.prefix == PREFIX {
                let here = piece.len().min(self.rest);
                self.rest -= here;
                if self.rest > 0 {
                    return ended;
                }
                piece = piece.get(here..).unwrap_or_default();
                ended += 1;
                self.prefix = 0;
            }
            let Some((byte, after)) = piece.split_first() else {
                return ended;
            };
            if self.prefix > 0 {
                self.rest = self.rest << 8 | usize::from(*byte);
            }
            self.prefix += 1;
            piece = after;
        }
    }
}

#[cfg(test)]
mod tests;
