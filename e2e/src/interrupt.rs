//! Ctrl-C and SIGTERM, so that a program of ours ends by dropping what it made.
//!
//! One thread waits for either. Handlers are used, not blocked signals: programs that it starts
//! would inherit a blocked mask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Whether the person wants to stop.
#[derive(Debug)]
pub struct Interrupt {
    came: Arc<AtomicBool>,
    waiting: JoinHandle<()>,
}

impl Interrupt {
    /// From now on the signals no longer end the process.
    pub fn install() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt()).context("taking Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("taking SIGTERM")?;
        drop(entered);
        let came = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&came);
        let waiting = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            flag.store(true, Ordering::Relaxed);
        });
        Ok(Self { came, waiting })
    }

    /// Whether a signal came.
    pub fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }

    /// An error if a signal came: ends the program between two steps.
    pub fn check(&self) -> Result<()> {
        if self.came() {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Waits for a signal.
    pub fn wait(&self) {
        while !self.waiting.is_finished() {
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}
