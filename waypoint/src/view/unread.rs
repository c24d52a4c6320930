//! Policies that cannot be read and never could, as where the control plane is newer than the waypoint.
//!
//! Of such a policy nothing is known but its name. It may refuse, so whatever it may be about is refused. A pod
//! says which policies hold for it, and is served to nobody while one of them is not known. A service says nothing
//! of policies, and may be answered for without any pod: by a redirect, an error made on purpose, a host outside
//! of the mesh. So a policy that cannot be read is about all services
//!
//! - of its own namespace: what is bound to a service stands there, and so does what holds for endpoints that are
//!   no pods
//! - of every namespace, if it stands in that of the waypoint: it may be bound to the Gateway
//! - of every namespace, if its own is one whose policies are for the whole mesh: it may be for all endpoints, or
//!   bound to the class of the Gateway
//!
//! and about no other one. It is forgotten when a version comes that can be read, or when it is gone. One that
//! could be read before is not among these: what it said stays in force.

use std::sync::Arc;

use ambit_decide::{Reason, Refusal};
use ambit_model::{PolicyName, ServiceName};
use imbl::OrdSet;

/// The policies that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    names: OrdSet<PolicyName>,
    /// Namespaces whose policies may be about every service.
    wide: Arc<[Arc<str>]>,
}

impl Unread {
    /// None, of the waypoint of this namespace.
    pub(super) fn new(own: &Arc<str>) -> Self {
        // A policy without a namespace is for the whole mesh.
        let wide = [Arc::clone(own), "".into()].into();
        let names = OrdSet::new();
        Self { names, wide }
    }

    /// Policies of these namespaces are for the whole mesh.
    pub(crate) fn hold_everywhere(&mut self, roots: &[String]) {
        let roots = roots.iter().map(|root| Arc::from(root.as_str()));
        self.wide = self.wide.iter().cloned().chain(roots).collect();
    }

    /// Whether policies of a namespace may be about every service.
    pub(crate) fn is_wide(&self, namespace: &str) -> bool {
        self.wide.iter().any(|wide| **wide == *namespace)
    }

    /// Notes one by the name of its resource; whether it is new.
    pub(super) fn note(&mut self, resource: &str) -> bool {
        self.names.insert(named(resource)).is_none()
    }

    /// Forgets one by the name of its resource.
    pub(crate) fn forget(&mut self, resource: &str) {
        self.names.remove(&named(resource));
    }

    /// Refuses what is for a service that one of them may be about.
    pub(crate) fn check(&self, service: &ServiceName) -> Result<(), Refusal> {
        match self.names.is_empty() {
            true => Ok(()),
            false => self.check_each(service),
        }
    }

    #[cold]
    fn check_each(&self, service: &ServiceName) -> Result<(), Refusal> {
        let is_about = |name: &&PolicyName| {
            name.namespace == service.namespace || self.is_wide(&name.namespace)
        };
        let Some(name) = self.names.iter().find(is_about) else {
            return Ok(());
        };
        let detail = format!("policy {name} may be about {service} and cannot be read");
        let reason = Reason::PoliciesUnknown;
        Err(Refusal::by_policy(reason, name.clone(), detail))
    }
}

/// The policy that a resource is. A name of another form says nothing of a namespace.
fn named(resource: &str) -> PolicyName {
    PolicyName::parse(resource).unwrap_or_else(|| PolicyName::new("", resource))
}

#[cfg(test)]
mod tests;
