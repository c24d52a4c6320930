//! What is said of a virtual service by itself, whatever the service.

use std::collections::BTreeSet;

use super::{Notes, Reader, Scene, Virtual, VirtualVerdict, streams, unheld};
use crate::config::objects::ObjectKey;
use crate::config::objects::virtual_service::{VirtualService, is_mesh};
use crate::config::problem::{Finding, Severity};
use crate::config::store::services_of_hosts;
use crate::config::translate::routes::expressions::{MOST_OF_NAMESPACE, Room};
use crate::config::translate::{Inputs, subject};

/// What is wrong with a virtual service by itself, as an error, and what it misses, as a warning: what it
/// refers to may be written after it.
pub(in crate::config::translate) fn findings(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &VirtualService,
) -> Vec<(Severity, Finding)> {
    let mut notes = Notes::default();
    general(inputs, key, object, notes.of(key));
    if object.is_for_mesh() {
        let scene = Scene { inputs, port: None };
        let mut reader = Reader {
            scene,
            room: Room::new(inputs.judged, MOST_OF_NAMESPACE),
            is_for_port: false,
            notes: &mut notes,
        };
        drop(reader.rules(key, object));
        let alone = Virtual {
            key,
            object,
            precision: 0,
            clients: None,
        };
        drop(streams::tls(&scene, &[&alone], &mut notes));
        drop(streams::tcp(&scene, &[&alone], &mut notes));
    }
    notes.0.remove(key).unwrap_or_default().findings
}

/// What can be said of a virtual service whatever the service.
pub(in crate::config) fn general(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &VirtualService,
    verdict: &mut VirtualVerdict,
) {
    let others = object.spec.gateways.iter().enumerate();
    for (index, gateway) in others.filter(|(_, gateway)| &***gateway != "mesh") {
        let what = format!("gateway `{gateway}` is not served here: only `mesh` is");
        let advice = match object.is_for_mesh() {
            true => "nothing, if somebody else serves it",
            false => "add `mesh` if clients in the mesh are meant too",
        };
        let field = format!("spec.gateways[{index}]");
        verdict.note(Severity::Warning, Finding::new(field, what, advice));
    }
    if !object.is_for_mesh() {
        return;
    }
    gateways_of_matches(object, verdict);
    let mut named = services_of_hosts(key, object);
    named.extend(inputs.objects.services_named(object));
    let mut there = BTreeSet::new();
    for (index, host) in object.spec.hosts.iter().enumerate() {
        let is_meant = |service: &&ObjectKey| {
            inputs.is_there(service)
                && subject::precision(inputs, &key.namespace, host, service).is_some()
        };
        there.extend(named.iter().filter(is_meant).cloned());
        if !named.iter().any(|service| is_meant(&service)) {
            let what = match host.starts_with('*') {
                true => format!("no service of the cluster is called `{host}`"),
                false => format!("`{host}` is no service of the cluster"),
            };
            let field = format!("spec.hosts[{index}]");
            verdict.note(Severity::Warning, Finding::new(field, what, NOT_THERE));
        }
    }
    let unheld = unheld::findings(inputs, object, &there);
    let rules = object.spec.http.len() + object.spec.tls.len() + object.spec.tcp.len();
    verdict.is_for_no_port = rules > 0 && unheld.len() == rules;
    for finding in unheld {
        verdict.note(Severity::Warning, finding);
    }
}

/// Matches that are for others than the clients of the mesh.
fn gateways_of_matches(object: &VirtualService, verdict: &mut VirtualVerdict) {
    let spec = &object.spec;
    let http = spec.http.iter().enumerate().flat_map(|(index, rule)| {
        let matches = rule.matches.iter().enumerate();
        matches.map(move |(place, one)| ("http", index, place, &one.gateways))
    });
    let tls = spec.tls.iter().enumerate().flat_map(|(index, rule)| {
        let matches = rule.matches.iter().enumerate();
        matches.map(move |(place, one)| ("tls", index, place, &one.gateways))
    });
    let tcp = spec.tcp.iter().enumerate().flat_map(|(index, rule)| {
        let matches = rule.matches.iter().enumerate();
        matches.map(move |(place, one)| ("tcp", index, place, &one.gateways))
    });
    let all = http.chain(tls).chain(tcp);
    for (kind, index, place, _) in all.filter(|(.., gateways)| !is_mesh(gateways)) {
        let what = match object.is_delegate() {
            false => "without `mesh`: the match is for no client of the mesh",
            true => {
                "without `mesh`: the match is for no client of the mesh, unless the rule that delegates \
                 has matches, whose gateways count"
            }
        };
        let advice =
            "add `mesh` if clients in the mesh are meant too; nothing, if somebody else serves it";
        let field = format!("spec.{kind}[{index}].match[{place}].gateways");
        verdict.note(Severity::Warning, Finding::new(field, what, advice));
    }
}

const NOT_THERE: &str =
    "correct the name, write it as NAME.NAMESPACE.svc.cluster.local, or make the service";
