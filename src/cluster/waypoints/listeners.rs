//! What is to be said of each listener of a Gateway: which one is a waypoint's, and what is wrong
//! with the others. Pure.

use std::sync::Arc;

use serde_json::{Value, json};

use super::status::Told;
use crate::config::objects::gateway::{GROUP, Gateway, Listener};
use crate::config::translate::{HBONE, WAYPOINT_PORT};

/// Kinds of routes that a waypoint's listener serves.
const KINDS: [&str; 4] = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"];
/// From where routes may come.
const FROM: [&str; 4] = ["Same", "All", "Selector", "None"];

/// A reason in the Gateway API's words, and the same for people.
type Why = (&'static str, String);

/// What is to be said of one listener.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Kinds of routes that it serves.
    pub(super) kinds: Vec<Value>,
    refused: Option<Why>,
    conflict: Option<Why>,
    unresolved: Option<Why>,
}

/// All listeners of a Gateway, in their order.
pub(super) fn judge(gateway: &Gateway) -> Vec<Verdict> {
    let mut serving: Option<&Listener> = None;
    let listeners = gateway.spec.listeners.iter();
    listeners
        .map(|listener| {
            let refused = refused(listener);
            let conflict = serving.filter(|_| refused.is_none()).map(|first| {
                let what = format!("listener {} takes tunnels on that port already", first.name);
                ("HostnameConflict", what)
            });
            if refused.is_none() {
                serving.get_or_insert(listener);
            }
            let (kinds, unresolved) = if refused.is_some() {
                (Vec::new(), None)
            } else {
                kinds(listener)
            };
            Verdict {
                name: listener.name.shared(),
                kinds,
                refused,
                conflict,
                unresolved,
            }
        })
        .collect()
}

impl Verdict {
    /// Whether it is a waypoint's.
    pub(super) fn is_good(&self) -> bool {
        self.refused.is_none() && self.conflict.is_none()
    }

    /// Its conditions; `programmed` is whether its Gateway is.
    pub(super) fn conditions(&self, programmed: bool) -> [Told; 4] {
        let wrong = self.conflict.as_ref().or(self.refused.as_ref());
        let condition = |kind, why: Option<&Why>, good: (&'static str, &str)| match why {
            Some((reason, message)) => Told::new(kind, false, reason, message.as_str()),
            None => Told::new(kind, true, good.0, good.1),
        };
        let pending = ("Pending", "its Gateway is not programmed".to_owned());
        let hindrance = wrong.map(|(_, message)| ("Invalid", message.clone()));
        let hindrance = hindrance.or_else(|| (!programmed).then_some(pending));
        let conflicted = match &self.conflict {
            Some((reason, message)) => Told::new("Conflicted", true, reason, message.as_str()),
            None => Told::new(
                "Conflicted",
                false,
                "NoConflicts",
                "no other listener is in its way",
            ),
        };
        [
            condition("Accepted", wrong, ("Accepted", "it takes tunnels")),
            condition(
                "Programmed",
                hindrance.as_ref(),
                ("Programmed", "it takes tunnels"),
            ),
            condition(
                "ResolvedRefs",
                self.unresolved.as_ref(),
                ("ResolvedRefs", "all that it names is known"),
            ),
            conflicted,
        ]
    }
}

fn refused(listener: &Listener) -> Option<Why> {
    if &*listener.protocol != HBONE {
        let what = format!(
            "protocol {} is not a waypoint's; write {HBONE}",
            listener.protocol
        );
        return Some(("UnsupportedProtocol", what));
    }
    if listener.port != WAYPOINT_PORT {
        let what = format!(
            "port {} is not a waypoint's; write {WAYPOINT_PORT}",
            listener.port
        );
        return Some(("PortUnavailable", what));
    }
    let namespaces = &listener.allowed_routes.namespaces;
    let from = namespaces.from.as_deref()?;
    (!FROM.contains(&from)).then(|| {
        let known = FROM.join(", ");
        let what = format!("allowedRoutes.namespaces.from: `{from}` is not known; write {known}");
        ("UnsupportedValue", what)
    })
}

fn kinds(listener: &Listener) -> (Vec<Value>, Option<Why>) {
    let kind = |name: &str| json!({"group": GROUP, "kind": name});
    let asked = &listener.allowed_routes.kinds;
    if asked.is_empty() {
        return (KINDS.map(kind).to_vec(), None);
    }
    let is_known = |asked: &&crate::config::objects::gateway::RouteKind| {
        asked.group.as_deref().is_none_or(|group| group == GROUP) && KINDS.contains(&&*asked.kind)
    };
    let (known, unknown): (Vec<_>, Vec<_>) = asked.iter().partition(is_known);
    let unresolved = unknown.first().map(|first| {
        let known = KINDS.join(", ");
        let what = format!("allowedRoutes.kinds: {} is none of {known}", first.kind);
        ("InvalidRouteKinds", what)
    });
    (
        known.into_iter().map(|known| kind(&known.kind)).collect(),
        unresolved,
    )
}
