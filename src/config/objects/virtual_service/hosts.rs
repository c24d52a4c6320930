//! Hosts of virtual services, and which namespaces' clients they are for.
//!
//! A name without a dot is a service of the object's own namespace. `NAME.NAMESPACE.svc.DOMAIN` is that
//! service. A name that is `*` or begins with `*.` is every service whose name ends so. Any other
//! name is no service of the cluster: it stands for somebody else's traffic.

use std::sync::Arc;

use crate::config::objects::names::{Label, Name};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::Finding;

/// Most hosts of one object.
const MAX_HOSTS: usize = 1024;
/// Most namespaces that one object is exported to: clients of each have a list of their own.
const MAX_EXPORTS: usize = 64;

/// Whom a host stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// This service, if the rest of the name is the cluster's domain (none: it was not given).
    Service(ObjectKey, Option<Arc<str>>),
    /// Every service whose full name ends with this.
    Wildcard(Arc<str>),
    /// None of the cluster's.
    Outside,
}

impl Host {
    /// What a name means in an object of a namespace.
    pub fn of(namespace: &str, host: &str) -> Self {
        if let Some(suffix) = host.strip_prefix('*') {
            return Self::Wildcard(suffix.into());
        }
        let mut parts = host.splitn(4, '.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, ..) => {
                Self::Service(ObjectKey::new(Kind::Service, namespace, name), None)
            }
            (Some(name), Some(namespace), Some("svc"), Some(domain)) => {
                let service = ObjectKey::new(Kind::Service, namespace, name);
                Self::Service(service, Some(domain.into()))
            }
            _ => Self::Outside,
        }
    }

    /// Whether a host is the full name of a service of this namespace, in whatever domain.
    pub fn is_service_of(namespace: &str, host: &str) -> bool {
        matches!(Self::of(namespace, host), Self::Service(service, Some(_)) if *service.namespace == *namespace)
    }

    /// The service that it is, in a cluster of this domain.
    pub fn service(self, domain: &str) -> Option<ObjectKey> {
        match self {
            Self::Service(service, given) => {
                let fits = given.is_none_or(|given| *given == *domain);
                fits.then_some(service)
            }
            Self::Wildcard(_) | Self::Outside => None,
        }
    }
}

/// Namespaces of whose clients an object is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Export {
    /// All.
    Everywhere,
    /// These; none of them holds nowhere.
    To(Vec<Arc<str>>),
}

impl Export {
    /// What `exportTo` of an object of a namespace says.
    pub fn of(namespace: &Arc<str>, given: &[Arc<str>]) -> Self {
        if given.is_empty() || given.iter().any(|to| &**to == "*") {
            return Self::Everywhere;
        }
        let named = given.iter().filter(|to| &***to != "~");
        let named = named.map(|to| match &**to {
            "." => Arc::clone(namespace),
            _ => Arc::clone(to),
        });
        Self::To(named.collect())
    }

    /// Whether a namespace is among them.
    pub fn reaches(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::To(namespaces) => namespaces.iter().any(|to| **to == *namespace),
        }
    }
}

/// Names and namespaces are well formed.
pub(in crate::config::objects) fn check(
    hosts: &[Arc<str>],
    export_to: &[Arc<str>],
) -> Result<(), Finding> {
    if hosts.len() > MAX_HOSTS {
        let what = format!("{} hosts, of which {MAX_HOSTS} are allowed", hosts.len());
        return Err(Finding::new("spec.hosts", what, "cut the object in two"));
    }
    for (index, host) in hosts.iter().enumerate() {
        let named = match host.strip_prefix('*') {
            Some("") => continue,
            Some(rest) => rest.strip_prefix('.').unwrap_or(host),
            None => host,
        };
        if Name::new(named).is_err() {
            let shown: String = host.chars().take(80).collect();
            let what = format!("`{shown}` is not a host name");
            let advice =
                "write NAME, NAME.NAMESPACE.svc.cluster.local, or one that begins with `*.`";
            return Err(Finding::new(format!("spec.hosts[{index}]"), what, advice));
        }
    }
    if export_to.len() > MAX_EXPORTS {
        let what = format!(
            "{} namespaces, of which {MAX_EXPORTS} are allowed",
            export_to.len()
        );
        return Err(Finding::new("spec.exportTo", what, "write `*`, or fewer"));
    }
    for (index, to) in export_to.iter().enumerate() {
        let field = format!("spec.exportTo[{index}]");
        let is_word = matches!(&**to, "." | "*" | "~");
        if !is_word && Label::new(to).is_err() {
            let shown: String = to.chars().take(80).collect();
            let what = format!("`{shown}` is not a namespace");
            return Err(Finding::new(
                field,
                what,
                "write `.`, `*`, `~` or a namespace",
            ));
        }
        if &**to == "~" && export_to.len() > 1 {
            let what = "`~`, which means nowhere, beside others";
            return Err(Finding::new(field, what, "keep `~` alone, or remove it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
