//! Which pods' workloads a change touches: by their labels, and by the services that lead to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Dirty, Output};
use crate::config::objects::metadata::{Labels, selects};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::{Objects, labels_asked};

impl Dirty {
    /// Pods that have a label of which it has changed whether anybody asks for it.
    pub(super) fn touch_labelled(
        &mut self,
        objects: &Objects,
        before: Option<&Object>,
        after: Option<&Object>,
    ) {
        let asked = |object: Option<&Object>| match object {
            Some(Object::VirtualService(object)) => {
                labels_asked(object).into_iter().cloned().collect()
            }
            Some(Object::DestinationRule(object)) => object.labels(),
            _ => BTreeSet::new(),
        };
        let (before, after): (BTreeSet<Arc<str>>, BTreeSet<Arc<str>>) =
            (asked(before), asked(after));
        let changed: Vec<&Arc<str>> = before.symmetric_difference(&after).collect();
        if changed.is_empty() {
            return;
        }
        self.touch_labelled_endpoints(objects);
        for (key, object) in objects.of_kind(Kind::Pod) {
            let Object::Pod(pod) = object else { continue };
            let labels = &pod.metadata.labels;
            if changed.iter().any(|label| labels.contains_key(*label)) {
                self.outputs.insert(Output::Workload(key.clone()));
            }
        }
    }

    /// Pods that a service selects.
    pub(super) fn touch_selected(&mut self, objects: &Objects, service: &ObjectKey) {
        let Some(selector) = objects
            .service(service)
            .map(|service| &service.spec.selector)
        else {
            return;
        };
        if !selector.is_empty() {
            self.touch_pods(objects, Some(&service.namespace), selector);
        }
    }

    /// What stands in the slices of a service.
    pub(super) fn touch_endpoints(&mut self, objects: &Objects, service: &ObjectKey) {
        for slice in objects.slices_of(service) {
            let key = ObjectKey::new(
                Kind::EndpointSlice,
                Arc::clone(&service.namespace),
                slice.metadata.name.shared(),
            );
            self.touch(
                objects,
                &key,
                &Object::EndpointSlice(Box::new(slice.clone())),
            );
        }
    }

    /// Pods with the given labels, of one namespace or of all.
    pub(super) fn touch_pods(
        &mut self,
        objects: &Objects,
        namespace: Option<&str>,
        wanted: &Labels,
    ) {
        let mut mark = |(key, object): (&ObjectKey, &Object)| {
            if matches!(object, Object::Pod(pod) if selects(wanted, &pod.metadata.labels)) {
                self.outputs.insert(Output::Workload(key.clone()));
            }
        };
        match namespace {
            Some(namespace) => objects
                .in_namespace(Kind::Pod, namespace)
                .for_each(&mut mark),
            None => objects.of_kind(Kind::Pod).for_each(&mut mark),
        }
    }
}
