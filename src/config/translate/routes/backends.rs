//! Where a backend reference leads, if it leads anywhere.

use std::sync::Arc;

use ambit_model::{Backend, BackendTarget};

use super::compile::{Compiler, Unresolved};
use crate::config::objects::route_parts::BackendReference;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::service_meant;
use crate::config::translate::Inputs;

impl Compiler<'_> {
    /// The destination of a reference and its weight.
    pub(super) fn backend(&mut self, field: &str, reference: &BackendReference) -> Backend {
        Backend {
            weight: reference.weight.unwrap_or_default().number(),
            target: self.target(field, reference),
        }
    }

    /// The destination of a reference.
    pub(super) fn target(&mut self, field: &str, reference: &BackendReference) -> BackendTarget {
        match resolve(self.inputs, self.key, self.parent, reference) {
            Ok(target) => target,
            Err((reason, what, advice)) => {
                let why = Arc::from(what.as_str());
                let finding = Finding::new(field, what, advice);
                self.unresolved.push(Unresolved { reason, finding });
                BackendTarget::Invalid { why }
            }
        }
    }
}

/// Word of the status, what is wrong, what to do.
type Dead = (&'static str, String, String);

fn resolve(
    inputs: &Inputs<'_>,
    route: &ObjectKey,
    parent: &ObjectKey,
    reference: &BackendReference,
) -> Result<BackendTarget, Dead> {
    let dead = |reason, what: String, advice: &str| Err((reason, what, advice.to_owned()));
    if !reference.is_service() {
        let group = match &*reference.group {
            "" => "core",
            group => group,
        };
        let what = format!(
            "{} of {group} is not something to send to",
            reference.kind()
        );
        return dead("InvalidKind", what, "name a Service");
    }
    let service = service_meant(route, reference.namespace.as_ref(), &reference.name);
    // Before it is looked up: whoever may not refer to it is not told whether it is there.
    if !may_refer(inputs, route, parent, &service) {
        let what = format!(
            "nothing lets {} of {} refer to {service}",
            route.kind.name(),
            route.namespace
        );
        let advice = format!("make a ReferenceGrant in namespace {}", service.namespace);
        return Err(("RefNotPermitted", what, advice));
    }
    let Some(object) = inputs.objects.service(&service) else {
        let what = format!("{service} is not there");
        return dead("BackendNotFound", what, "correct the name or make it");
    };
    if object.is_external_name() {
        let what = format!("{service} stands for a name outside of the cluster");
        return dead("InvalidKind", what, "name a service that has endpoints");
    }
    let Some(port) = reference.port else {
        let what = "no port is given".to_owned();
        return dead("BackendNotFound", what, "name a port of the service");
    };
    let port = port.number();
    if !object.tcp_ports().any(|served| served.port == port) {
        let what = format!("{service} has no TCP port {port}");
        return dead("BackendNotFound", what, "name a port of the service");
    }
    Ok(BackendTarget::Service {
        name: inputs.service_name(&service),
        port,
        subset: None,
    })
}

/// Within a namespace, to the service that the traffic was for, or by a grant.
fn may_refer(
    inputs: &Inputs<'_>,
    route: &ObjectKey,
    parent: &ObjectKey,
    service: &ObjectKey,
) -> bool {
    debug_assert_eq!(service.kind, Kind::Service);
    let mut grants = inputs.objects.grants(&service.namespace);
    service.namespace == route.namespace
        || service == parent
        || grants.any(|grant| grant.lets_route(route.kind.name(), &route.namespace, &service.name))
}
