//! The part of the role that knows pods: from the host role's word of a pod to its certificate at
//! every proxy, and from its withdrawal to the erasure of its key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_identity::rotation::{self, Action};
use ambit_kit::clock;
use ambit_model::SpiffeId;
use ambit_uplink::certificates::{self, FetchError, Issued};
use ambit_wire::node::control_to_host::Kind as ToHost;
use ambit_wire::node::{Pod, TrustBundle, TrustUpdate};

use super::{Event, Role};
use crate::control::backlog::Mark;
use crate::control::capture::Report;

/// How long a released pod's key outlives the withdrawal: connections that peers opened just
/// before they heard of it still need it.
const FAREWELL: Duration = Duration::from_secs(2);

impl Role {
    /// Takes a pod of this node in; false if it cannot have an identity.
    pub(super) fn pod(&mut self, now: Instant, pod: &Pod) -> bool {
        let account = Some(pod.service_account.as_str()).filter(|name| !name.is_empty());
        let account = account.unwrap_or("default");
        let text = format!(
            "spiffe://{}/ns/{}/sa/{account}",
            self.parts.trust_domain, pod.namespace
        );
        let identity = match text.parse::<SpiffeId>() {
            Ok(identity) => identity,
            Err(error) => {
                tracing::error!(pod = pod.uid, %error, "a pod without a usable identity is ignored");
                return false;
            }
        };
        self.leaving.remove(&pod.uid);
        let kept = self.unclaimed.remove(&identity).map(|kept| {
            self.model
                .certificates
                .insert(identity.clone(), kept.certificate);
            self.publish(vec![Mark::Certificate(identity.clone())]);
            kept.life
        });
        self.rotate(
            now,
            rotation::Event::PodKnown {
                pod: pod.uid.as_str().into(),
                identity,
                kept,
            },
        );
        true
    }

    pub(super) fn report(&mut self, report: Report) {
        let Err(refused) = self.parts.reports.try_send(report) else {
            return;
        };
        // The line holds more reports than a node has pods: the control plane does not take them.
        tracing::error!("a report of capture is given up: the capture stream does not move");
        if let Report::Withdraw(uid) = refused.into_inner() {
            self.withdrawn(clock::now(), uid);
        }
    }

    pub(super) fn withdrawn(&mut self, now: Instant, uid: String) {
        self.leaving.insert(uid.clone(), now + FAREWELL);
        if self.parts.host.try_send(ToHost::Withdrawn(uid)).is_err() {
            tracing::error!("the host role does not read what was withdrawn");
        }
    }

    pub(super) fn rotate(&mut self, now: Instant, event: rotation::Event) {
        for action in self.rotation.on_event(now, event) {
            match action {
                Action::Forget(identity) => {
                    self.model.certificates.remove(&identity);
                    self.publish(vec![Mark::Forget(identity)]);
                }
                Action::Fetch(identity) => {
                    let (access, channel) =
                        (Arc::clone(&self.parts.access), self.parts.channel.clone());
                    let events = self.parts.events.clone();
                    let fetch = async move {
                        let answer = certificates::fetch(&access, channel, &identity).await;
                        events.send(Event::Fetched(identity, answer)).await.ok();
                    };
                    drop(self.parts.tasks.spawn("certificate", fetch));
                }
            }
        }
    }

    pub(super) fn fetched(
        &mut self,
        now: Instant,
        identity: SpiffeId,
        answer: Result<Issued, FetchError>,
    ) {
        let issued = match answer {
            Ok(issued) => issued,
            Err(error) => {
                tracing::warn!(%error, "no certificate yet; asked again later");
                self.model.status.certificate_failures += 1;
                self.publish(vec![Mark::Status]);
                return self.rotate(now, rotation::Event::Failed(identity));
            }
        };
        self.trust_answer(&issued);
        let wall = clock::wall();
        let left = issued.not_after.duration_since(wall).unwrap_or_default();
        if self.rotation.is_known(&identity) {
            tracing::debug!(%identity, ?left, from = ?issued.not_before, "certificate");
            self.model
                .certificates
                .insert(identity.clone(), Arc::new(issued.certificate));
            self.publish(vec![Mark::Certificate(identity.clone())]);
        }
        self.rotate(now, rotation::Event::Fetched { identity, left });
    }

    /// Trusts the roots that came with a certificate, where nobody tells of bundles.
    fn trust_answer(&mut self, issued: &Issued) {
        if !self.roots_from_answers && self.model.trust.is_some() {
            return;
        }
        let mut roots = issued.roots.clone();
        roots.extend(self.parts.access.file_roots());
        roots.sort();
        roots.dedup();
        let bundle = TrustBundle {
            trust_domain: self.parts.trust_domain.to_string(),
            roots: roots.into_iter().map(Into::into).collect(),
        };
        let known = self
            .model
            .trust
            .as_ref()
            .and_then(|trust| trust.bundle.as_ref());
        if known != Some(&bundle) {
            self.trust(
                TrustUpdate {
                    bundle: Some(bundle),
                    generation: 0,
                },
                None,
            );
        }
    }
}
