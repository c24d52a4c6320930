//! Streams of agents that are open, counted by node and kind: one node's token does not open as many
//! as it likes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Status;

/// Streams of one kind and node: an agent has one, and for a while those that it lost without a
/// word.
const OF_ONE: usize = 8;

/// What is counted: a kind of stream, and the node.
type Key = (&'static str, Arc<str>);

/// All open streams; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<Key, usize>>>);

/// One open stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    key: Key,
}

impl Places {
    /// One more stream; an answer for the caller if the node has its share.
    pub(super) fn enter(&self, kind: &'static str, node: &Arc<str>) -> Result<Place, Status> {
        let key = (kind, Arc::clone(node));
        let mut open = self.0.lock();
        let count = open.entry(key.clone()).or_default();
        if *count >= OF_ONE {
            let why = format!("node {node} has too many {kind} streams open");
            return Err(Status::resource_exhausted(why));
        }
        *count += 1;
        let places = self.clone();
        Ok(Place { places, key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.0.lock();
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
