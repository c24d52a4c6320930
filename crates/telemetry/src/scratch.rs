//! Memory for a line while it is made. Each thread has one piece, which is used for its lines in turn: a
//! line that is made and handed over takes no memory of its own.

use std::cell::Cell;

/// Room for a usual line.
const USUAL: usize = 1024;
/// What is kept for the next line, in bytes.
const MOST: usize = 16 << 10;

thread_local! {
    static FREE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Memory for a line, empty and with room for a usual one.
pub fn take() -> Vec<u8> {
    // A thread that ends has none any more.
    let mut line = FREE.try_with(Cell::take).unwrap_or_default();
    line.reserve(USUAL);
    line
}

/// The line has been handed over.
pub(crate) fn give_back(mut line: Vec<u8>) {
    if line.capacity() <= MOST {
        line.clear();
        let _gone = FREE.try_with(|free| free.set(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_line_is_used_for_the_next_unless_it_is_much() {
        let mut line = take();
        assert!(line.capacity() >= USUAL);
        line.extend_from_slice(b"first");
        let place = line.as_ptr();
        give_back(line);
        let next = take();
        assert!(next.is_empty() && std::ptr::eq(next.as_ptr(), place));
        // One more at the same time has memory of its own.
        let other = take();
        assert!(!std::ptr::eq(other.as_ptr(), next.as_ptr()));
        give_back(Vec::with_capacity(MOST + 1));
        assert!(take().capacity() <= MOST);
    }
}
