//! Makes waypoints: for each Gateway of ours that is accepted a ServiceAccount, a Service, a Deployment,
//! a PodDisruptionBudget and an autoscaler, and says on Gateways, classes and services how they are.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what all waypoints have in common |
//! | `parameters.rs` | what a Gateway asks for of its own |
//! | `desired.rs` | the objects |
//! | `ledger.rs` | which of them are to be applied or deleted |
//! | `listeners.rs`, `status.rs` | what is said of Gateways, classes and services |
//! | `fields.rs` | setting fields of documents |
//! | `api.rs` | the requests |
//!
//! Tasks: "waypoint parts", one for each kind, which watch what was made; and "waypoints", one, which
//! works while its replica leads. It looks again whenever something changed, so that what somebody
//! edits or deletes is right again within seconds, and every few seconds, because ConfigMaps with
//! parameters are not watched. Nothing is written where it stands there already; an object that was
//! not made for the very Gateway is never touched. What belonged to a Gateway that is gone goes by
//! its owner reference.

mod api;
mod desired;
mod fields;
mod ledger;
mod listeners;
mod parameters;
pub mod settings;
mod status;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kube::Client;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use self::api::{Api, Refused};
use self::desired::{Design, Part};
use self::ledger::{Ledger, Seen};
use self::parameters::{NamedMap, ParameterError, Parameters};
use self::settings::WaypointSettings;
use self::status::{Acceptance, Making};
use super::call::CallError;
use crate::config::objects::gateway::GatewayKey;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::statuses::Shown;
use crate::config::translate::{CLASS, CONTROLLER};
use crate::config::waypoints::report::{SeenGateway, Waypoints};
use crate::serve::WaypointFeed;

/// Class of Istio's waypoints.
const ISTIO_CLASS: &str = "istio-waypoint";
/// When it is looked again though nothing seems to have changed.
const AGAIN: Duration = Duration::from_secs(5);
/// Pause after a round that wrote anything: whoever else writes there is not raced with.
const CALM: Duration = Duration::from_secs(1);
/// Changes that come so close together are looked at once.
const TOGETHER: Duration = Duration::from_millis(100);
/// How often the same status is written to the same object at most.
const SELDOM: Duration = Duration::from_secs(30);
/// How often it is tried to make classes: the kind may not be known yet.
const CLASSES: Duration = Duration::from_secs(10);
/// What watchers have seen and nobody has taken in yet.
const SEEN: usize = 1024;

/// What the maker of waypoints needs.
#[derive(Debug)]
pub struct Maker {
    /// The settings.
    pub settings: WaypointSettings,
    /// First part of every identity.
    pub trust_domain: Arc<str>,
    /// Whether this replica leads.
    pub leads: watch::Receiver<bool>,
    /// Whether the mesh is being uninstalled: nothing is made then.
    pub leaving: watch::Receiver<bool>,
}

impl Maker {
    /// Makes from now on what comes by the feed.
    pub(crate) fn start(self, client: Client, tasks: &Tasks) -> WaypointFeed {
        let (sender, waypoints) = watch::channel(None);
        let (seen, parts) = mpsc::channel(SEEN);
        for part in Part::ALL {
            let follow = api::follow(client.clone(), part, seen.clone());
            let stop = tasks.token();
            tasks.spawn("waypoint parts", async move {
                tokio::select! {
                    () = follow => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        let work = Work {
            api: Api::new(client),
            maker: self,
            ledger: Ledger::default(),
            making: HashMap::new(),
            maps: HashMap::new(),
            statuses: Written::default(),
            classes: None,
        };
        let stop = tasks.token();
        tasks.spawn("waypoints", async move {
            tokio::select! {
                () = work.run(waypoints, parts) => {}
                () = stop.cancelled() => {}
            }
        });
        WaypointFeed(sender)
    }
}

/// The task's state.
struct Work {
    api: Api,
    maker: Maker,
    ledger: Ledger,
    /// How far each Gateway's objects have come.
    making: HashMap<GatewayKey, Making>,
    /// What the ConfigMaps that Gateways name were like last.
    maps: HashMap<GatewayKey, NamedMap>,
    statuses: Written,
    /// When it was last tried to make classes.
    classes: Option<Instant>,
}

impl Work {
    async fn run(
        mut self,
        mut waypoints: watch::Receiver<Option<Arc<Waypoints>>>,
        mut parts: mpsc::Receiver<(Part, Seen)>,
    ) {
        loop {
            let now = waypoints.borrow_and_update().clone();
            if !*self.maker.leads.borrow_and_update() || *self.maker.leaving.borrow() {
                self.ledger.forget();
                self.making.clear();
                self.statuses = Written::default();
            } else if let Some(now) = now.filter(|_| self.ledger.is_complete())
                && self.round(&now).await
            {
                tokio::time::sleep(CALM).await;
            }
            tokio::select! {
                Some((part, seen)) = parts.recv() => self.ledger.take(part, seen),
                changed = waypoints.changed() => if changed.is_err() { return },
                // Who elects may be gone already; nobody leads any more then.
                Ok(()) = self.maker.leads.changed() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
            tokio::time::sleep(TOGETHER).await;
            while let Ok((part, seen)) = parts.try_recv() {
                self.ledger.take(part, seen);
            }
        }
    }

    /// Sees to everything; true if anything was written.
    fn round<'a>(&'a mut self, waypoints: &'a Waypoints) -> BoxFuture<'a, bool> {
        // On the heap: the client's futures are large.
        async move {
            let mut wrote = self.see_to_classes(waypoints).await;
            self.making
                .retain(|key, _| waypoints.gateways.contains_key(key));
            self.maps
                .retain(|key, _| waypoints.gateways.contains_key(key));
            for (key, seen) in &waypoints.gateways {
                wrote |= self.see_to_gateway(key, seen).await;
            }
            for key in self.ledger.gateways() {
                if let Some(uid) = waypoints.others.get(&key) {
                    wrote |= self.clear(&key, uid, &[]).await.unwrap_or(true);
                }
            }
            for service in &waypoints.services {
                let wanted = status::of_service(&service.binding, &service.shown, &rfc3339());
                if !status::stands(&service.shown, &wanted) {
                    wrote |= self.say(&service.key, &service.shown, wanted).await;
                }
            }
            wrote
        }
        .boxed()
    }

    /// Makes the classes that are missing, and says that ours are accepted.
    async fn see_to_classes(&mut self, waypoints: &Waypoints) -> bool {
        let mut wrote = false;
        let istio = self.maker.settings.istio_class.then_some(ISTIO_CLASS);
        let mut missing: Vec<&str> = [Some(CLASS), istio].into_iter().flatten().collect();
        missing.retain(|name| !waypoints.classes.contains_key(*name));
        let now = clock::now();
        let is_due = self.classes.is_none_or(|tried| now >= tried + CLASSES);
        if !missing.is_empty() && is_due {
            self.classes = Some(now);
            for name in missing {
                wrote |= self.api.make_class(name, CONTROLLER).await;
            }
        }
        for (name, seen) in &waypoints.classes {
            if !seen.is_ours() {
                continue;
            }
            let wanted = status::of_class(seen, &rfc3339());
            if !status::stands(&seen.shown, &wanted) {
                let key = ObjectKey::new(Kind::GatewayClass, "", Arc::clone(name));
                wrote |= self.say(&key, &seen.shown, wanted).await;
            }
        }
        wrote
    }

    async fn see_to_gateway(&mut self, key: &GatewayKey, seen: &SeenGateway) -> bool {
        if seen.gateway.metadata.deletion_timestamp.is_some() {
            // What was made is being deleted with it.
            return false;
        }
        let Some(parameters) = self.parameters(key, seen).await else {
            return false;
        };
        let acceptance = Acceptance::of(seen, parameters.as_ref().map(|_| ()));
        let mut wrote = false;
        if let Ok(parameters) = parameters.as_ref()
            && acceptance.is_accepted
        {
            let made = self.make(key, seen, parameters).await;
            wrote = made.1;
            self.making.insert(key.clone(), made.0);
        }
        let making = self.making.get(key).unwrap_or(&Making::NotTried);
        let wanted = status::of_gateway(seen, &acceptance, making, &rfc3339());
        if !status::stands(&seen.shown, &wanted) {
            wrote |= self.say(&key.object(), &seen.shown, wanted).await;
        }
        wrote
    }

    /// What a Gateway asks for; none if that cannot be told now, and could not before.
    async fn parameters(
        &mut self,
        key: &GatewayKey,
        seen: &SeenGateway,
    ) -> Option<Result<Parameters, ParameterError>> {
        let Some(reference) = &seen.gateway.spec.infrastructure.parameters_ref else {
            self.maps.remove(key);
            return Some(Parameters::of(&seen.gateway, None));
        };
        if !reference.group.is_empty() || &*reference.kind != "ConfigMap" {
            let what = "infrastructure.parametersRef: only a ConfigMap (group \"\") can be named";
            return Some(Err(ParameterError(what.to_owned())));
        }
        let read = self.api.config_map(&key.namespace, &reference.name).await;
        if let Err(error) = &read
            && !matches!(error, CallError::Missing(_))
        {
            tracing::warn!(gateway = %key, %error, "a ConfigMap cannot be read now; what it said last counts");
        }
        let before = self.maps.remove(key);
        let map = NamedMap::after(&reference.name, read, before)?;
        let parameters = Parameters::of_map(&seen.gateway, &map);
        self.maps.insert(key.clone(), map);
        Some(parameters)
    }

    /// Applies what differs and deletes what is no longer asked for.
    async fn make(
        &mut self,
        key: &GatewayKey,
        seen: &SeenGateway,
        parameters: &Parameters,
    ) -> (Making, bool) {
        let design = Design {
            gateway: &seen.gateway,
            uid: &seen.shown.uid,
            settings: &self.maker.settings,
            parameters,
            trust_domain: &self.maker.trust_domain,
        };
        let desired = design.objects(None);
        let mut wrote = false;
        for due in self.ledger.due(key, &desired) {
            wrote = true;
            match self.api.apply(&design, due.part).await {
                Ok(mark) => self.ledger.note(key, due, mark),
                Err(refused) => return (self.failed(key, due.part, refused), wrote),
            }
        }
        match self.clear(key, &seen.shown.uid, &desired).await {
            Ok(cleared) => (Making::Done, wrote | cleared),
            Err(making) => (making, true),
        }
    }

    fn failed(&self, key: &GatewayKey, part: Part, refused: Refused) -> Making {
        let making = match refused {
            Refused::NotOurs => status::taken(part.kind(), key),
            Refused::Call(error) => Making::Failed {
                reason: "Invalid",
                message: format!("{} {key} cannot be written: {error}", part.kind()),
            },
        };
        if self.making.get(key) != Some(&making) {
            tracing::warn!(gateway = %key, part = part.kind(), ?making, "a waypoint is not made; tried again");
        }
        making
    }

    /// Deletes what is not wanted of what was made for a Gateway.
    async fn clear(
        &mut self,
        key: &GatewayKey,
        uid: &str,
        wanted: &[desired::Desired],
    ) -> Result<bool, Making> {
        let mut deleted = false;
        for (place, uid) in self.ledger.excess(key, uid, wanted) {
            if let Err(error) = self.api.delete(place.0, key, uid).await {
                return Err(self.failed(key, place.0, Refused::Call(error)));
            }
            self.ledger.gone(&place);
            deleted = true;
        }
        Ok(deleted)
    }

    /// Writes a status, unless the same was written of late: a watch that is late or somebody who
    /// writes the contrary makes no storm.
    async fn say(&mut self, key: &ObjectKey, shown: &Shown, status: Value) -> bool {
        let now = clock::now();
        let object = (key.clone(), Arc::clone(&shown.uid));
        if !self.statuses.is_due(&object, &status, now) {
            return false;
        }
        if let Err(error) = self.api.say(key, &status).await {
            tracing::warn!(object = %key, %error, "a status is not written; tried again");
        }
        self.statuses.note(object, status, now);
        true
    }
}

/// What was written of late, by object and its uid: another of its name has no status yet.
#[derive(Debug, Default)]
struct Written(HashMap<(ObjectKey, Arc<str>), (Value, Instant)>);

impl Written {
    fn is_due(&mut self, object: &(ObjectKey, Arc<str>), value: &Value, now: Instant) -> bool {
        self.0.retain(|_, (_, at)| now < *at + SELDOM);
        self.0
            .get(object)
            .is_none_or(|(last, _)| without_times(last) != without_times(value))
    }

    fn note(&mut self, object: (ObjectKey, Arc<str>), value: Value, now: Instant) {
        self.0.insert(object, (value, now));
    }
}

/// A status without the times at which it became so.
fn without_times(status: &Value) -> Value {
    match status {
        Value::Object(map) => {
            let kept = map.iter().filter(|(name, _)| *name != "lastTransitionTime");
            kept.map(|(name, value)| (name.clone(), without_times(value)))
                .collect()
        }
        Value::Array(list) => list.iter().map(without_times).collect(),
        other => other.clone(),
    }
}

fn rfc3339() -> String {
    clock::rfc3339(clock::wall())
}

#[cfg(test)]
mod tests;
