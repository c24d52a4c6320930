//! Which ports of a service each of its routes is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::AppProtocol;

use super::compile::{Compiled, compile};
use super::expressions::MOST_OF_NAMESPACE;
use crate::config::objects::route_parts::{ParentReference, Route};
use crate::config::objects::service::{Service, ServicePort};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::service_meant;
use crate::config::translate::Inputs;
use crate::config::translate::service::app_protocol;

/// A route that names a service as one of its parents.
#[derive(Debug)]
pub(super) struct Attached<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) route: Route<'a>,
    /// Place among its parents.
    pub(super) index: usize,
    /// Ports of the service that it is for, or why there are none.
    pub(super) ports: Result<Vec<u16>, Finding>,
    pub(super) compiled: Arc<Compiled>,
}

impl Attached<'_> {
    /// The namespace whose clients alone it is for; none for all clients.
    pub(super) fn consumer(&self, service: &ObjectKey) -> Option<Arc<str>> {
        let own = self.key.namespace == service.namespace;
        (!own).then(|| Arc::clone(&self.key.namespace))
    }
}

/// Routes that name a service as a parent, the oldest first; twice, those that name it twice.
pub(super) fn attached<'a>(inputs: &Inputs<'a>, service: &ObjectKey) -> Vec<Attached<'a>> {
    let mut routes: Vec<_> = inputs.objects.routes_of(service).collect();
    routes.sort_by_key(|(key, route)| (route.metadata().age(), *key));
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let mut attached = Vec::new();
    for (key, route) in routes {
        let left = left.entry(&key.namespace).or_insert(MOST_OF_NAMESPACE);
        let compiled = Arc::new(compile(inputs, key, route, service, *left));
        *left = left.saturating_sub(compiled.expressions);
        for (index, parent) in parents(key, route, service) {
            attached.push(Attached {
                key,
                route,
                index,
                ports: ports(inputs, service, index, (route.kind(), parent)),
                compiled: Arc::clone(&compiled),
            });
        }
    }
    attached
}

/// A route's references to this service, with their places.
pub(super) fn parents<'a>(
    key: &'a ObjectKey,
    route: Route<'a>,
    service: &'a ObjectKey,
) -> impl Iterator<Item = (usize, &'a ParentReference)> {
    let parents = route.parents().iter().enumerate();
    parents.filter(move |(_, parent)| {
        parent.is_service()
            && service_meant(key, parent.namespace.as_ref(), &parent.name) == *service
    })
}

/// Ports of a service that a reference means.
pub(super) fn ports(
    inputs: &Inputs<'_>,
    service: &ObjectKey,
    index: usize,
    (kind, parent): (Kind, &ParentReference),
) -> Result<Vec<u16>, Finding> {
    let field = format!("spec.parentRefs[{index}]");
    let Some(object) = inputs.objects.service(service) else {
        let what = format!("{service} is not there");
        return Err(Finding::new(field, what, "correct the name or make it"));
    };
    if object.is_external_name() || is_headless(object) {
        let what = format!("{service} has no virtual address, so no request is sent to it");
        let advice = "name a service that has one";
        return Err(Finding::new(field, what, advice));
    }
    let means = |port: &&ServicePort| {
        let by_number = parent
            .port
            .is_none_or(|wanted| wanted.number() == port.port);
        let by_name = parent.section_name.is_none() || parent.section_name == port.name;
        by_number && by_name
    };
    let meant: Vec<&ServicePort> = object.tcp_ports().filter(means).collect();
    let ports = meant.iter().filter(|port| is_for(kind, app_protocol(port)));
    let ports: Vec<u16> = ports.map(|port| port.port).collect();
    if let (Some(other), true) = (meant.first(), ports.is_empty()) {
        let (name, port) = (kind.name(), other.port);
        let what =
            format!("port {port} of {service} says that it is for something else than {name}s are");
        let advice = "use a route of another kind, or correct the port's name or appProtocol";
        return Err(Finding::new(field, what, advice));
    }
    if ports.is_empty() {
        let what = format!("{service} has no such TCP port");
        let advice = "correct port and sectionName, or leave them out";
        return Err(Finding::new(field, what, advice));
    }
    Ok(ports)
}

/// Whether routes of this kind have a say on a port: not where that says that it is for something else. Waypoints
/// read a connection as its port says.
fn is_for(kind: Kind, protocol: AppProtocol) -> bool {
    let is_of_streams = matches!(kind, Kind::TlsRoute | Kind::TcpRoute);
    match protocol {
        AppProtocol::Unknown => true,
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => !is_of_streams,
        AppProtocol::Tls | AppProtocol::Tcp => is_of_streams,
    }
}

/// True if it was made without a virtual address; one that has not got its own yet is not.
pub(in crate::config::translate) fn is_headless(service: &Service) -> bool {
    service.addresses().is_empty() && service.spec.cluster_ip.is_some()
}
