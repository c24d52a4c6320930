//! Lines arrive whole and in order, and nobody waits for a reader that does not read.

use std::sync::Arc;
use std::sync::mpsc::channel;

use parking_lot::Mutex;

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that reads nothing until its other end is dropped.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_flush_finds_every_line_written_in_order() {
    let page = Page::default();
    let writer = LineWriter::start_with(page.clone()).unwrap();
    for line in ["one\n", "two\n", "three\n"] {
        assert!(writer.write(line.into()));
    }
    writer.flush();
    assert_eq!(*page.0.lock(), b"one\ntwo\nthree\n");
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_no_time() {
    let (free, held) = channel();
    let writer = LineWriter::start_with(Stuck(held)).unwrap();
    // What waits, and what the thread may have taken before it got stuck.
    let written = (0..4 * DEPTH).filter(|_| writer.write(b"line\n".to_vec()));
    let written = written.count();
    assert!((DEPTH..=2 * DEPTH + 1).contains(&written), "{written}");
    drop(free);
}
