//! Takes part in the election of the leader: reads and writes the Lease `ambit-control-plane` as
//! `election.rs` says.
//!
//! Task: "leader election", one; asked to stop, it releases the lease, so that another replica
//! leads within a second or so.

use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::FIELD_MANAGER;
use super::call::{CallError, call_within};
use super::election::{Claim, Election, LEADS, LEASE, Seen};

/// The Lease.
const NAME: &str = "ambit-control-plane";
/// Longest wait for one answer: a renewal can be tried twice before its time is over.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes part from now on; the answer says whether this process leads.
pub fn elect(client: Client, namespace: &str, pod: &str, tasks: &Tasks) -> watch::Receiver<bool> {
    let (sender, leads) = watch::channel(false);
    // A process in the place of another is not the other.
    let us: Arc<str> = format!("{pod}_{:08x}", rand::random::<u32>()).into();
    let driver = Driver {
        leases: Api::namespaced(client, namespace),
        election: Election::new(Arc::clone(&us)),
        us,
        leads: sender,
        acquired: None,
    };
    let stop = tasks.token();
    tasks.spawn("leader election", driver.run(stop));
    leads
}

struct Driver {
    leases: Api<Lease>,
    us: Arc<str>,
    election: Election,
    leads: watch::Sender<bool>,
    acquired: Option<MicroTime>,
}

impl Driver {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let end = self.election.leads_until(clock::now());
            tokio::select! {
                () = self.look() => {}
                // A server that does not answer does not make a leader's time longer.
                () = clock::until(end) => {}
                () = stop.cancelled() => break,
            }
            self.tell();
            let now = clock::now();
            let next = self.election.next_look(now);
            let next = self
                .election
                .leads_until(now)
                .map_or(next, |end| next.min(end));
            tokio::select! {
                () = clock::until(Some(next)) => {}
                () = stop.cancelled() => break,
            }
        }
        self.leads.send_replace(false);
        self.release().await;
    }

    fn tell(&self) {
        let leads = self.election.leads_until(clock::now()).is_some();
        let has_changed = self.leads.send_if_modified(|led| {
            let has_changed = *led != leads;
            *led = leads;
            has_changed
        });
        if has_changed && leads {
            tracing::info!(us = %self.us, "this replica leads");
        } else if has_changed {
            tracing::warn!(us = %self.us, "this replica leads no more: its lease was not renewed in {LEADS:?}");
        }
    }

    async fn look(&mut self) {
        let seen = match call_within(PATIENCE, self.leases.get(NAME)).await {
            Ok(lease) => Some(seen_of(&lease)),
            Err(CallError::Missing(_)) => None,
            Err(error) => return tracing::warn!(%error, "the lease of the leader is not read"),
        };
        self.election.saw(seen, clock::now());
        let sent = clock::now();
        let Some(claim) = self.election.claim(sent) else {
            return;
        };
        if claim.is_new {
            self.acquired = wall();
        }
        match self.write(&claim, Some(&self.us)).await {
            Ok(lease) => self.election.wrote(seen_of(&lease), sent, clock::now()),
            Err(CallError::Conflict | CallError::Missing(_)) => {
                tracing::debug!("another replica was faster");
            }
            Err(error) => tracing::warn!(%error, "the lease of the leader is not written"),
        }
    }

    async fn write(&self, claim: &Claim, holder: Option<&Arc<str>>) -> Result<Lease, CallError> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                resource_version: claim.over.clone(),
                labels: Some(super::labels()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.map_or_else(String::new, |us| us.to_string())),
                lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
                acquire_time: self.acquired.clone(),
                renew_time: wall(),
                lease_transitions: Some(claim.transitions),
                ..LeaseSpec::default()
            }),
        };
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match &claim.over {
            Some(_) => call_within(PATIENCE, self.leases.replace(NAME, &parameters, &lease)).await,
            None => call_within(PATIENCE, self.leases.create(&parameters, &lease)).await,
        }
    }

    async fn release(&mut self) {
        let Some(held) = self.election.held() else {
            return;
        };
        let claim = Claim {
            over: Some(held.version.clone()),
            transitions: held.transitions,
            is_new: false,
        };
        self.election.released();
        match self.write(&claim, None).await {
            Ok(_released) => tracing::info!("another replica may lead now"),
            Err(error) => tracing::debug!(%error, "the lease was not released; it runs out"),
        }
    }
}

fn seen_of(lease: &Lease) -> Seen {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
    Seen {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: holder.filter(|holder| !holder.is_empty()).map(Arc::from),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or(0),
    }
}

/// The time of day, for people: nothing is decided by it.
fn wall() -> Option<MicroTime> {
    Timestamp::try_from(clock::wall()).ok().map(MicroTime)
}
