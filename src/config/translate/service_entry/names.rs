//! Hosts that Services are called by in short. Who asks for one most often means the Service, so whoever could
//! write entries would answer in its place.
//!
//! - A host that a Service of the cluster is called by is that Service's, in the entry's own namespace too.
//! - One that may become that of a Service of another namespace, since there is such a namespace, or that means
//!   another Service in each namespace, is for clients of the entry's own namespace: what they mean by it is
//!   theirs to say.

use super::{Inputs, of_cluster};
use crate::config::objects::ObjectKey;
use crate::config::objects::short_name::ShortName;

/// The Kubernetes Service that a host is called by, in full or, to clients of this namespace, in short.
pub(super) fn service_of(inputs: &Inputs<'_>, namespace: &str, host: &str) -> Option<ObjectKey> {
    of_cluster(inputs, host).or_else(|| {
        let short = match ShortName::of(host)? {
            ShortName::Pods(_) | ShortName::Namespace(_) => return None,
            short => short.service(namespace)?,
        };
        is_there(inputs, &short).then_some(short)
    })
}

/// Whether a host is for clients of its own namespace only.
pub(super) fn is_for_own_only(inputs: &Inputs<'_>, own: &str, host: &str) -> bool {
    let is_elsewhere = |namespace: &str| {
        *namespace != *own && inputs.objects.namespace_labels(namespace).is_some()
    };
    match ShortName::of(host) {
        None => false,
        Some(ShortName::Name(_)) => true,
        Some(ShortName::Service(key)) => is_elsewhere(&key.namespace),
        Some(ShortName::Pods(key)) => *key.namespace != *own && is_there(inputs, &key),
        Some(ShortName::Namespace(namespace)) => is_elsewhere(&namespace),
    }
}

fn is_there(inputs: &Inputs<'_>, service: &ObjectKey) -> bool {
    let service = inputs.objects.service(service);
    service.is_some_and(|service| !service.is_external_name())
}
