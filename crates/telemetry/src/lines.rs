//! Lines of a log, on standard output.
//!
//! The data path never waits for the log: a line is put behind those that wait, in one piece of memory
//! that a thread of its own takes as a whole and writes. When the reader of standard output is too slow,
//! lines are dropped, and the caller is told so that it can count them. The thread ends when the last
//! clone of the writer is dropped.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::scratch;

/// Bytes of lines that may wait for a slow reader: near a second of a busy node.
const BYTES: usize = 4 << 20;
/// Bytes of memory that is kept for the next lines.
const KEPT: usize = 1 << 20;

/// Rest after writing: on a busy node lines are then written by the dozen, and the data path does
/// not have to wake the writing thread for each.
const REST: Duration = Duration::from_millis(5);

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The way to the thread that writes lines. Clones are the same.
#[derive(Clone, Debug)]
pub struct LineWriter(Arc<Handle>);

/// Dropped with the last clone.
#[derive(Debug)]
struct Handle(Arc<Shared>);

/// What writers and the thread share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when something waits for the idle thread, and at the end.
    wanted: Condvar,
    /// Told when something has been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Bytes that were ever taken in.
    taken: u64,
    /// Bytes of them that are out.
    out: u64,
    /// Whether the thread waits to be told.
    is_idle: bool,
    /// Whether lines are of no use any more: standard output is closed, or nobody writes.
    is_closed: bool,
}

impl LineWriter {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        Self::start_with(io::stdout())
    }

    fn start_with(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || of_thread.write_lines(out))?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Hands over a line with its end. False if it was dropped: there was no room, or standard
    /// output is closed.
    #[must_use = "a dropped line has to be counted"]
    pub fn write(&self, line: Vec<u8>) -> bool {
        let is_taken = self.put(&line);
        scratch::give_back(line);
        is_taken
    }

    fn put(&self, line: &[u8]) -> bool {
        let Handle(shared) = &*self.0;
        let mut state = shared.state.lock();
        if state.is_closed || state.waiting.len() + line.len() > BYTES {
            return false;
        }
        state.waiting.extend_from_slice(line);
        state.taken += line.len() as u64;
        if std::mem::take(&mut state.is_idle) {
            drop(state);
            shared.wanted.notify_one();
        }
        true
    }

    /// Waits, not for long, until what has been written down is out.
    pub fn flush(&self) {
        let Handle(shared) = &*self.0;
        let mut state = shared.state.lock();
        let taken = state.taken;
        let is_left = |state: &mut State| state.out < taken && !state.is_closed;
        // If it takes longer, the reader is too slow.
        let _late = shared
            .written
            .wait_while_for(&mut state, is_left, LAST_LINES);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.wanted.notify_one();
    }
}

impl Shared {
    fn write_lines(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        while self.next(&mut lines) {
            // A closed standard output is not a reason to stop carrying traffic.
            let written = out.write_all(&lines).and_then(|()| out.flush());
            let mut state = self.state.lock();
            state.out += lines.len() as u64;
            state.is_closed |= written.is_err();
            drop(state);
            self.written.notify_all();
            if written.is_err() {
                return;
            }
            lines.clear();
            lines.shrink_to(KEPT);
            std::thread::sleep(REST);
        }
    }

    /// Waits for lines, and puts all that wait in place of none. False at the end.
    fn next(&self, lines: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.is_closed {
                return false;
            }
            state.is_idle = true;
            self.wanted.wait(&mut state);
        }
        std::mem::swap(&mut state.waiting, lines);
        true
    }
}

#[cfg(test)]
mod tests;
