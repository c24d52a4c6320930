//! Which virtual services are for a service, and for whose clients.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Notes, Virtual};
use crate::config::objects::ObjectKey;
use crate::config::objects::virtual_service::VirtualService;
use crate::config::objects::virtual_service::hosts::Export;
use crate::config::problem::Finding;
use crate::config::translate::{Inputs, subject};

/// Virtual services for a service, the first that decides first.
pub(in crate::config::translate::routes) fn attached<'a>(
    inputs: &Inputs<'a>,
    service: &ObjectKey,
    notes: &mut Notes,
) -> Vec<Virtual<'a>> {
    let mut attached = Vec::new();
    for (key, object) in inputs.objects.virtual_services_of(service) {
        let hosts = object.spec.hosts.iter();
        let meant =
            hosts.filter_map(|host| subject::precision(inputs, &key.namespace, host, service));
        if let Some(precision) = meant.max().filter(|_| object.is_for_mesh()) {
            attached.push(Virtual {
                key,
                object,
                precision,
                clients: clients(inputs, service, key, object, notes),
            });
        }
    }
    attached.sort_by_key(|one| {
        let is_for_all = one.clients.is_none();
        (is_for_all, one.object.metadata.age(), one.key)
    });
    attached
}

/// The namespaces of whose clients a virtual service holds.
fn clients(
    inputs: &Inputs<'_>,
    service: &ObjectKey,
    key: &ObjectKey,
    object: &VirtualService,
    notes: &mut Notes,
) -> Option<BTreeSet<Arc<str>>> {
    let own = key.namespace == service.namespace || inputs.settings.is_root(&key.namespace);
    let export = Export::of(&key.namespace, &object.spec.export_to);
    let field = "spec.exportTo";
    if let Export::To(namespaces) = &export
        && namespaces.is_empty()
    {
        let what = "exported nowhere, so that it has no effect";
        notes.warn(
            key,
            Finding::new(field, what, "write `.`, `*` or a namespace"),
        );
    }
    if own {
        return match export {
            Export::Everywhere => None,
            Export::To(namespaces) => Some(namespaces.into_iter().collect()),
        };
    }
    let is_own_only =
        matches!(&export, Export::To(all) if all.iter().all(|to| *to == key.namespace));
    if !is_own_only {
        let what = format!(
            "{service} is of another namespace: it holds for clients of namespace {} alone",
            key.namespace
        );
        let advice = "write `.`, or put it into the namespace of the service";
        notes.warn(key, Finding::new(field, what, advice));
    }
    let reached = export.reaches(&key.namespace);
    Some(
        reached
            .then(|| Arc::clone(&key.namespace))
            .into_iter()
            .collect(),
    )
}

/// Those that hold for the clients of a namespace, or for all others; of these the most precise.
pub(super) fn visible<'v, 'a>(
    attached: &'v [Virtual<'a>],
    consumer: Option<&str>,
    notes: &mut Notes,
) -> Vec<&'v Virtual<'a>> {
    let holds = |one: &&Virtual<'_>| match (&one.clients, consumer) {
        (None, _) => true,
        (Some(clients), Some(consumer)) => clients.contains(consumer),
        (Some(_), None) => false,
    };
    let visible = attached.iter().filter(holds);
    let most = visible.clone().map(|one| one.precision).max();
    let (precise, others): (Vec<_>, Vec<_>) = visible.partition(|one| Some(one.precision) == most);
    if let Some(first) = precise.first() {
        for one in others {
            let what = format!(
                "{} names the host more precisely and counts instead",
                first.key
            );
            let advice = "name the host in full here too, or leave it";
            notes.warn(one.key, Finding::new("spec.hosts", what, advice));
        }
    }
    precise
}
