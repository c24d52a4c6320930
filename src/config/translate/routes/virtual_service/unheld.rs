//! Rules that are for no port of what the hosts of a virtual service stand for: they would do nothing, in silence.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::speaks::{Speaks, is_here, may_be};
use crate::config::objects::ObjectKey;
use crate::config::objects::route_values::RoutePort;
use crate::config::objects::virtual_service::{VirtualService, is_mesh};
use crate::config::problem::Finding;
use crate::config::translate::{Inputs, subject};

/// Ports that are written out.
const SHOWN: usize = 8;

/// What is said of rules of a virtual service for which none of these services has a port; of each rule once. Nothing
/// while there is none of the services.
pub(super) fn findings(
    inputs: &Inputs<'_>,
    object: &VirtualService,
    services: &BTreeSet<ObjectKey>,
) -> Vec<Finding> {
    let subjects = services.iter().filter_map(|key| subject::of(inputs, key));
    let ports: Vec<_> = subjects.flat_map(|subject| subject.ports).collect();
    let spec = &object.spec;
    let http = spec.http.iter().enumerate().map(|(index, rule)| {
        let matches = rule.matches.iter().map(|one| (one.port, &*one.gateways));
        (Speaks::Http, index, matches.collect::<Vec<_>>())
    });
    let tls = spec.tls.iter().enumerate().map(|(index, rule)| {
        let matches = rule.matches.iter().map(|one| (one.port, &*one.gateways));
        (Speaks::Tls, index, matches.collect())
    });
    let tcp = spec.tcp.iter().enumerate().map(|(index, rule)| {
        let matches = rule.matches.iter().map(|one| (one.port, &*one.gateways));
        (Speaks::Tcp, index, matches.collect())
    });
    let mut found = Vec::new();
    for (speaks, index, matches) in http.chain(tls).chain(tcp) {
        let of_kind = ports
            .iter()
            .filter(|(_, protocol)| may_be(speaks, *protocol));
        let of_kind: BTreeSet<u16> = of_kind.map(|(number, _)| *number).collect();
        // Of other gateways something else is said.
        let is_ours = matches.is_empty() || matches.iter().any(|(_, gateways)| is_mesh(gateways));
        let held = |port: &u16| {
            let mut matches = matches.iter();
            matches.len() == 0 || matches.any(|(of, gateways)| is_here(*of, gateways, *port))
        };
        if is_ours && !ports.is_empty() && !of_kind.iter().any(held) {
            found.push(finding(speaks, index, &matches, &of_kind));
        }
    }
    found
}

fn finding(
    speaks: Speaks,
    index: usize,
    matches: &[(Option<RoutePort>, &[Arc<str>])],
    of_kind: &BTreeSet<u16>,
) -> Finding {
    let (list, what, kind) = match speaks {
        Speaks::Http => ("http", "requests", "http"),
        Speaks::Tls => ("tls", "TLS", "tls"),
        Speaks::Tcp => ("tcp", "connections", "tcp"),
    };
    let field = format!("spec.{list}[{index}]");
    if of_kind.is_empty() {
        let what = format!("has no effect: no port of its hosts is for {what}");
        let advice = format!(
            "name the port `{kind}` or `{kind}-…` or say so by its appProtocol (of a ServiceEntry: protocol), or write \
             a rule of another kind"
        );
        return Finding::new(field, what, advice);
    }
    let field = match matches {
        [_] => format!("{field}.match[0].port"),
        _ => format!("{field}.match"),
    };
    let shown: Vec<String> = of_kind
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    let shown = shown.join(", ");
    let what = format!("has no effect: the ports of its hosts for {what} are {shown}");
    Finding::new(
        field,
        what,
        "write one of them: a port of the Service, not of its pods",
    )
}
