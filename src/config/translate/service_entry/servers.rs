//! Endpoints of service entries that are no pods: they have no identity and are reached in the clear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Locality, PortMapping, ServiceName, Workload};

use super::{Inputs, Way, mappings, owner_of};
use crate::config::objects::ObjectKey;
use crate::config::objects::metadata::Labels;
use crate::config::objects::service_entry::{Endpoint, ServiceEntry};
use crate::config::translate::workload::outside;

/// The workloads of an entry.
pub(super) fn of_entry(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &ServiceEntry,
    hosts: &BTreeSet<&Arc<str>>,
) -> Vec<Workload> {
    let mut made = Made {
        inputs,
        key,
        workloads: Vec::new(),
        uids: BTreeMap::new(),
    };
    let with = |way: Way| {
        let those = hosts.iter().filter(move |host| Way::of(entry, host) == way);
        those.map(|host| ServiceName::new(Arc::clone(&key.namespace), Arc::clone(host)))
    };
    let served: Vec<ServiceName> = with(Way::Endpoints).collect();
    if !served.is_empty() {
        for endpoint in &entry.spec.endpoints {
            let ports = mappings(entry, Some(endpoint));
            made.add(endpoint, &endpoint.labels, &served, &ports);
        }
        for (_, object) in inputs.objects.workload_entries_of(key, entry) {
            let ports = mappings(entry, Some(&object.spec));
            made.add(&object.spec, &object.labels(), &served, &ports);
        }
    }
    for host in with(Way::Itself) {
        let itself = Endpoint {
            address: Arc::clone(&host.hostname),
            ..Endpoint::default()
        };
        let ports = mappings(entry, None);
        made.add(&itself, &itself.labels, &[host], &ports);
    }
    made.workloads
}

struct Made<'a> {
    inputs: &'a Inputs<'a>,
    key: &'a ObjectKey,
    workloads: Vec<Workload>,
    /// How often an address was there.
    uids: BTreeMap<Arc<str>, usize>,
}

impl Made<'_> {
    fn add(
        &mut self,
        endpoint: &Endpoint,
        labels: &Labels,
        serves: &[ServiceName],
        ports: &[PortMapping],
    ) {
        let address: Option<IpAddr> = endpoint.address.parse().ok();
        if address.is_some_and(|address| owner_of(self.inputs, address).is_some()) {
            return;
        }
        let asked = labels
            .iter()
            .filter(|(name, _)| self.inputs.objects.asks_for_label(name))
            .map(|(name, value)| (Arc::clone(name), Arc::clone(value)));
        let workload = Workload {
            addresses: address.into_iter().collect(),
            hostname: match address {
                Some(_) => "".into(),
                None => Arc::clone(&endpoint.address),
            },
            services: serves
                .iter()
                .map(|name| (name.clone(), ports.to_vec()))
                .collect(),
            labels: asked.collect(),
            locality: locality(&endpoint.locality),
            capacity: endpoint.weight,
            ..self.outside(&endpoint.address)
        };
        self.workloads.push(workload);
    }

    fn outside(&mut self, address: &Arc<str>) -> Workload {
        let cluster = &self.inputs.settings.cluster;
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let count = self.uids.entry(Arc::clone(address)).or_default();
        *count += 1;
        let group = "networking.istio.io/ServiceEntry";
        let uid = format!("{cluster}/{group}/{namespace}/{name}/{address}");
        let uid = match *count {
            1 => uid,
            count => format!("{uid}/{count}"),
        };
        outside(self.inputs, self.key, uid)
    }
}

/// `REGION/ZONE/SUBZONE`, of which the end may be absent.
fn locality(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/').map(Arc::from);
    let mut next = || parts.next().unwrap_or_else(|| "".into());
    Locality {
        region: next(),
        zone: next(),
        subzone: next(),
    }
}
