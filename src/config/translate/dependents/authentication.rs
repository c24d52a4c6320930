//! What a changed request authentication touches: the services and pods that name it, or did. None if only
//! its rules have changed, of which waypoints are told once.

use std::sync::Arc;

use super::{Dirty, Output};
use crate::config::Settings;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::Objects;

impl Dirty {
    /// Marks a request authentication.
    pub fn authentication(&mut self, key: &ObjectKey) {
        self.outputs.insert(Output::Authentication(key.clone()));
    }

    pub(super) fn touch_authentication(
        &mut self,
        settings: &Settings,
        objects: &Objects,
        key: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) {
        if let (
            Some(Object::RequestAuthentication(before)),
            Some(Object::RequestAuthentication(after)),
        ) = (before, after)
            && before.selector() == after.selector()
            && before.targets().eq(after.targets())
        {
            return;
        }
        for object in [before, after].into_iter().flatten() {
            self.touch_named(settings, objects, key, object);
        }
    }

    /// What may name it.
    fn touch_named(
        &mut self,
        settings: &Settings,
        objects: &Objects,
        key: &ObjectKey,
        object: &Object,
    ) {
        let is_root = settings.is_root(&key.namespace);
        let namespace = || Arc::clone(&key.namespace);
        let Object::RequestAuthentication(object) = object else {
            // It cannot be read: it may be for anything there, and for what its Gateways stand before.
            self.touch_all(is_root, &key.namespace);
            let gateways = objects.in_namespace(Kind::Gateway, &key.namespace);
            for (gateway, _) in gateways {
                self.touch_gateway(objects, gateway);
            }
            return;
        };
        for target in object.targets() {
            let of = |kind| ObjectKey::new(kind, namespace(), Arc::clone(&target.name));
            match &*target.kind {
                "Service" => {
                    let service = of(Kind::Service);
                    self.touch_service(objects, &service);
                    self.outputs.insert(Output::Service(service));
                }
                "ServiceEntry" => {
                    let key = of(Kind::ServiceEntry);
                    if let Some(entry) = objects.service_entry(&key) {
                        self.touch_served(objects, &key, entry);
                    }
                }
                "Gateway" => self.touch_gateway(objects, &of(Kind::Gateway)),
                "GatewayClass" => self.everything |= is_root,
                _ => {}
            }
        }
        if object.targets().next().is_some() {
            return;
        }
        match object.selector() {
            Some(selector) => {
                let namespace = (!is_root).then_some(&*key.namespace);
                self.touch_pods(objects, namespace, &selector.match_labels);
            }
            None => self.touch_all(is_root, &key.namespace),
        }
    }

    fn touch_all(&mut self, is_root: bool, namespace: &Arc<str>) {
        match is_root {
            true => self.everything = true,
            false => drop(self.namespaces.insert(Arc::clone(namespace))),
        }
    }
}
