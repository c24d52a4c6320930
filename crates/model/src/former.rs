//! Waypoints that objects were bound to until a moment ago, by the object: who keeps them knows the
//! time. They still carry what came through them before everybody had learnt of the change.

use std::hash::Hash;
use std::sync::Arc;

use imbl::HashMap;

use crate::workload::GatewayAddress;

/// Former waypoints by what was bound to them.
#[derive(Clone)]
pub(crate) struct Former<K>(HashMap<K, Arc<[GatewayAddress]>>);

impl<K> Default for Former<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Former<K> {
    /// Puts the former waypoints of an object in place of those before.
    pub(crate) fn set(&mut self, key: &K, waypoints: impl Iterator<Item = GatewayAddress>) {
        let waypoints: Arc<[_]> = waypoints.collect();
        if waypoints.is_empty() {
            self.0.remove(key);
        } else {
            self.0.insert(key.clone(), waypoints);
        }
    }

    /// Those of an object.
    pub(crate) fn of(&self, key: &K) -> impl Iterator<Item = &GatewayAddress> {
        self.0.get(key).into_iter().flat_map(|kept| kept.iter())
    }
}
