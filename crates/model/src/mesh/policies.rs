//! Policies by name and scope.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use crate::claims::{Claims, claim, disclaim};
use crate::names::PolicyName;
use crate::policy::{Policy, Scope};
use crate::workload::Workload;

#[derive(Clone, Default)]
pub(super) struct Policies {
    pub(super) by_name: OrdMap<PolicyName, Arc<Policy>>,
    global: OrdMap<PolicyName, Arc<Policy>>,
    by_namespace: HashMap<Arc<str>, Claims<Policy>>,
}

impl Policies {
    pub(super) fn put(&mut self, policy: Arc<Policy>) {
        self.remove(&policy.name);
        match policy.scope {
            Scope::Global => {
                self.global.insert(policy.name.clone(), Arc::clone(&policy));
            }
            Scope::Namespace => {
                claim(
                    &mut self.by_namespace,
                    Arc::clone(&policy.name.namespace),
                    &policy,
                );
            }
            Scope::Workload => {}
        }
        self.by_name.insert(policy.name.clone(), policy);
    }

    pub(super) fn remove(&mut self, name: &PolicyName) {
        let Some(policy) = self.by_name.remove(name) else {
            return;
        };
        match policy.scope {
            Scope::Global => {
                self.global.remove(name);
            }
            Scope::Namespace => disclaim(&mut self.by_namespace, &name.namespace, name),
            Scope::Workload => {}
        }
    }

    pub(super) fn applying_to(&self, workload: &Workload) -> impl Iterator<Item = &Arc<Policy>> {
        let of_namespace = self.by_namespace.get(&*workload.namespace);
        let listed = workload
            .policies
            .iter()
            .filter_map(|name| self.by_name.get(name))
            .filter(|policy| !is_unlisted(policy, workload));
        self.global
            .values()
            .chain(of_namespace.into_iter().flat_map(Claims::iter))
            .chain(listed)
    }
}

/// True if the policy applies to the workload by its scope alone, whatever the workload lists.
fn is_unlisted(policy: &Policy, workload: &Workload) -> bool {
    match policy.scope {
        Scope::Global => true,
        Scope::Namespace => policy.name.namespace == workload.namespace,
        Scope::Workload => false,
    }
}
