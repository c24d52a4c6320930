//! Which objects are bound to which waypoint: an index by the waypoint's service.

use imbl::{HashMap, OrdSet};

use crate::names::ServiceName;
use crate::workload::GatewayAddress;

/// Keys of objects by the waypoint that they are bound to. A binding to a bare address is not in
/// it: our control plane makes none.
#[derive(Clone)]
pub(crate) struct Bindings<K>(HashMap<ServiceName, OrdSet<K>>);

impl<K> Default for Bindings<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Ord + Clone> Bindings<K> {
    /// Notes what an object is bound to.
    pub(crate) fn bind(&mut self, waypoint: Option<&GatewayAddress>, key: &K) {
        if let Some(waypoint) = waypoint.and_then(GatewayAddress::service) {
            let bound = self.0.entry(waypoint.clone()).or_default();
            bound.insert(key.clone());
        }
    }

    /// Undoes [`Self::bind`].
    pub(crate) fn unbind(&mut self, waypoint: Option<&GatewayAddress>, key: &K) {
        let Some(waypoint) = waypoint.and_then(GatewayAddress::service) else {
            return;
        };
        if let Some(bound) = self.0.get_mut(waypoint) {
            bound.remove(key);
            if bound.is_empty() {
                self.0.remove(waypoint);
            }
        }
    }

    /// The objects bound to a waypoint, in the order of their names.
    pub(crate) fn of(&self, waypoint: &ServiceName) -> impl Iterator<Item = &K> {
        self.0.get(waypoint).into_iter().flat_map(OrdSet::iter)
    }
}
