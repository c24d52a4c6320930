//! Endpoints of services as slices list them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{Health, Workload};

use super::Inputs;
use super::service::{self, port_mappings};
use super::workload::{locality, outside};
use crate::config::objects::service::{EndpointSlice, Service};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::{Claim, Objects};

/// Endpoints of a slice that are no pods: they have no identity and are reached in the clear.
pub(super) fn of_slice(inputs: &Inputs<'_>, key: &ObjectKey) -> Vec<Workload> {
    let Some((service_key, service, slice)) = service_of(inputs.objects, key) else {
        return Vec::new();
    };
    let name = service::name_of(inputs.settings, &service_key);
    let ports = port_mappings(service, |port| slice.port_of(port));
    let mut workloads: Vec<Workload> = Vec::new();
    for endpoint in slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.pod().is_none())
    {
        for address in endpoint.ips() {
            let owned = inputs.objects.owner(&Claim::PodAddress(address)).is_some();
            if owned
                || workloads
                    .iter()
                    .any(|workload| workload.addresses.contains(&address))
            {
                continue;
            }
            let (cluster, group) = (&inputs.settings.cluster, "discovery.k8s.io/EndpointSlice");
            let uid = format!("{cluster}/{group}/{}/{}/{address}", key.namespace, key.name);
            workloads.push(Workload {
                addresses: vec![address],
                services: BTreeMap::from([(name.clone(), ports.clone())]),
                health: if endpoint.is_ready() {
                    Health::Healthy
                } else {
                    Health::Unhealthy
                },
                locality: locality(inputs.objects, endpoint.node_name.as_deref()),
                ..outside(inputs, key, uid)
            });
        }
    }
    workloads
}

/// The service that a slice is of, with its key, and the slice.
pub(super) fn service_of<'a>(
    objects: &'a Objects,
    slice: &ObjectKey,
) -> Option<(ObjectKey, &'a Service, &'a EndpointSlice)> {
    let object = objects.slice(slice)?;
    let name = Arc::clone(object.service()?);
    let key = ObjectKey::new(Kind::Service, Arc::clone(&slice.namespace), name);
    let service = objects
        .service(&key)
        .filter(|service| !service.is_external_name())?;
    Some((key, service, object))
}

/// Addresses in slices that are those of other namespaces' pods: nothing is sent there.
pub fn foreign_endpoints(objects: &Objects) -> Vec<(&ObjectKey, Finding)> {
    let mut found = Vec::new();
    for (key, object) in objects.of_kind(Kind::EndpointSlice) {
        let Object::EndpointSlice(slice) = object else {
            continue;
        };
        let endpoints = slice.endpoints.iter().enumerate();
        for (index, endpoint) in endpoints.filter(|(_, one)| one.pod().is_none()) {
            let pods = endpoint.ips().map(Claim::PodAddress);
            let mut pods = pods.filter_map(|claim| objects.owner(&claim));
            if let Some(pod) = pods.find(|pod| pod.namespace != key.namespace) {
                let field = format!("endpoints[{index}].addresses");
                let what = format!("is the address of {pod}: nothing is sent there");
                let advice = "lead clients to a Service of the pod's own namespace, such as by an ExternalName";
                found.push((key, Finding::new(field, what, advice)));
            }
        }
    }
    found
}
