//! What the replicas tell each other for a rotation of the root: each keeps a Lease of its own with
//! its report in an annotation, renewed every few seconds; whoever leads reads them all.
//!
//! A replica counts until it was seen not to renew its Lease for 15 s, by the clock of whoever
//! looks; one seen for the first time counts. What that is good for: `src/ca/rotation.rs`.
//!
//! Task: "replica's report", one; asked to stop, it takes its Lease away. What a killed one leaves
//! behind goes with its pod.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::FIELD_MANAGER;
use super::call::call;
use crate::ca::{Authority, Peers, PeersError, Report};

/// Label of these Leases.
const LABEL: &str = "ambit.mesh/replica";
/// The annotation with the report.
const REPORT: &str = "ambit.mesh/report";
/// How often a Lease is renewed at least.
const RENEW: Duration = Duration::from_secs(5);
/// How often it is looked whether there is something new to tell.
const LOOK: Duration = Duration::from_secs(1);
/// How long a replica counts that does not renew.
const COUNTS: Duration = Duration::from_secs(15);

/// The other replicas, by their Leases.
#[derive(Clone)]
pub struct Replicas {
    leases: Api<Lease>,
    pods: Api<Pod>,
    pod: Arc<str>,
    seen: Arc<Mutex<Seen>>,
}

impl Replicas {
    /// Those in this namespace beside the one in this pod.
    pub fn new(client: Client, namespace: &str, pod: &str) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client, namespace),
            pod: pod.into(),
            seen: Arc::default(),
        }
    }

    /// Tells the others from now on what the agents of this replica hold.
    pub fn tell(self, authority: Arc<Authority>, tasks: &Tasks) {
        let stop = tasks.token();
        tasks.spawn("replica's report", self.run(authority, stop));
    }

    async fn run(self, authority: Arc<Authority>, stop: CancellationToken) {
        let owner = self.owner().await;
        let mut told: Option<(Report, Instant)> = None;
        loop {
            let (report, now) = (authority.report(), clock::now());
            let is_told = told
                .as_ref()
                .is_some_and(|(last, at)| *last == report && now < *at + RENEW);
            if !is_told {
                match self.write(&report, owner.as_ref()).await {
                    Ok(()) => told = Some((report, now)),
                    Err(error) => {
                        tracing::warn!(%error, "the other replicas are not told what agents hold");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => break,
            }
        }
        let gone = call(self.leases.delete(&self.name(), &DeleteParams::default())).await;
        if let Err(error) = gone {
            tracing::debug!(%error, "the replica's Lease goes with its pod");
        }
    }

    fn name(&self) -> String {
        format!("ambit-control-plane-{}", self.pod)
    }

    /// The pod as the Lease's owner, so that the one goes with the other.
    async fn owner(&self) -> Option<Value> {
        match call(self.pods.get_metadata(&self.pod)).await {
            Ok(pod) => Some(json!({
                "apiVersion": "v1", "kind": "Pod", "name": &*self.pod, "uid": pod.metadata.uid,
            })),
            Err(error) => {
                tracing::debug!(%error, pod = %self.pod, "the replica's Lease has no owner");
                None
            }
        }
    }

    async fn write(&self, report: &Report, owner: Option<&Value>) -> Result<(), PeersError> {
        let failed = |error: &dyn std::fmt::Display| PeersError(error.to_string());
        let report = serde_json::to_string(report).map_err(|error| failed(&error))?;
        let mut labels = super::labels();
        labels.insert(LABEL.to_owned(), "true".to_owned());
        let patch = Patch::Apply(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name(),
                "labels": labels,
                "annotations": {REPORT: report},
                "ownerReferences": owner.into_iter().collect::<Vec<_>>(),
            },
            "spec": {
                "holderIdentity": &*self.pod,
                "leaseDurationSeconds": COUNTS.as_secs(),
                "renewTime": Timestamp::try_from(clock::wall()).ok().map(MicroTime),
            },
        }));
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let written = call(self.leases.patch(&self.name(), &parameters, &patch)).await;
        written.map(drop).map_err(|error| failed(&error))
    }

    async fn read(&self) -> Result<Vec<Report>, PeersError> {
        let parameters = ListParams::default().labels(&format!("{LABEL}=true"));
        let listed = call(self.leases.list(&parameters)).await;
        let listed = listed.map_err(|error| PeersError(error.to_string()))?;
        let leases = listed.items.into_iter().map(|lease| {
            let metadata = lease.metadata;
            let report = metadata.annotations.unwrap_or_default().remove(REPORT);
            Told {
                name: metadata.name.unwrap_or_default(),
                version: metadata.resource_version.unwrap_or_default(),
                report: report.unwrap_or_default(),
            }
        });
        let own = self.name();
        let others = leases.filter(|told| told.name != own).collect();
        self.seen.lock().take(others, clock::now())
    }
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicas")
            .field("pod", &self.pod)
            .finish_non_exhaustive()
    }
}

impl Peers for Replicas {
    fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, PeersError>> {
        self.read().boxed()
    }
}

/// A Lease of another replica.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    version: String,
    report: String,
}

/// When each Lease was first seen as it is.
#[derive(Debug, Default)]
struct Seen(HashMap<String, (String, Instant)>);

impl Seen {
    /// The reports of those that count.
    fn take(&mut self, leases: Vec<Told>, now: Instant) -> Result<Vec<Report>, PeersError> {
        let mut seen = HashMap::new();
        let mut reports = BTreeMap::new();
        for told in leases {
            let since = match self.0.get(&told.name) {
                Some((version, since)) if *version == told.version => *since,
                _ => now,
            };
            seen.insert(told.name.clone(), (told.version, since));
            if now >= since + COUNTS {
                continue;
            }
            // One that cannot be read is no reason to go on without it.
            let report = serde_json::from_str(&told.report)
                .map_err(|error| PeersError(format!("Lease {}: {error}", told.name)))?;
            reports.insert(told.name, report);
        }
        self.0 = seen;
        Ok(reports.into_values().collect())
    }
}

#[cfg(test)]
mod tests;
