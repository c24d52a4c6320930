//! What a changed policy touches, and which policies a change of something else does.

use std::sync::Arc;

use super::{Dirty, Output};
use crate::config::Settings;
use crate::config::objects::authorization_policy::AuthorizationPolicy;
use crate::config::objects::metadata::Labels;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::Objects;
use crate::config::translate::targets::gateways_of;

impl Dirty {
    /// Policies of a namespace that depend on which waypoints stand before what.
    pub(super) fn touch_bound_policies(&mut self, objects: &Objects, namespace: &str) {
        let policies = objects.in_namespace(Kind::AuthorizationPolicy, namespace);
        self.touch_policies(policies);
    }

    /// The same of all namespaces: one of a root namespace depends on waypoints anywhere.
    pub(super) fn touch_all_policies(&mut self, objects: &Objects) {
        self.touch_policies(objects.of_kind(Kind::AuthorizationPolicy));
    }

    fn touch_policies<'o>(&mut self, policies: impl Iterator<Item = (&'o ObjectKey, &'o Object)>) {
        let depending = policies.filter(
            |(_, object)| matches!(object, Object::AuthorizationPolicy(policy) if policy.looks_for_waypoints()),
        );
        self.outputs
            .extend(depending.filter_map(|(key, _)| Output::of(key)));
    }

    /// What the targets of a policy lead to.
    fn touch_targets(&mut self, objects: &Objects, key: &ObjectKey, policy: &AuthorizationPolicy) {
        for target in policy.targets() {
            let of =
                |kind| ObjectKey::new(kind, Arc::clone(&key.namespace), Arc::clone(&target.name));
            match &*target.kind {
                "Service" => self.touch_service(objects, &of(Kind::Service)),
                "ServiceEntry" => {
                    let key = of(Kind::ServiceEntry);
                    if let Some(entry) = objects.service_entry(&key) {
                        self.touch_served(objects, &key, entry);
                    }
                }
                "Gateway" => self.touch_gateway(objects, &of(Kind::Gateway)),
                "GatewayClass" => {
                    for gateway in gateways_of(objects, &target.name) {
                        self.touch_gateway(objects, &gateway.object());
                    }
                }
                _ => {}
            }
        }
    }

    /// Pods whose list of policies changes; none if only the rules of a policy did.
    pub(super) fn touch_policy(
        &mut self,
        settings: &Settings,
        objects: &Objects,
        key: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) {
        let reaches =
            [before, after].map(|object| object.and_then(|o| Reach::of(settings, key, o)));
        let relist = match (before, after) {
            (Some(Object::AuthorizationPolicy(_)), Some(Object::AuthorizationPolicy(_))) => {
                reaches[0] != reaches[1]
            }
            _ => true,
        };
        for object in [before, after] {
            if let Some(Object::AuthorizationPolicy(policy)) = object {
                self.touch_targets(objects, key, policy);
            }
        }
        if key.kind == Kind::PeerAuthentication {
            self.outputs.insert(Output::StaticStrict);
        }
        for reach in reaches.into_iter().flatten().filter(|_| relist) {
            match (reach.namespace, reach.selector) {
                (None, None) => self.everything = true,
                (Some(namespace), None) => {
                    self.namespaces.insert(namespace);
                }
                (namespace, Some(selector)) => {
                    self.touch_pods(objects, namespace.as_deref(), &selector);
                }
            }
        }
    }
}

/// Pods that a policy may apply to.
#[derive(PartialEq, Eq)]
struct Reach {
    /// `None` for all.
    namespace: Option<Arc<str>>,
    /// `None` for every pod.
    selector: Option<Labels>,
}

impl Reach {
    fn of(settings: &Settings, key: &ObjectKey, object: &Object) -> Option<Self> {
        let namespace = Some(Arc::clone(&key.namespace));
        let wide = namespace
            .clone()
            .filter(|namespace| !settings.is_root(namespace));
        match object {
            Object::AuthorizationPolicy(policy) => {
                let selector = policy
                    .selector()
                    .map(|selector| selector.match_labels.clone());
                policy.applies_to_pods().then_some(Self {
                    namespace: wide,
                    selector,
                })
            }
            Object::PeerAuthentication(policy) => Some(match policy.selector() {
                Some(selector) => Self {
                    namespace,
                    selector: Some(selector.match_labels.clone()),
                },
                None => Self {
                    namespace: wide,
                    selector: None,
                },
            }),
            Object::UnreadablePolicy(_) => Some(Self {
                namespace: wide,
                selector: None,
            }),
            _ => None,
        }
    }
}
