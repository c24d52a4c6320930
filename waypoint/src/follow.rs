//! Following the control plane: one task that owns the [`View`], brings what comes into it, and puts
//! each new one in force. Trust, the certificate and the series of what has gone have a task each.
//!
//! What cannot be understood leaves what was there before it; what the control plane no longer says
//! while it is away stays in force.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::Ejection;
use ambit_kit::clock;
use ambit_model::{Change, PolicyName, ServiceName, WorkloadUid};
use ambit_telemetry::Telemetry;
use ambit_uplink::{Check, Delivery, Discovered, Subscription};
use ambit_wire::decode::{self, Decoded};
use ambit_wire::delta::{
    ADDRESS_TYPE, AUTHENTICATION_TYPE, AUTHORIZATION_TYPE, CREDENTIAL_TYPE, Client, ROUTES_TYPE,
    Received, TELEMETRY_TYPE, Update,
};
use tokio::sync::{mpsc, watch};

use crate::outside::asked::is_one;
use crate::outside::names::{Answer, Names};
use crate::proxy::Proxy;
use crate::verdicts::Guilty;
use crate::view::{View, identity_of};

pub(crate) mod certificate;
mod credentials;
mod routes;
pub(crate) mod sweep;
mod telling;
pub(crate) mod trust;

use routes::{bring_in_routes, readable_routes};

pub(crate) use routes::SharedReader;

/// The kinds of resources, in the order in which they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What is told of requests: before there are some. Nothing waits for it, since a control plane that
    /// is older than the waypoint does not know of it.
    Telemetry,
    /// What users give for TLS with hosts outside of the mesh: before the services that name it. Nothing waits for
    /// it either.
    Credential,
    /// Authorization policies: before the workloads that they apply to.
    Policy,
    /// Routes: before the services whose requests they are for.
    Routes,
    /// Request authentications: before the services and workloads that name them.
    Authentication,
    /// Workloads and services.
    Address,
}

/// Subscriptions to all kinds; nothing is held yet.
pub(crate) fn subscriptions(
    trust_domain: &Arc<str>,
    telemetry: &Arc<Telemetry>,
    reader: &SharedReader,
) -> Vec<Subscription<Kind>> {
    let domain = Arc::clone(trust_domain);
    let address: Check = Box::new(move |received| {
        let read = decode::address_from_bytes(&received.body, &domain);
        read.map(drop).map_err(|error| error.to_string())
    });
    let policy: Check = Box::new(|received| {
        let read = decode::waypoint_policy_from_bytes(&received.body);
        read.map(drop).map_err(|error| error.to_string())
    });
    let reader = Arc::clone(reader);
    let routes: Check = Box::new(move |received| readable_routes(&reader, received));
    let told: Check = Box::new(telling::readable);
    let authentication: Check = Box::new(|received| {
        let read = decode::authentication_from_bytes(&received.name, &received.body);
        read.map(drop).map_err(|error| error.to_string())
    });
    [
        (Kind::Telemetry, TELEMETRY_TYPE, told),
        (
            Kind::Credential,
            CREDENTIAL_TYPE,
            Box::new(credentials::readable),
        ),
        (Kind::Policy, AUTHORIZATION_TYPE, policy),
        (Kind::Routes, ROUTES_TYPE, routes),
        (Kind::Authentication, AUTHENTICATION_TYPE, authentication),
        (Kind::Address, ADDRESS_TYPE, address),
    ]
    .into_iter()
    .map(|(kind, type_url, check)| Subscription {
        kind,
        client: Client::new(type_url),
        check: counted(check, telemetry),
    })
    .collect()
}

/// The same check, which counts what it rejects.
fn counted(check: Check, telemetry: &Arc<Telemetry>) -> Check {
    let telemetry = Arc::clone(telemetry);
    Box::new(move |received| check(received).inspect_err(|_| telemetry.config_rejected()))
}

/// The owner of the view.
pub(crate) struct Follower {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) view: View,
    pub(crate) views: watch::Sender<Arc<View>>,
    pub(crate) trust_domain: Arc<str>,
    pub(crate) reader: SharedReader,
    /// True once all kinds that are waited for have been told whole.
    pub(crate) complete: watch::Sender<bool>,
    pub(crate) told: std::collections::BTreeSet<Kind>,
    /// Endpoints that are to be ejected.
    pub(crate) found: mpsc::Receiver<Guilty>,
    /// Resolves the names of endpoints that have no address.
    pub(crate) names: Names,
    /// Where they lead.
    pub(crate) answered: mpsc::Receiver<Answer>,
}

impl Follower {
    /// Brings in what comes, until the stream's task ends.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Discovered<Kind>>) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                Some(guilty) = self.found.recv() => {
                    self.eject(&guilty);
                    continue;
                }
                Some(answer) = self.answered.recv() => {
                    self.resolved(&answer);
                    continue;
                }
                () = until(self.view.due()) => {
                    self.bring_back();
                    continue;
                }
            };
            let Some(event) = event else { return };
            match event {
                Discovered::Connected => {
                    self.proxy.away.set(false);
                    tracing::info!("connected to the control plane");
                }
                Discovered::Disconnected => {
                    self.proxy.away.set(true);
                    tracing::warn!("the control plane is away; what is known stays in force");
                }
                Discovered::Update(delivery) => self.take(delivery).await,
            }
        }
    }

    async fn take(&mut self, delivery: Delivery<Kind>) {
        let Delivery {
            kind,
            update,
            in_force,
            ..
        } = delivery;
        let gone = kind == Kind::Address && !update.removed.is_empty();
        let complete = update.complete;
        let judged_otherwise = match kind {
            Kind::Telemetry => {
                telling::bring_in(&self.proxy, &update);
                self.proxy.traces.set(&self.proxy.tellings.mesh());
                in_force.send(()).ok();
                return;
            }
            Kind::Credential => {
                credentials::bring_in(self.proxy.linker.credentials(), &update, &self.view.mesh);
                in_force.send(()).ok();
                return;
            }
            Kind::Routes => {
                for service in bring_in_routes(&mut self.view, &self.reader, &update).await {
                    tracing::error!(%service, "some of its routes cannot be used");
                    self.proxy.telemetry.config_rejected();
                }
                false
            }
            Kind::Policy | Kind::Authentication | Kind::Address => self.bring_in(kind, &update),
        };
        self.put_in_force();
        if judged_otherwise {
            self.proxy.review.begin();
        }
        if kind == Kind::Address {
            self.proxy.review.begin_outside();
            self.proxy.callers.heard(answered(&update));
            self.purge();
            credentials::sweep(self.proxy.linker.credentials(), &self.view.mesh);
            self.names.want(&self.proxy, self.view.outside_names());
        }
        if gone {
            self.proxy.gone.notify_one();
        }
        // An older control plane tells of no authentications, and names none.
        let counts = complete && kind != Kind::Authentication;
        if counts && self.told.insert(kind) && self.told.len() == 3 {
            tracing::info!("the first state is complete");
            self.complete.send_replace(true);
        }
        // Nobody waits if the stream has broken meanwhile.
        in_force.send(()).ok();
    }

    fn put_in_force(&self) {
        let view = Arc::new(self.view.clone());
        self.proxy.view.store(Arc::clone(&view));
        self.views.send_replace(view);
    }

    /// A name leads elsewhere than before.
    fn resolved(&mut self, answer: &Answer) {
        let Answer { name, addresses } = answer;
        tracing::debug!(%name, ?addresses, "the name of an outside host is resolved");
        self.view.resolved(name, addresses, clock::now());
        self.put_in_force();
        self.purge();
    }

    /// Ejects an endpoint, unless that would be one too many.
    fn eject(&mut self, guilty: &Guilty) {
        let Guilty { cluster, verdict } = guilty;
        let ejection = self.view.eject(cluster, verdict, clock::now());
        if ejection != Ejection::Enforced {
            return;
        }
        let (service, port, subset) = cluster;
        let (endpoint, cause) = (&verdict.endpoint().key, verdict.cause());
        tracing::info!(%service, port, ?subset, %endpoint, ?cause, "an endpoint failed too often in a row");
        self.put_in_force();
    }

    /// Brings back those whose time is over.
    fn bring_back(&mut self) {
        for ((service, port, subset), endpoint) in self.view.tick(clock::now()) {
            tracing::info!(%service, port, ?subset, %endpoint, "an endpoint is ejected no longer");
        }
        self.put_in_force();
    }

    /// True if policies are others now, or those of some workload, or whose tokens are judged.
    fn bring_in(&mut self, kind: Kind, update: &Update) -> bool {
        let now = clock::now();
        let changed = update.changed.iter();
        let put = changed.filter_map(|received| change(kind, received, &self.trust_domain));
        let removed = update.removed.iter().flat_map(|name| removal(kind, name));
        let changes: Vec<Change> = put.chain(removed).collect();
        let mut judged_otherwise = false;
        for change in changes {
            judged_otherwise |= self.changes_judgement(&change);
            self.view.apply(change, now);
        }
        if kind == Kind::Address {
            self.view.look_at_names_again(now);
        }
        if kind == Kind::Policy {
            judged_otherwise |= self.note_unread(update);
        }
        judged_otherwise
    }

    /// True if there is a policy more that cannot be read and never could.
    fn note_unread(&mut self, update: &Update) -> bool {
        let read = update.changed.iter().map(|received| &received.name);
        for name in read.chain(&update.removed) {
            self.view.unread.forget(name);
        }
        let mut is_any_new = false;
        for rejection in &update.rejected {
            let (name, is_new) = (&rejection.name, self.view.reject_policy(&rejection.name));
            if is_new {
                tracing::error!(%name, "this policy was never known: what it may be about is refused");
            }
            is_any_new |= is_new;
        }
        is_any_new
    }

    fn changes_judgement(&self, change: &Change) -> bool {
        match change {
            Change::PutPolicy(_) | Change::RemovePolicy(_) => true,
            Change::PutWorkload(now) => {
                let known = self.view.mesh.workload(&now.uid);
                known.is_some_and(|was| {
                    was.policies != now.policies
                        || was.applicable_policies != now.applicable_policies
                        || was.authentications != now.authentications
                        || was.asked_authentications != now.asked_authentications
                })
            }
            Change::PutService(now) => {
                let known = self.view.mesh.service(&now.name);
                known.is_some_and(|was| was.authentications != now.authentications)
            }
            _ => false,
        }
    }

    /// Lets go of connections to pods that are gone, or are reached otherwise now.
    fn purge(&self) {
        let mesh = &self.view.mesh;
        let known = |pod: &str| {
            let by_uid = mesh.workload_by_pod_uid(pod);
            let uid = || WorkloadUid::new(pod);
            let by_name = by_uid.or_else(|| mesh.workload(&uid()));
            by_name.or_else(|| self.view.face(&uid()))
        };
        self.proxy.linker.purge(|pod| known(pod).is_none());
        self.proxy.http.purge(|pod, identity| {
            !is_one(pod) && known(pod).is_none_or(|now| identity_of(now).as_ref() != identity)
        });
    }
}

/// The addresses for which an update answers who is there: it names them as they were asked for, once all who are
/// there have been told. What else it tells of an address may be anybody's entry, and older than the question.
/// Who cannot be read is not known to be there: then it answers for none.
fn answered(update: &Update) -> impl Iterator<Item = IpAddr> {
    let names = update.removed.iter();
    let names = names.filter(|_| update.rejected.is_empty());
    names.filter_map(|name| name.strip_prefix('/')?.parse().ok())
}

/// Waits until then; for ever without a time.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}

fn change(kind: Kind, received: &Received, trust_domain: &str) -> Option<Change> {
    // What cannot be read was rejected before it came here.
    match kind {
        Kind::Policy => {
            let policy = decode::waypoint_policy_from_bytes(&received.body).ok()?;
            Some(Change::PutPolicy(Arc::new(policy)))
        }
        Kind::Address => Some(
            match decode::address_from_bytes(&received.body, trust_domain).ok()? {
                Decoded::Workload(workload) => Change::PutWorkload(Arc::new(workload)),
                Decoded::Service(service) => Change::PutService(Arc::new(service)),
            },
        ),
        Kind::Authentication => {
            let (name, body) = (&received.name, &received.body);
            let object = decode::authentication_from_bytes(name, body).ok()?;
            Some(Change::PutAuthentication(Arc::new(object)))
        }
        // Taken in elsewhere.
        Kind::Routes | Kind::Telemetry | Kind::Credential => None,
    }
}

/// A name alone does not say whether it is a workload's or a service's: nothing is both.
fn removal(kind: Kind, name: &Arc<str>) -> Vec<Change> {
    match kind {
        Kind::Telemetry | Kind::Credential => Vec::new(),
        Kind::Policy => PolicyName::parse(name)
            .map(Change::RemovePolicy)
            .into_iter()
            .collect(),
        Kind::Authentication => PolicyName::parse(name)
            .map(Change::RemoveAuthentication)
            .into_iter()
            .collect(),
        Kind::Routes => ServiceName::parse(name)
            .map(Change::RemoveRoutes)
            .into_iter()
            .collect(),
        Kind::Address => {
            let workload = Change::RemoveWorkload(WorkloadUid::new(Arc::clone(name)));
            let service = ServiceName::parse(name).map(Change::RemoveService);
            std::iter::once(workload).chain(service).collect()
        }
    }
}

#[cfg(test)]
mod tests;
