//! PINGs that tell a peer that is merely quiet from one that is gone.
//!
//! ```text
//! Resting --(every)--> send PING --> Waiting --(PONG)--> Resting
//!                                    Waiting --(dead)--> Dead
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

use crate::settings::Settings;

/// What a keepalive has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// The peer has answered.
    Alive,
    /// The peer has not answered in time.
    Dead,
}

/// The keepalive of one connection.
#[derive(Debug)]
pub(crate) struct Keepalive {
    pings: Option<PingPong>,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    every: Duration,
    dead: Duration,
}

impl Keepalive {
    /// Begins with a rest.
    pub(crate) fn new(pings: Option<PingPong>, settings: &Settings) -> Self {
        Self {
            pings,
            timer: Box::pin(sleep(settings.ping_every)),
            waiting: false,
            every: settings.ping_every,
            dead: settings.ping_dead,
        }
    }

    /// Ready when the peer has answered a PING, or has failed to.
    pub(crate) fn poll_beat(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        loop {
            if self.waiting && self.poll_pong(cx).is_ready() {
                self.waiting = false;
                self.timer.as_mut().reset(Instant::now() + self.every);
                return Poll::Ready(Beat::Alive);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.waiting {
                return Poll::Ready(Beat::Dead);
            }
            // A connection that takes no PING is closing; the timer then finds it dead.
            if let Some(pings) = &mut self.pings {
                let _closing = pings.send_ping(Ping::opaque()).is_err();
            }
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.dead);
        }
    }

    fn poll_pong(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.pings.as_mut().map(|pings| pings.poll_pong(cx)) {
            Some(Poll::Ready(Ok(_))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}
