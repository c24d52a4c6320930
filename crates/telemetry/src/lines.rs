//! Lines of a log, on standard output.
//!
//! The data path never waits for the log: lines go through a bounded channel to a thread of their
//! own; when the reader of standard output is too slow, lines are dropped, and the caller is told
//! so that it can count them. The thread ends when the last clone of the writer is dropped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait for a slow reader: about a second of a busy node, some megabytes.
const DEPTH: usize = 8192;
/// Bytes of them: lines in a user's format may be long.
const BYTES: usize = 16 << 20;

/// Rest after writing: on a busy node lines are then written by the dozen, and the data path does
/// not have to wake the writing thread for each.
const REST: Duration = Duration::from_millis(5);

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The way to the thread that writes lines.
#[derive(Clone, Debug)]
pub struct LineWriter {
    lines: SyncSender<Message>,
    /// Bytes that wait.
    held: Arc<AtomicUsize>,
}

/// What the writing thread is given.
enum Message {
    /// A line with its end.
    Line(Vec<u8>),
    /// To be dropped when everything before has been written.
    Mark(SyncSender<()>),
}

impl LineWriter {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        Self::start_with(io::stdout())
    }

    fn start_with(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(DEPTH);
        let held = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&held);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_lines(&waiting, &written, out))?;
        Ok(Self { lines, held })
    }

    /// Hands over a line with its end. False if it was dropped: there was no room, or standard
    /// output is closed.
    #[must_use = "a dropped line has to be counted"]
    pub fn write(&self, line: Vec<u8>) -> bool {
        let length = line.len();
        if self.held.fetch_add(length, Ordering::Relaxed) + length > BYTES
            || self.lines.try_send(Message::Line(line)).is_err()
        {
            self.held.fetch_sub(length, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Waits, not for long, until what has been written down is out.
    pub fn flush(&self) {
        let (mark, written) = sync_channel(1);
        if self.lines.try_send(Message::Mark(mark)).is_ok() {
            // An end of the channel is the answer; without one the reader is too slow.
            written.recv_timeout(LAST_LINES).ok();
        }
    }
}

fn write_lines(waiting: &Receiver<Message>, held: &AtomicUsize, mut out: impl Write) {
    while let Ok(first) = waiting.recv() {
        let (mut batch, mut marks) = (Vec::new(), Vec::new());
        for message in std::iter::once(first).chain(waiting.try_iter().take(DEPTH)) {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Mark(mark) => marks.push(mark),
            }
        }
        // A closed standard output is not a reason to stop carrying traffic.
        if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
            return;
        }
        held.fetch_sub(batch.len(), Ordering::Relaxed);
        drop(marks);
        std::thread::sleep(REST);
    }
}

#[cfg(test)]
mod tests;
