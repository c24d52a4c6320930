//! Istio's `VirtualService`s of a service, in the same form as routes of the Gateway API.
//!
//! - Several for one host are put together: those that are for the clients of one namespace alone come
//!   before those for all, then the oldest first, then by namespace and name; the rules of one object
//!   stay in order, and the first that matches decides. Where one names the host in full, those that
//!   name it by a wildcard do not count, nor a shorter wildcard beside a longer one.
//! - `exportTo` says for whose clients one holds. One of another namespace than the service's holds for
//!   the clients of its own namespace alone, whatever it says, unless its namespace is a root of the
//!   mesh: nobody decides what others get of somebody else's service.
//! - Routes of the Gateway API go first. Where there is one for all clients of a port, no
//!   `VirtualService` counts there; where there is one for the clients of a namespace, it counts for
//!   those.
//! - What a port speaks says which rules are for it: `http`, `tls` or `tcp`. Where it does not say, rules
//!   that name its number decide, then `http` comes before `tls` and that before `tcp`. A port that no
//!   rule is for is served without routes.
//! - A rule that is wrong never opens a door, as with other routes.

mod actions;
mod attach;
mod backends;
mod bytes;
mod delegate;
mod filters;
mod findings;
mod matches;
mod retries;
mod speaks;
mod streams;
mod unheld;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{AppProtocol, HttpRoutes, PortRoutes, RouteList, RoutedMatch};

pub(super) use self::attach::attached;
use self::attach::visible;
use self::bytes::Bytes;
use self::delegate::Effective;
pub(in crate::config::translate) use self::findings::findings;
pub(in crate::config) use self::findings::general;
use self::speaks::{Speaks, speaks};
use super::compile::Wrong;
use super::expressions::{MOST_OF_NAMESPACE, Room};
use crate::config::objects::ObjectKey;
use crate::config::objects::virtual_service::{HttpRule, MAX_MATCHES, VirtualService};
use crate::config::problem::{Finding, Severity};
use crate::config::translate::{Inputs, subject};

/// What is said of virtual services, for one service.
pub type VirtualVerdicts = BTreeMap<ObjectKey, VirtualVerdict>;

/// What is said of a virtual service, for one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualVerdict {
    /// Ports of the service on which it is in force.
    pub in_force: BTreeSet<u16>,
    /// What is wrong, or not as it is written.
    pub findings: Vec<(Severity, Finding)>,
    /// None of its rules is for a port of any service that it is for.
    pub is_for_no_port: bool,
}

impl VirtualVerdict {
    /// Notes what is to be said, once.
    pub fn note(&mut self, severity: Severity, finding: Finding) {
        let one = (severity, finding);
        if !self.findings.contains(&one) {
            self.findings.push(one);
        }
    }
}

/// A virtual service that is for a service.
#[derive(Debug)]
pub(super) struct Virtual<'a> {
    pub(super) key: &'a ObjectKey,
    object: &'a VirtualService,
    /// How much of the name its host says: more before less.
    precision: usize,
    /// The namespaces of whose clients it holds; none for all.
    clients: Option<BTreeSet<Arc<str>>>,
}

/// What is found out while virtual services are read.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) VirtualVerdicts);

impl Notes {
    fn of(&mut self, key: &ObjectKey) -> &mut VirtualVerdict {
        self.0.entry(key.clone()).or_default()
    }

    fn warn(&mut self, key: &ObjectKey, finding: Finding) {
        self.of(key).note(Severity::Warning, finding);
    }

    fn wrong(&mut self, key: &ObjectKey, wrong: Wrong) {
        self.of(key).note(Severity::Error, wrong.finding);
    }
}

/// What rules are read for.
#[derive(Clone, Copy, Debug)]
struct Scene<'a> {
    inputs: &'a Inputs<'a>,
    /// The service whose traffic it is, and its port, where that is known.
    port: Option<u16>,
}

/// Adds the lists of virtual services for a service to those of other routes, and says on which ports
/// which of them do not count.
pub(super) fn add(
    inputs: &Inputs<'_>,
    service: &ObjectKey,
    attached: &[Virtual<'_>],
    others: &BTreeMap<u16, (ObjectKey, PortRoutes)>,
    notes: &mut Notes,
) -> BTreeMap<u16, PortRoutes> {
    let mut made = BTreeMap::new();
    if !inputs.is_there(service) {
        for one in attached {
            notes.of(one.key);
        }
        return made;
    }
    let subject = subject::of(inputs, service).filter(|subject| !subject.is_headless);
    let Some(subject) = subject else {
        for one in attached {
            let what = format!("{service} has no virtual address, so no request is sent to it");
            let advice = "name a service that has one";
            notes.warn(one.key, Finding::new("spec.hosts", what, advice));
        }
        return made;
    };
    for port in subject.ports {
        let other = others.get(&port.0);
        if let Some((winner, routes)) = other
            && routes.producer.is_some()
        {
            for one in attached {
                notes.warn(one.key, outdone(service, port.0, winner));
            }
            continue;
        }
        let mut lists = PortRoutes::default();
        let named = attached.iter().filter_map(|one| one.clients.as_ref());
        let consumers: BTreeSet<&Arc<str>> = named.flatten().collect();
        let all = visible(attached, None, notes);
        lists.producer = list(inputs, (service, port), &all, notes);
        for consumer in consumers {
            let visible = visible(attached, Some(consumer), notes);
            if let Some((winner, routes)) = other
                && routes.consumers.contains_key(consumer)
            {
                for one in visible.iter().filter(|one| one.clients.is_some()) {
                    notes.warn(one.key, outdone(service, port.0, winner));
                }
                continue;
            }
            if let Some(list) = list(inputs, (service, port), &visible, notes) {
                lists.consumers.insert(Arc::clone(consumer), list);
            }
        }
        if lists != PortRoutes::default() {
            made.insert(port.0, lists);
        }
    }
    made
}

fn outdone(service: &ObjectKey, port: u16, winner: &ObjectKey) -> Finding {
    let what = format!("on port {port} of {service} {winner} counts instead");
    let advice = "keep one of the two, or give them different ports";
    Finding::new("spec.hosts", what, advice)
}

fn list(
    inputs: &Inputs<'_>,
    (service, port): (&ObjectKey, (u16, AppProtocol)),
    visible: &[&Virtual<'_>],
    notes: &mut Notes,
) -> Option<RouteList> {
    let scene = Scene {
        inputs,
        port: Some(port.0),
    };
    match speaks(port, visible)? {
        Speaks::Http => http(&scene, service, visible, notes).map(RouteList::Http),
        Speaks::Tls => streams::tls(&scene, visible, notes).map(RouteList::Tls),
        Speaks::Tcp => streams::tcp(&scene, visible, notes).map(RouteList::Tcp),
    }
}

/// One list of the rules for requests; none if no rule is for the port.
fn http(
    scene: &Scene<'_>,
    service: &ObjectKey,
    visible: &[&Virtual<'_>],
    notes: &mut Notes,
) -> Option<HttpRoutes> {
    let mut routes = HttpRoutes::default();
    let mut bytes = Bytes::of(scene.inputs, service);
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let mut takes_all: Option<&ObjectKey> = None;
    let mut is_for_port = false;
    for one in visible {
        let left = left.entry(&one.key.namespace).or_insert(MOST_OF_NAMESPACE);
        let mut reader = Reader {
            scene: *scene,
            room: Room::new(scene.inputs.judged, *left),
            is_for_port: false,
            notes: &mut *notes,
        };
        let mut rules = reader.rules(one.key, one.object);
        *left = left.saturating_sub(reader.room.taken());
        is_for_port |= reader.is_for_port;
        bytes.bound(one.key, &mut rules, notes);
        let Some(port) = scene.port.filter(|_| !rules.is_empty()) else {
            continue;
        };
        notes.of(one.key).in_force.insert(port);
        if let Some(first) = takes_all {
            let what = format!("never reached on port {port}: {first} comes first and takes all");
            let advice = "put the rules into one object, or take its rule for all requests out";
            notes.warn(one.key, Finding::new("spec.http", what, advice));
        }
        for (matches, rule) in rules {
            if takes_all.is_none() && matches.iter().any(matches::is_for_all) {
                takes_all = Some(one.key);
            }
            let index = u32::try_from(routes.rules.len()).unwrap_or(u32::MAX);
            routes.rules.push(Arc::new(rule));
            let routed = matches.into_iter().map(|when| RoutedMatch {
                when: when.into(),
                rule: index,
            });
            routes.matches.extend(routed);
        }
    }
    // Where all rules for it are left out, nothing may pass.
    is_for_port.then_some(routes)
}

/// Matches and the rule that they lead to.
type Routed = (Vec<ambit_model::HttpMatch>, ambit_model::HttpRule);

/// Reads the rules of one virtual service.
struct Reader<'a, 'n> {
    scene: Scene<'a>,
    room: Room<'a>,
    /// True once a rule was for the port, if only one that is left out.
    is_for_port: bool,
    notes: &'n mut Notes,
}

impl Reader<'_, '_> {
    fn rules(&mut self, key: &ObjectKey, object: &VirtualService) -> Vec<Routed> {
        let mut rules = Vec::new();
        let mut left = MAX_MATCHES;
        for (index, rule) in object.spec.http.iter().enumerate() {
            let numbered = (index, rule);
            match delegate::effective(self.scene.inputs, key, numbered, &mut left, self.notes) {
                Ok(stands) => {
                    // What was delegated, and can be met by nothing, is not open for it.
                    self.is_for_port |= stands.lacks_some && self.may_be_for_port(rule);
                    rules.extend(stands.rules.iter().filter_map(|one| self.rule(one)));
                }
                Err(wrong) => {
                    let alone = Effective::of(key, index, rule);
                    rules.extend(self.refused(&alone, wrong));
                }
            }
        }
        rules
    }

    fn may_be_for_port(&self, rule: &HttpRule) -> bool {
        let port = self.scene.port;
        port.is_none_or(|port| matches::may_be_for(rule, port))
    }

    /// A rule as it is for the port; none if it is not for it, or left out because its matches cannot
    /// be followed.
    fn rule(&mut self, one: &Effective<'_>) -> Option<Routed> {
        let matches = self.matches(one)?;
        self.is_for_port = true;
        let action = self.action(one);
        // Asked last: matches and action take expressions.
        let bounded = self.room.check(&one.field);
        let matches = match matches {
            Ok(matches) => matches,
            Err(wrong) => {
                self.notes.wrong(one.key, wrong);
                return None;
            }
        };
        let rule = bounded.and(action);
        let rule = rule.unwrap_or_else(|wrong| {
            self.notes.wrong(one.key, wrong);
            ambit_model::HttpRule::default()
        });
        if let Some(port) = self.scene.port {
            self.notes.of(one.key).in_force.insert(port);
        }
        let name = one.name(self.scene.port);
        Some((matches, ambit_model::HttpRule { name, ..rule }))
    }

    /// A rule of which only the matches can be followed, as long as what it refers to is not there.
    fn refused(&mut self, one: &Effective<'_>, wrong: Wrong) -> Option<Routed> {
        self.notes.warn(one.key, wrong.finding);
        let matches = self.matches(one)?;
        self.is_for_port = true;
        // Nothing gets by it, however many expressions it has.
        drop(self.room.check(&one.field));
        let matches = matches.ok()?;
        let name = one.name(self.scene.port);
        Some((
            matches,
            ambit_model::HttpRule {
                name,
                ..ambit_model::HttpRule::default()
            },
        ))
    }
}
