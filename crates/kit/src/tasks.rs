//! Tracked tasks: every one has a name, is counted while it runs, and is told when to stop.
//!
//! [`Tasks`] is owned by the program's main function and cloned into whatever spawns. A task ends
//! by itself, or when [`Tasks::token`] is cancelled and it heeds that; [`Tasks::finish`] waits for
//! both kinds, but not for ever.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of a program; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Tasks that were still running when the time to finish was over.
#[derive(Debug, thiserror::Error)]
#[error("still running after {waited:?}: {}", .names.join(", "))]
pub struct Unfinished {
    /// How long was waited.
    pub waited: Duration,
    /// Their names.
    pub names: Vec<&'static str>,
}

impl Tasks {
    /// No task yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task under a name; many may share one.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let counted = Counted::new(name, Arc::clone(&self.running));
        self.tracker.spawn(async move {
            let _counted = counted;
            task.await
        })
    }

    /// Cancelled when the program is asked to stop.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks every task to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// How many tasks run, by name.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.running.lock().clone()
    }

    /// Asks every task to stop and waits until all have ended, or the time is over.
    pub async fn finish(&self, within: Duration) -> Result<(), Unfinished> {
        self.stop();
        self.tracker.close();
        match tokio::time::timeout(within, self.tracker.wait()).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => {
                let names = self.running.lock().keys().copied().collect();
                Err(Unfinished {
                    waited: within,
                    names,
                })
            }
        }
    }
}

/// Counts one running task for as long as it lives, however it ends.
struct Counted {
    name: &'static str,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Counted {
    fn new(name: &'static str, running: Arc<Mutex<BTreeMap<&'static str, usize>>>) -> Self {
        *running.lock().entry(name).or_insert(0) += 1;
        Self { name, running }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
