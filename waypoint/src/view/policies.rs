//! Policies as requests need them: ready to be judged by, and found by what they are bound to.

use std::sync::Arc;

use ambit_model::{Policy, PolicyName, ServiceName};
use foldhash::fast::RandomState;
use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};

/// Every request looks into these, by names that no client chooses.
type HashMap<K, V> = GenericHashMap<K, V, RandomState, DefaultSharedPtr>;

/// The policies that say something of requests; those about connections alone are in the mesh.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    ready: HashMap<PolicyName, Arc<ambit_policy::Policy>>,
    bound: HashMap<ServiceName, OrdMap<PolicyName, Arc<Policy>>>,
    /// Those of them that ask for the server name of a connection.
    naming: usize,
}

impl Policies {
    /// The policy of that name.
    pub(crate) fn ready(&self, name: &PolicyName) -> Option<&ambit_policy::Policy> {
        self.ready.get(name).map(AsRef::as_ref)
    }

    /// Those that are bound to a service, or to the waypoint that is reached by it.
    pub(crate) fn bound(&self, service: &ServiceName) -> impl Iterator<Item = &Arc<Policy>> {
        let bound = self.bound.get(service);
        bound.into_iter().flat_map(OrdMap::values)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether one of them asks for the server name of a connection.
    pub(crate) fn ask_for_server_name(&self) -> bool {
        self.naming > 0
    }

    /// Takes a policy in, in place of the one of its name.
    pub(super) fn put(&mut self, policy: &Arc<Policy>, before: Option<&Policy>) {
        self.remove(&policy.name, before);
        let Some(requests) = &policy.requests else {
            return;
        };
        let ready = ambit_policy::Policy::new(&requests.policy);
        self.naming += usize::from(ready.asks_for_server_name());
        self.ready.insert(policy.name.clone(), Arc::new(ready));
        for target in &requests.targets {
            let bound = self.bound.entry(target.clone()).or_default();
            bound.insert(policy.name.clone(), Arc::clone(policy));
        }
    }

    /// Lets one go, as it was before.
    pub(super) fn remove(&mut self, name: &PolicyName, before: Option<&Policy>) {
        if let Some(ready) = self.ready.remove(name) {
            let named = usize::from(ready.asks_for_server_name());
            self.naming = self.naming.saturating_sub(named);
        }
        let requests = before.and_then(|before| before.requests.as_ref());
        for target in requests.into_iter().flat_map(|requests| &requests.targets) {
            if let Some(bound) = self.bound.get_mut(target) {
                bound.remove(name);
                if bound.is_empty() {
                    self.bound.remove(target);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
