//! What the control role knows at one moment: an immutable value that shares structure with the
//! ones before it, so that proxies and the keeper of files each read it at their own pace.

use std::sync::Arc;

use ambit_model::SpiffeId;
use ambit_uplink::{Check, Subscription};
use ambit_wire::decode;
use ambit_wire::delta::{ADDRESS_TYPE, AUTHORIZATION_TYPE, Client, Received};
use ambit_wire::node::{Certificate, NamedResource, Status, TrustUpdate};
use bytes::Bytes;
use imbl::OrdMap;

/// A resource as it came, after a check that it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its version; empty if it could not be read and nothing better is known.
    pub(crate) version: Arc<str>,
    /// Its encoding.
    pub(crate) body: Bytes,
}

/// Everything that is known now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Workloads and services.
    pub(crate) addresses: OrdMap<Arc<str>, Held>,
    /// Authorization policies.
    pub(crate) policies: OrdMap<Arc<str>, Held>,
    /// True once a whole state of both has been seen, in this life or in the one it was kept from.
    pub(crate) complete: bool,
    /// Certificates with their keys, of the pods of this node.
    pub(crate) certificates: OrdMap<SpiffeId, Arc<Certificate>>,
    /// Whom to trust, and the generation of that.
    pub(crate) trust: Option<Arc<TrustUpdate>>,
    /// The state of the connection to the control plane.
    pub(crate) status: Status,
}

/// The two kinds of resources, in the order in which they are told: a workload never before the
/// policies that apply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Authorization policies.
    Policy,
    /// Workloads and services.
    Address,
}

/// Subscriptions to both kinds that hold what the model holds.
pub(crate) fn subscriptions(model: &Model, trust_domain: &Arc<str>) -> Vec<Subscription<Kind>> {
    let client = |kind, type_url: &str| {
        let mut client = Client::new(type_url);
        for (name, held) in model.of(kind) {
            client.restore(Arc::clone(name), Arc::clone(&held.version));
        }
        client
    };
    let trust_domain = Arc::clone(trust_domain);
    let address: Check = Box::new(move |received| {
        let read = decode::address_from_bytes(&received.body, &trust_domain);
        read.map(drop).map_err(|error| error.to_string())
    });
    let policy: Check = Box::new(|received| {
        let read = decode::policy_from_bytes(&received.body);
        read.map(drop).map_err(|error| error.to_string())
    });
    vec![
        Subscription {
            kind: Kind::Policy,
            client: client(Kind::Policy, AUTHORIZATION_TYPE),
            check: policy,
        },
        Subscription {
            kind: Kind::Address,
            client: client(Kind::Address, ADDRESS_TYPE),
            check: address,
        },
    ]
}

impl Model {
    /// The resources of one kind.
    pub(crate) fn of(&self, kind: Kind) -> &OrdMap<Arc<str>, Held> {
        match kind {
            Kind::Address => &self.addresses,
            Kind::Policy => &self.policies,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut OrdMap<Arc<str>, Held> {
        match kind {
            Kind::Address => &mut self.addresses,
            Kind::Policy => &mut self.policies,
        }
    }

    /// Takes a resource in.
    pub(crate) fn put(&mut self, kind: Kind, received: &Received) {
        let held = Held {
            version: Arc::clone(&received.version),
            // A body of its own: a part of the message it came in would keep all of that alive.
            body: Bytes::copy_from_slice(&received.body),
        };
        self.of_mut(kind).insert(Arc::clone(&received.name), held);
    }

    /// Takes a policy in that cannot be read. With a good one of that name, that one stays. With
    /// none the proxies get it all the same: they refuse whatever it might have been about.
    pub(crate) fn put_unreadable_policy(&mut self, received: &Received) -> bool {
        let known = self
            .policies
            .get(&received.name)
            .is_some_and(|held| !held.version.is_empty());
        if !known {
            let unversioned = Received {
                version: "".into(),
                ..received.clone()
            };
            self.put(Kind::Policy, &unversioned);
        }
        !known
    }

    /// Drops a resource.
    pub(crate) fn remove(&mut self, kind: Kind, name: &str) {
        self.of_mut(kind).remove(name);
    }

    /// A resource as it goes to proxies and files.
    pub(crate) fn named(&self, kind: Kind, name: &Arc<str>) -> Option<NamedResource> {
        self.of(kind).get(name).map(|held| NamedResource {
            name: name.to_string(),
            version: held.version.to_string(),
            body: held.body.clone(),
        })
    }
}
