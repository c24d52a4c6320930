//! Notices bytes of a stream that came and that nobody asks for.
//!
//! Whoever speaks a protocol on a stream does not look at it while it has to wait elsewhere, for a
//! slow client say. Meanwhile this is woken in its place when bytes come, and counts the stream as
//! stuck ([`window`]) until somebody asks again.
//!
//! [`window`]: crate::window

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Wake;

use crate::transport::Watch;

/// The reader waits for bytes, or looks at them now.
const ASKED: u8 = 0;
/// Nobody asks, and nothing is there.
const QUIET: u8 = 1;
/// Nobody asks for what is there.
const STUCK: u8 = 2;

/// The bytes of one stream that nobody asks for.
#[derive(Debug)]
pub(crate) struct Unread {
    connection: Arc<Watch>,
    state: AtomicU8,
}

impl Unread {
    /// Of a stream of this connection.
    pub(crate) fn new(connection: Arc<Watch>) -> Arc<Self> {
        Arc::new(Self {
            connection,
            state: AtomicU8::new(ASKED),
        })
    }

    /// Whether something is there that nobody asks for.
    pub(crate) fn is_stuck(&self) -> bool {
        self.state.load(Ordering::Acquire) == STUCK
    }

    /// The reader asks.
    pub(crate) fn asked(&self) {
        self.turn(ASKED);
    }

    /// The reader has got all that there was; what comes next wakes this.
    pub(crate) fn quiet(&self) {
        self.turn(QUIET);
    }

    /// The reader has left something.
    pub(crate) fn left(&self) {
        self.turn(STUCK);
    }

    fn turn(&self, to: u8) {
        let before = self.state.swap(to, Ordering::AcqRel);
        if before == STUCK && to != STUCK {
            self.connection.blocked.leave();
        } else if before != STUCK && to == STUCK {
            self.connection.blocked.enter();
        }
    }
}

impl Wake for Unread {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let turned = self
            .state
            .compare_exchange(QUIET, STUCK, Ordering::AcqRel, Ordering::Acquire);
        if turned.is_ok() {
            self.connection.blocked.enter();
        }
    }
}
