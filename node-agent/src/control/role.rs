//! The one task that owns what the role knows. Everything else tells it ([`Event`]) and reads
//! snapshots of it.
//!
//! Nothing here waits: an event is handled to its end, messages go to channels that have room or
//! are given up with a reason. So no other task can hold this one up, and through it its
//! neighbours.

mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_identity::rotation::{self, Rotation};
use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_model::SpiffeId;
use ambit_uplink::certificates::{FetchError, Issued};
use ambit_uplink::trust::Trusted;
use ambit_uplink::{Access, Delivery, Discovered};
use ambit_wire::node::control_to_host::Kind as ToHost;
use ambit_wire::node::{CapturedPod, TrustUpdate};
use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;

use super::backlog::{Backlog, Mark};
use super::capture::Report;
use super::feed::{Fed, FeedTask};
use super::forward;
use super::host::FromHost;
use super::in_force::Readers;
use super::kept::{KeptCertificate, Restored};
use super::model::{Kind, Model};

/// Kept keys that no pod of the host role has by then are erased.
const UNCLAIMED: Duration = Duration::from_secs(60);

/// What can happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// The discovery stream.
    Discovered(Discovered<Kind>),
    /// The trust stream.
    Trusted(Trusted),
    /// A proxy's feed, by its number.
    Fed(u64, Fed),
    /// An answer of the certificate service.
    Fetched(SpiffeId, Result<Issued, FetchError>),
    /// The host role.
    Host(FromHost),
    /// A pod, by its uid, that nobody tunnels to any more.
    Withdrawn(String),
}

/// What the role is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// What proves us to the control plane.
    pub(crate) access: Arc<Access>,
    /// The way there.
    pub(crate) channel: Channel,
    /// Trust domain of the mesh.
    pub(crate) trust_domain: Arc<str>,
    /// Where snapshots are published.
    pub(crate) models: Arc<ArcSwap<Model>>,
    /// The keeper's marks.
    pub(crate) keeper: Backlog,
    /// To the capture task.
    pub(crate) reports: mpsc::Sender<Report>,
    /// To the host role.
    pub(crate) host: mpsc::Sender<ToHost>,
    /// To this task, for those that it starts.
    pub(crate) events: mpsc::Sender<Event>,
    /// Everything that runs.
    pub(crate) tasks: Tasks,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Role {
    parts: Parts,
    model: Model,
    readers: Readers,
    feeds: u64,
    seen: BTreeSet<Kind>,
    rotation: Rotation,
    /// Certificates from before, of no pod yet, and until when they are waited for.
    unclaimed: BTreeMap<SpiffeId, KeptCertificate>,
    unclaimed_until: Instant,
    /// Pods whose release is under way, and when their keys go.
    leaving: BTreeMap<String, Instant>,
    /// The control plane does not tell of trust bundles: the roots of its answers are used.
    roots_from_answers: bool,
}

impl Role {
    /// Begins with what was kept.
    pub(crate) fn new(parts: Parts, restored: Restored, seed: u64) -> Self {
        let model = restored.model;
        if let Some(bundle) = model.trust.as_ref().and_then(|trust| trust.bundle.as_ref()) {
            parts
                .access
                .trust(bundle.roots.iter().map(|root| root.to_vec()).collect());
        }
        parts.models.store(Arc::new(model.clone()));
        Self {
            readers: Readers::new(parts.keeper.clone()),
            parts,
            model,
            feeds: 0,
            seen: BTreeSet::new(),
            rotation: Rotation::new(seed),
            unclaimed: restored.certificates.into_iter().collect(),
            unclaimed_until: clock::now() + UNCLAIMED,
            leaving: BTreeMap::new(),
            roots_from_answers: false,
        }
    }

    /// Handles events until the role stops.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let stop = self.parts.tasks.token();
        loop {
            let due = self.due();
            let event = tokio::select! {
                event = events.recv() => event,
                () = clock::until(due) => None,
                () = stop.cancelled() => return,
            };
            let now = clock::now();
            if let Some(event) = event {
                self.handle(now, event);
            }
            self.pass_time(now);
        }
    }

    fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Discovered(Discovered::Connected) => self.connection(true),
            Event::Discovered(Discovered::Disconnected) => self.connection(false),
            Event::Discovered(Discovered::Update(delivery)) => self.update(now, delivery),
            Event::Trusted(Trusted::Update(update, held)) => self.trust(update, Some(held)),
            Event::Trusted(Trusted::NotServed) => self.roots_from_answers = true,
            Event::Fed(feed, Fed::Applied(through)) => self.readers.applied(feed, through),
            Event::Fed(feed, Fed::Closed) => self.readers.closed(feed),
            Event::Fed(_, Fed::Wanted(identity)) => {
                self.rotate(now, rotation::Event::Demanded(identity));
            }
            Event::Fetched(identity, answer) => self.fetched(now, identity, answer),
            Event::Host(FromHost::Failed(uid, why)) => self.report(Report::Failed(uid, why)),
            Event::Host(FromHost::Older(uid, count)) => self.report(Report::Older(uid, count)),
            Event::Host(FromHost::Left) => self.report(Report::Left),
            Event::Host(FromHost::Prepare(pod)) => drop(self.pod(now, &pod)),
            Event::Host(FromHost::Captured(pod)) => {
                if self.pod(now, &pod) {
                    self.report(Report::Captured(CapturedPod {
                        uid: pod.uid,
                        namespace: pod.namespace,
                        name: pod.name,
                        older_connections: 0,
                    }));
                }
            }
            Event::Host(FromHost::Withdraw(uid)) => self.report(Report::Withdraw(uid)),
            Event::Host(FromHost::Proxy(generation, socket)) => self.proxy(generation, socket),
            Event::Withdrawn(uid) => self.withdrawn(now, uid),
        }
    }

    /// When time alone has something to do next.
    fn due(&self) -> Option<Instant> {
        let unclaimed = (!self.unclaimed.is_empty()).then_some(self.unclaimed_until);
        let listed = self.leaving.values().copied();
        let single = [unclaimed, self.rotation.wake_at(), self.readers.due()];
        listed.chain(single.into_iter().flatten()).min()
    }

    fn pass_time(&mut self, now: Instant) {
        self.readers.pass_time(now);
        for (uid, _) in self
            .leaving
            .extract_if(.., |_, due| *due <= now)
            .collect::<Vec<_>>()
        {
            self.rotate(now, rotation::Event::PodGone { pod: uid.into() });
        }
        if self.unclaimed_until <= now && !self.unclaimed.is_empty() {
            let identities = std::mem::take(&mut self.unclaimed).into_keys();
            self.publish(identities.map(Mark::Forget).collect());
        }
        if self.rotation.wake_at().is_some_and(|at| at <= now) {
            self.rotate(now, rotation::Event::Tick);
        }
    }

    /// Makes the model as it is now everybody's, and tells what changed in it.
    fn publish(&mut self, marks: Vec<Mark>) -> u64 {
        self.parts.models.store(Arc::new(self.model.clone()));
        self.readers.mark(marks)
    }

    fn connection(&mut self, connected: bool) {
        let status = &mut self.model.status;
        if status.connected != connected || status.since_unix_ms == 0 {
            status.connected = connected;
            let now = clock::unix_millis(clock::wall());
            status.since_unix_ms = i64::try_from(now).unwrap_or(i64::MAX);
            self.publish(vec![Mark::Status]);
        }
    }

    fn update(&mut self, now: Instant, delivery: Delivery<Kind>) {
        let Delivery {
            kind,
            update,
            unreadable,
            bytes,
            in_force,
        } = delivery;
        let count = update.changed.len() + update.removed.len();
        let mut marks = Vec::with_capacity(count + 2);
        for name in update.removed {
            self.model.remove(kind, &name);
            marks.push(Mark::Resource(kind, name));
        }
        for received in update.changed {
            self.model.put(kind, &received);
            marks.push(Mark::Resource(kind, received.name));
        }
        for received in unreadable.into_iter().filter(|_| kind == Kind::Policy) {
            if self.model.put_unreadable_policy(&received) {
                marks.push(Mark::Resource(kind, received.name));
            }
        }
        if update.complete {
            self.seen.insert(kind);
        }
        if self.seen.len() == 2 && !self.model.complete {
            tracing::info!("the first state is complete");
            self.model.complete = true;
            marks.push(Mark::Complete);
        }
        self.model.status.received_bytes += bytes;
        self.model.status.received_resources += count as u64;
        marks.push(Mark::Status);
        let through = self.publish(marks);
        self.readers.when_in_force(now, through, in_force);
    }

    fn trust(&mut self, update: TrustUpdate, held: Option<oneshot::Sender<()>>) {
        let roots = update.bundle.as_ref().map(|bundle| bundle.roots.as_slice());
        let Some(roots) = roots.filter(|roots| !roots.is_empty()) else {
            tracing::error!("a trust bundle without roots is ignored; the last one stays");
            return;
        };
        self.parts
            .access
            .trust(roots.iter().map(|root| root.to_vec()).collect());
        tracing::info!(
            generation = update.generation,
            roots = roots.len(),
            "trust bundle"
        );
        self.model.trust = Some(Arc::new(update));
        let through = self.publish(vec![Mark::Trust]);
        if let Some(held) = held {
            self.roots_from_answers = false;
            self.readers.when_everywhere(through, held);
        }
    }

    fn proxy(&mut self, generation: u64, socket: OwnedFd) {
        self.feeds += 1;
        let feed = self.feeds;
        let backlog = self.readers.join(feed, &self.model);
        let fed = move |report| Event::Fed(feed, report);
        let reports = forward(&self.parts.tasks, "fed", &self.parts.events, fed);
        let task = FeedTask::new(generation, backlog, Arc::clone(&self.parts.models), reports);
        drop(self.parts.tasks.spawn("feed", task.run(socket)));
        tracing::info!(generation, "a proxy is fed");
    }
}
