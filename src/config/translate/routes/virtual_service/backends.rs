//! Where a rule of a virtual service sends traffic.
//!
//! A short name is a service of the namespace of the object that says it. A service of any namespace may
//! be named, as with Istio: whoever calls it is judged there, by its own policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{Backend, BackendTarget, HttpBackend, HttpFilters};

use super::delegate::Effective;
use super::filters::changes;
use super::{Notes, Reader, Scene};
use crate::config::objects::ObjectKey;
use crate::config::objects::virtual_service::Destination;
use crate::config::problem::Finding;
use crate::config::translate::destination_rule::has_subset;
use crate::config::translate::routes::compile::Wrong;
use crate::config::translate::subject;

impl Reader<'_, '_> {
    /// The destinations of a rule, by weight.
    pub(super) fn backends(&mut self, one: &Effective<'_>) -> Result<Vec<HttpBackend>, Wrong> {
        let given = &one.rule.route;
        let only = given.len() == 1;
        if !only && !given.is_empty() && given.iter().all(|weighted| weighted.weight == 0) {
            let field = format!("{}.route", one.field);
            let what = "no destination with a weight";
            return Err(Wrong::unsupported(field, what, "give each its share"));
        }
        let mut backends = Vec::with_capacity(given.len());
        for (index, weighted) in given.iter().enumerate() {
            let field = format!("{}.route[{index}]", one.field);
            let headers = weighted.headers.as_ref();
            let request = headers.and_then(|headers| headers.request.as_ref());
            let response = headers.and_then(|headers| headers.response.as_ref());
            let own = HttpFilters {
                request_headers: changes(&format!("{field}.headers.request"), request, true)?,
                response_headers: changes(&format!("{field}.headers.response"), response, false)?,
                ..HttpFilters::default()
            };
            let place = format!("{field}.destination");
            let target = target(
                &self.scene,
                one.key,
                &place,
                &weighted.destination,
                self.notes,
            );
            backends.push(HttpBackend {
                backend: Backend {
                    weight: if only { 1 } else { weighted.weight },
                    target,
                },
                filters: self.checked(&format!("{field}.headers"), own)?,
            });
        }
        Ok(backends)
    }
}

/// Where a destination leads; what leads nowhere is said.
pub(super) fn target(
    scene: &Scene<'_>,
    key: &ObjectKey,
    field: &str,
    destination: &Destination,
    notes: &mut Notes,
) -> BackendTarget {
    match resolve(scene, key, destination) {
        Ok((service, found)) => {
            if let BackendTarget::Service {
                subset: Some(subset),
                ..
            } = &found
                && !has_subset(scene.inputs, &service, subset)
            {
                let what = format!("nothing defines the subset `{subset}` of {service}");
                let advice =
                    "define it in a DestinationRule: its share of requests is answered with 503";
                notes.warn(key, Finding::new(format!("{field}.subset"), what, advice));
            }
            found
        }
        Err((part, what, advice)) => {
            let why = Arc::from(what.as_str());
            notes.warn(key, Finding::new(format!("{field}.{part}"), what, advice));
            BackendTarget::Invalid { why }
        }
    }
}

/// Field, what is wrong, what to do.
type Dead = (&'static str, String, &'static str);

fn resolve(
    scene: &Scene<'_>,
    key: &ObjectKey,
    destination: &Destination,
) -> Result<(ObjectKey, BackendTarget), Dead> {
    let inputs = scene.inputs;
    let host = &destination.host;
    let service = subject::meant(inputs, &key.namespace, host).ok_or_else(|| {
        let what = format!("`{host}` is no service of the cluster");
        let advice = "write NAME, or NAME.NAMESPACE.svc.cluster.local";
        ("host", what, advice)
    })?;
    if !inputs.is_there(&service) {
        let what = format!("{service} is not there");
        return Err(("host", what, "correct the name or make it"));
    }
    let subject = subject::of(inputs, &service).ok_or_else(|| {
        let what = format!("{service} stands for a name outside of the cluster");
        ("host", what, "name a service that has endpoints")
    })?;
    let ports: BTreeSet<u16> = subject.ports.into_iter().map(|(port, _)| port).collect();
    let only = ports.first().copied().filter(|_| ports.len() == 1);
    let port = match destination.port {
        Some(port) => Some(port.number.number()).filter(|port| ports.contains(port)),
        // The port that was asked for stands for itself where there are several.
        None => only.or_else(|| match scene.port {
            Some(asked) => ports.contains(&asked).then_some(asked),
            None => ports.first().copied(),
        }),
    };
    let Some(port) = port else {
        let asked = destination.port.map(|port| port.number.number());
        let what = match asked.or(scene.port) {
            Some(port) => format!("{service} has no TCP port {port}"),
            None => format!("{service} has no TCP port"),
        };
        return Err(("port", what, "name a port of the service"));
    };
    let target = BackendTarget::Service {
        name: inputs.service_name(&service),
        port,
        subset: destination.subset.clone(),
    };
    Ok((service, target))
}
