//! Addresses of hosts of service entries: those that are written, or one that stands for the host.
//!
//! In a cluster the latter is written in `status.addresses` by the replica that leads, and what is
//! written there counts if it is of our range and no older object has it: so all replicas serve the
//! same. Elsewhere it is computed (`allocation.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Inputs, hosts, owner_of};
use crate::config::CaptureRecord;
use crate::config::allocation::{choose, is_allocatable};
use crate::config::objects::service_entry::ServiceEntry;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::Claim;

/// One entry of `status.addresses`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordedAddress {
    /// The host.
    pub host: Arc<str>,
    /// What stands for it.
    pub value: IpAddr,
}

/// The addresses of a host.
pub(super) fn of_host(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &ServiceEntry,
    host: &Arc<str>,
) -> Vec<IpNet> {
    if entry.takes_allocation() {
        let own = match inputs.settings.captures {
            CaptureRecord::Annotations => kept(inputs, key, entry, host),
            CaptureRecord::Reports => {
                let host = (Arc::clone(&key.namespace), Arc::clone(host));
                inputs.allocations.of(&host)
            }
        };
        return own.into_iter().map(IpNet::from).collect();
    }
    let blocks = entry.spec.addresses.iter().map(|block| block.net());
    let is_free = |block: &IpNet| {
        block.prefix_len() != block.max_prefix_len() || owner_of(inputs, block.addr()).is_none()
    };
    blocks.filter(is_free).collect()
}

/// What stands in the status of an entry for one of its hosts, and counts.
fn kept(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &ServiceEntry,
    host: &Arc<str>,
) -> Option<IpAddr> {
    let (_, value) = entry.recorded().find(|(of, _)| *of == host)?;
    let owner = inputs.objects.owner(&Claim::HostAddress(value));
    let first = entry.recorded().find(|(_, other)| *other == value);
    let is_first = first.is_some_and(|(of, _)| of == host);
    (is_allocatable(value) && owner == Some(key) && is_first).then_some(value)
}

/// What is to stand in `status.addresses` of all service entries: what is there if it counts, else an
/// address that nobody has. In order of age, so that the older keep what they have.
pub fn recorded(inputs: &Inputs<'_>) -> Vec<(ObjectKey, Vec<RecordedAddress>)> {
    let all = inputs.objects.of_kind(Kind::ServiceEntry);
    let entries = all.filter_map(|(key, object)| match object {
        Object::ServiceEntry(entry) => Some((key, &**entry)),
        _ => None,
    });
    let mut given = std::collections::BTreeSet::new();
    let mut wanted = Vec::new();
    for (key, entry) in entries {
        let mut own = Vec::new();
        for host in hosts(inputs, key, entry) {
            let value = entry
                .takes_allocation()
                .then(|| kept(inputs, key, entry, host));
            given.extend(value.flatten());
            own.extend(value.map(|value| (Arc::clone(host), value)));
        }
        wanted.push((key.clone(), own));
    }
    let mut all = Vec::new();
    for (key, own) in wanted {
        let mut recorded = Vec::new();
        for (host, value) in own {
            let of = (Arc::clone(&key.namespace), Arc::clone(&host));
            let value = value.or_else(|| choose(&of, |address| given.contains(&address)));
            given.extend(value);
            recorded.extend(value.map(|value| RecordedAddress { host, value }));
        }
        recorded.sort();
        all.push((key, recorded));
    }
    all
}
