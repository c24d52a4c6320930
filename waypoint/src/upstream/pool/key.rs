//! What connections are kept by: how an endpoint was reached.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::{OutsideTls, SpiffeId};

use crate::endpoint::Via;
use crate::upstream::make::Maker;
use crate::view::{Destination, Terms};

/// One endpoint, reached in one way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream) struct Key {
    /// What tells it from the next that has its address.
    pub(super) pod: Arc<str>,
    address: SocketAddr,
    /// Who it has proved to be; `None` for plaintext.
    pub(super) identity: Option<SpiffeId>,
    via: Option<Via>,
    /// The number of the cluster, if its connections are not shared with others.
    pub(in crate::upstream) cluster: u64,
    /// The TLS that was begun with it, for which host, and by which version of what a user gives.
    tls: Option<(Arc<OutsideTls>, Option<Arc<str>>, u64)>,
}

impl Key {
    pub(super) fn of(maker: &Maker, to: &Destination, terms: Option<&Arc<Terms>>) -> Self {
        let workload = &to.workload;
        let pod = workload.pod_uid.clone();
        Self {
            pod: pod.unwrap_or_else(|| workload.uid.as_str().into()),
            address: to.address,
            identity: to.identity.clone(),
            via: to.via.clone(),
            cluster: terms.map_or(0, |terms| terms.number()),
            tls: begun(to, terms).map(|ask| {
                let version = maker.version(&ask);
                (ask, to.host.clone(), version)
            }),
        }
    }
}

/// The TLS that is begun with an endpoint, by the terms of its cluster.
pub(super) fn begun(to: &Destination, terms: Option<&Arc<Terms>>) -> Option<Arc<OutsideTls>> {
    terms.and_then(|terms| terms.begun(to))
}
