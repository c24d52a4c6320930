//! Lines arrive whole and in order, and nobody waits for a reader that does not read.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

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
        assert!(writer.write(line.as_bytes().to_vec()));
    }
    writer.flush();
    assert_eq!(*page.0.lock(), b"one\ntwo\nthree\n");
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_no_time() {
    let (free, held) = channel();
    let writer = LineWriter::start_with(Stuck(held)).unwrap();
    // What waits, and what the thread may have taken before it got stuck.
    let line = vec![b'a'; 1024];
    let most = BYTES / line.len();
    let written = (0..4 * most).filter(|_| writer.write(line.clone())).count();
    assert!((most..=2 * most).contains(&written), "{written}");
    drop(free);
}

#[test]
fn the_last_clone_s_end_is_the_thread_s_after_the_last_line() {
    let page = Page::default();
    let writer = LineWriter::start_with(page.clone()).unwrap();
    let other = writer.clone();
    drop(writer);
    assert!(other.write(b"last\n".to_vec()));
    let shared = Arc::downgrade(&other.0.0);
    drop(other);
    while shared.strong_count() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(*page.0.lock(), b"last\n");
}

#[test]
fn what_is_closed_takes_no_lines() {
    /// A pipe whose reader is gone.
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writer = LineWriter::start_with(Closed).unwrap();
    assert!(writer.write(b"line\n".to_vec()), "nobody knows yet");
    writer.flush();
    assert!(!writer.write(b"line\n".to_vec()));
}
