//! What the control plane says of this node: which pods there are, which of them are to be
//! captured, and which namespaces are enrolled.
//!
//! It comes by way of the control role, which is believed in this and nothing else: it can have
//! any pod of the node captured or released. Everything is checked before it is kept. Nothing here
//! acts; `reconcile.rs` does.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ambit_wire::node::{NodePod, RosterUpdate};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::cni_list::Namespaces;
use super::names::{NameError, PodNames, PodUid};

/// Most pods that are remembered; three times what a node has by default.
const MOST_PODS: usize = 1024;

/// The roster as it stands.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    table: Mutex<Table>,
    namespaces: watch::Sender<Option<Namespaces>>,
}

#[derive(Debug, Default)]
struct Table {
    pods: HashMap<PodUid, Record>,
}

impl Table {
    /// Whether there is no place for a pod; one that is there may always change.
    fn is_full_for(&self, uid: &PodUid) -> bool {
        self.pods.len() >= MOST_PODS && !self.pods.contains_key(uid)
    }
}

/// One pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Names and addresses; no address while the pod is being started.
    pub(crate) names: PodNames,
    /// Whether it is to be captured.
    pub(crate) enrolled: bool,
    /// Ports that the kubelet connects to.
    pub(crate) probe_ports: BTreeSet<u16>,
    /// When it was asked to cut connections older than the capture, in Unix seconds.
    pub(crate) cut_existing: Option<u64>,
    /// Whether its questions about names are left alone.
    pub(crate) no_dns: bool,
}

/// What is to become of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be captured, as this service account if that is known.
    Capture { service_account: Option<String> },
    /// It is to be left alone.
    Leave,
    /// Nobody has said anything yet.
    Unknown,
}

impl Roster {
    /// Takes in what the control plane says.
    pub(crate) fn take(&self, update: RosterUpdate) {
        let mut table = self.table.lock();
        if update.is_snapshot {
            table.pods.clear();
        }
        for uid in &update.gone {
            if let Ok(uid) = PodUid::parse(uid) {
                table.pods.remove(&uid);
            }
        }
        for pod in update.pods {
            let uid = pod.uid.clone();
            match record_of(pod) {
                Ok(record) if table.is_full_for(&record.names.uid) => {
                    tracing::error!(
                        pod = uid,
                        "a pod beyond {MOST_PODS} of this node is ignored"
                    );
                }
                Ok(record) => drop(table.pods.insert(record.names.uid.clone(), record)),
                Err(error) => {
                    tracing::error!(pod = uid, %error, "the control plane told of a pod that cannot be");
                }
            }
        }
        if let Some(told) = update.namespaces {
            self.namespaces.send_replace(Some(Namespaces {
                enrolled: told.enrolled.into_iter().collect(),
                system: told.excluded.into_iter().collect(),
            }));
        }
    }

    /// Takes the namespaces that a former role knew, until the control plane tells.
    pub(crate) fn remember(&self, namespaces: Namespaces) {
        self.namespaces.send_if_modified(|known| {
            let is_first = known.is_none();
            if is_first {
                *known = Some(namespaces);
            }
            is_first
        });
    }

    /// What is known of a pod.
    pub(crate) fn record(&self, uid: &PodUid) -> Option<Record> {
        self.table.lock().pods.get(uid).cloned()
    }

    /// Every pod of the node.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.table.lock().pods.values().cloned().collect()
    }

    /// Enrolled and system namespaces, and their changes; `None` before they are known.
    pub(crate) fn namespaces(&self) -> watch::Receiver<Option<Namespaces>> {
        self.namespaces.subscribe()
    }

    /// What is to become of a pod, by its own record or else by its namespace.
    pub(crate) fn verdict(&self, uid: &PodUid, namespace: &str) -> Verdict {
        let table = self.table.lock();
        match table.pods.get(uid) {
            Some(record) if record.enrolled => Verdict::Capture {
                service_account: Some(record.names.service_account.clone()),
            },
            Some(_) => Verdict::Leave,
            None => match &*self.namespaces.borrow() {
                None => Verdict::Unknown,
                Some(known) if known.enrolled.contains(namespace) => Verdict::Capture {
                    service_account: None,
                },
                Some(_) => Verdict::Leave,
            },
        }
    }
}

fn record_of(pod: NodePod) -> Result<Record, NameError> {
    let ips: Result<Vec<IpAddr>, _> = pod.ips.iter().map(|ip| ip.parse()).collect();
    let ips = ips.map_err(|_no_address| NameError {
        field: "ips",
        problem: format!("not a list of addresses: {}", pod.ips.join(", ")),
    })?;
    let names = PodNames {
        uid: PodUid::parse(&pod.uid)?,
        namespace: pod.namespace,
        name: pod.name,
        service_account: pod.service_account,
        ips,
    };
    let probe_ports = pod
        .probe_ports
        .iter()
        .filter_map(|port| u16::try_from(*port).ok());
    Ok(Record {
        names: names.checked_but_addresses()?,
        enrolled: pod.enrolled,
        probe_ports: probe_ports.collect(),
        cut_existing: Some(pod.cut_existing).filter(|asked| *asked > 0),
        no_dns: pod.no_dns_capture,
    })
}

#[cfg(test)]
mod tests;
