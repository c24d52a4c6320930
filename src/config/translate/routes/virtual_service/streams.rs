//! Rules for connections: TLS by server name, and any by nothing but the port.
//!
//! A match by the client, or by addresses, cannot be followed: its rule is left out, and connections that
//! no other rule is for are refused.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Backend, TcpRoute, TlsRoute};

use super::backends::target;
use super::{Notes, Scene, Virtual};
use crate::config::objects::ObjectKey;
use crate::config::objects::names::Name;
use crate::config::objects::route_values::RoutePort;
use crate::config::objects::virtual_service::{StreamDestination, TcpMatch, TlsMatch, is_mesh};
use crate::config::problem::Finding;
use crate::config::translate::routes::compile::Wrong;

/// The routes for TLS connections; none if no rule is for the port.
pub(super) fn tls(
    scene: &Scene<'_>,
    visible: &[&Virtual<'_>],
    notes: &mut Notes,
) -> Option<Vec<TlsRoute>> {
    let mut routes = Vec::new();
    let mut is_for_port = false;
    for one in visible {
        for (index, rule) in one.object.spec.tls.iter().enumerate() {
            let field = format!("spec.tls[{index}]");
            let mut names = Vec::new();
            let mut is_here = false;
            for (place, given) in rule.matches.iter().enumerate() {
                if !holds(scene, given.port, &given.gateways) {
                    continue;
                }
                is_here = true;
                match server_names(&format!("{field}.match[{place}]"), given) {
                    Ok(of_match) => names.extend(of_match),
                    Err(wrong) => notes.wrong(one.key, wrong),
                }
            }
            if rule.matches.is_empty() {
                let what = "missing: a rule for TLS tells connections by their server name";
                let finding = Wrong::unsupported(format!("{field}.match"), what, "add sniHosts");
                notes.wrong(one.key, finding);
                is_here = true;
            }
            is_for_port |= is_here;
            if names.is_empty() {
                continue;
            }
            routes.push(TlsRoute {
                name: name(one.key, "tls", index),
                server_names: names,
                backends: backends(scene, one.key, &field, &rule.route, notes),
            });
            in_force(scene, one.key, notes);
        }
    }
    is_for_port.then_some(routes)
}

/// The route for connections; none if no rule is for the port.
pub(super) fn tcp(
    scene: &Scene<'_>,
    visible: &[&Virtual<'_>],
    notes: &mut Notes,
) -> Option<TcpRoute> {
    let mut first: Option<TcpRoute> = None;
    let mut is_for_port = false;
    for one in visible {
        for (index, rule) in one.object.spec.tcp.iter().enumerate() {
            let field = format!("spec.tcp[{index}]");
            let mut here = rule.matches.iter().enumerate();
            let found = here.find(|(_, given)| holds(scene, given.port, &given.gateways));
            if found.is_none() && !rule.matches.is_empty() {
                continue;
            }
            is_for_port = true;
            let checked = found.map_or(Ok(()), |(place, given)| {
                check(&format!("{field}.match[{place}]"), given)
            });
            if let Err(wrong) = checked {
                notes.wrong(one.key, wrong);
                continue;
            }
            if let Some(first) = &first {
                if scene.port.is_some() {
                    let what = format!("never reached: {} comes first and takes all", first.name);
                    notes.warn(one.key, Finding::new(field, what, "remove it"));
                }
                continue;
            }
            first = Some(TcpRoute {
                name: name(one.key, "tcp", index),
                backends: backends(scene, one.key, &field, &rule.route, notes),
            });
            in_force(scene, one.key, notes);
        }
    }
    // One that cannot be followed is refused.
    let none = || TcpRoute {
        name: "VirtualService".into(),
        backends: Vec::new(),
    };
    is_for_port.then(|| first.unwrap_or_else(none))
}

fn in_force(scene: &Scene<'_>, key: &ObjectKey, notes: &mut Notes) {
    if let Some(port) = scene.port {
        notes.of(key).in_force.insert(port);
    }
}

fn name(key: &ObjectKey, kind: &str, index: usize) -> Arc<str> {
    let ObjectKey {
        namespace, name, ..
    } = key;
    format!("VirtualService/{namespace}/{name}/{kind}/{index}").into()
}

/// Whether a match is for the port, and for the mesh.
fn holds(scene: &Scene<'_>, port: Option<RoutePort>, gateways: &[Arc<str>]) -> bool {
    let of_port = port.is_none_or(|port| scene.port.is_none_or(|asked| asked == port.number()));
    of_port && is_mesh(gateways)
}

fn backends(
    scene: &Scene<'_>,
    key: &ObjectKey,
    field: &str,
    given: &[StreamDestination],
    notes: &mut Notes,
) -> Vec<Backend> {
    let only = given.len() == 1;
    if given.is_empty() || (!only && given.iter().all(|one| one.weight == 0)) {
        let what = "no destination with a weight, so that connections are refused";
        let wrong = Wrong::unsupported(format!("{field}.route"), what, "give each its share");
        notes.wrong(key, wrong);
    }
    let backends = given.iter().enumerate().map(|(index, one)| Backend {
        weight: if only { 1 } else { one.weight },
        target: target(
            scene,
            key,
            &format!("{field}.route[{index}].destination"),
            &one.destination,
            notes,
        ),
    });
    backends.collect()
}

fn server_names(field: &str, given: &TlsMatch) -> Result<Vec<Arc<str>>, Wrong> {
    unsupported(
        field,
        "destinationSubnets",
        !given.destination_subnets.is_empty(),
    )?;
    unsupported(field, "sourceLabels", !given.source_labels.is_empty())?;
    unsupported(field, "sourceNamespace", given.source_namespace.is_some())?;
    if given.sni_hosts.is_empty() {
        let field = format!("{field}.sniHosts");
        return Err(Wrong::unsupported(
            field,
            "missing",
            "name the hosts that clients ask for",
        ));
    }
    let names = given.sni_hosts.iter().enumerate();
    let checked = names.map(|(index, name)| {
        let plain = Name::new(name.strip_prefix("*.").unwrap_or(name));
        if plain.is_err() || name.parse::<IpAddr>().is_ok() {
            let what = format!("`{name}` is not a name that a client can ask for");
            let advice = "write a host name, which may begin with `*.`";
            return Err(Wrong::unsupported(
                format!("{field}.sniHosts[{index}]"),
                what,
                advice,
            ));
        }
        Ok(Arc::clone(name))
    });
    checked.collect()
}

fn check(field: &str, given: &TcpMatch) -> Result<(), Wrong> {
    unsupported(
        field,
        "destinationSubnets",
        !given.destination_subnets.is_empty(),
    )?;
    unsupported(field, "sourceLabels", !given.source_labels.is_empty())?;
    unsupported(field, "sourceNamespace", given.source_namespace.is_some())?;
    unsupported(field, "sourceSubnet", given.source_subnet.is_some())
}

fn unsupported(field: &str, name: &str, is_given: bool) -> Result<(), Wrong> {
    if !is_given {
        return Ok(());
    }
    let what = "not supported for connections: the rule is left out";
    let advice = "match port and sniHosts, or use exportTo for clients of single namespaces";
    Err(Wrong::unsupported(format!("{field}.{name}"), what, advice))
}
