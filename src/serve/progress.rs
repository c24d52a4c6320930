//! How far the connected agents have come: which of them acknowledged which publication.
//!
//! A withdrawal of a captured pod waits here until every agent that is connected has acknowledged
//! that the pod is no longer advertised, for a bounded time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

/// What is kept of a client's message for people.
const LONGEST_REJECTION: usize = 1024;

/// Streams of one node: an agent has one, and for a while those that it lost without a word.
const STREAMS_OF_ONE: usize = 8;

/// All streams; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Streams>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Streams {
    next: u64,
    open: HashMap<u64, Stream>,
}

/// One stream, also as people are shown it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stream {
    node: Arc<str>,
    acknowledged: u64,
    rejections: u64,
    last_rejection: Option<String>,
}

/// One stream's entry; it ends with the stream.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    progress: Progress,
}

impl Progress {
    /// A stream begins. It has acknowledged nothing yet. `None` if the node has as many as one may.
    pub(crate) fn enter(&self, node: &Arc<str>) -> Option<Place> {
        let mut streams = self.shared.streams.lock();
        let of_node = streams.open.values().filter(|stream| stream.node == *node);
        if of_node.count() >= STREAMS_OF_ONE {
            return None;
        }
        let id = streams.next;
        streams.next += 1;
        let stream = Stream {
            node: Arc::clone(node),
            acknowledged: 0,
            rejections: 0,
            last_rejection: None,
        };
        streams.open.insert(id, stream);
        Some(Place {
            id,
            progress: self.clone(),
        })
    }

    /// All streams, for people.
    pub(crate) fn streams(&self) -> Vec<Stream> {
        let streams = self.shared.streams.lock();
        let mut all: Vec<Stream> = streams.open.values().cloned().collect();
        all.sort_by(|a, b| a.node.cmp(&b.node));
        all
    }

    /// The nodes whose streams have not acknowledged that publication.
    pub(crate) fn behind(&self, sequence: u64) -> Vec<Arc<str>> {
        let streams = self.shared.streams.lock();
        let behind = streams
            .open
            .values()
            .filter(|stream| stream.acknowledged < sequence);
        behind.map(|stream| Arc::clone(&stream.node)).collect()
    }

    /// Waits until nobody is behind; hands back who still is when the time is over.
    pub(crate) async fn reached(&self, sequence: u64, patience: Duration) -> Vec<Arc<str>> {
        let all = async {
            loop {
                let moved = self.shared.moved.notified();
                tokio::pin!(moved);
                // Listening begins before looking, so that no move in between is missed.
                moved.as_mut().enable();
                if self.behind(sequence).is_empty() {
                    return;
                }
                moved.await;
            }
        };
        match tokio::time::timeout(patience, all).await {
            Ok(()) => Vec::new(),
            Err(_elapsed) => self.behind(sequence),
        }
    }
}

impl Place {
    /// The stream has acknowledged everything up to that publication.
    pub(crate) fn acknowledged(&self, sequence: u64) {
        let mut streams = self.progress.shared.streams.lock();
        let Some(stream) = streams.open.get_mut(&self.id) else {
            return;
        };
        if stream.acknowledged != sequence {
            stream.acknowledged = sequence;
            drop(streams);
            self.progress.shared.moved.notify_waiters();
        }
    }

    /// The client refused a response in part.
    pub(crate) fn rejected(&self, message: &str) {
        if let Some(stream) = self.progress.shared.streams.lock().open.get_mut(&self.id) {
            stream.rejections += 1;
            stream.last_rejection = Some(message.chars().take(LONGEST_REJECTION).collect());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.progress.shared.streams.lock().open.remove(&self.id);
        self.progress.shared.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
