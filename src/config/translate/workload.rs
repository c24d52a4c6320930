//! Pods, and endpoints that are not pods, as workloads.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{
    Health, Locality, PolicyName, PortMapping, ServiceName, TunnelProtocol, Workload, WorkloadType,
    WorkloadUid,
};

use super::service::{self, port_mappings};
use super::slice::service_of;
use super::waypoint::{Bound, waypoint, waypoint_of_pod};
use super::{
    Inputs, authentication, enrolment, peer_authentication, policy, service_entry, targets,
};
use crate::config::objects::metadata::{Labels, Metadata, OwnerReference};
use crate::config::objects::pod::Pod;
use crate::config::objects::service::Endpoint;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::{Claim, Objects};

/// Characters that Kubernetes makes the hash in the name of a ReplicaSet from.
const HASH_ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Digits at the end of the name of a Job that a CronJob made: minutes since 1970.
const CRON_DIGITS: std::ops::RangeInclusive<usize> = 8..=10;

pub(super) fn of_pod(inputs: &Inputs<'_>, key: &ObjectKey) -> Option<Workload> {
    let pod = inputs.objects.pod(key)?;
    let uid = pod.uid();
    let owns = |claim: &Claim| inputs.objects.owner(claim) == Some(key);
    if pod.is_finished() || !owns(&Claim::PodUid(Arc::clone(&uid))) {
        return None;
    }
    let mut addresses = pod.addresses();
    addresses.retain(|address| pod.spec.host_network || owns(&Claim::PodAddress(*address)));
    if addresses.is_empty() {
        return None;
    }
    // A waypoint takes tunnels itself.
    let takes_tunnels = enrolment::is_captured(inputs, pod, &uid)
        || waypoint_of_pod(inputs.objects, pod, &key.namespace).is_some();
    let (workload_name, workload_type) = made_by(pod);
    let labels = &pod.metadata.labels;
    let services = services(inputs, key, pod);
    let bound = targets::of_pod(inputs, key, pod, services.keys());
    let (listed, applicable) = policies(inputs, key, labels, &bound.policies);
    let asked = authentication::of_address(inputs, key, pod, services.keys());
    let own = waypoint(inputs, Bound::Workload, &pod.metadata, &key.namespace);
    let waypoint_only = bound.waypoint.is_some();
    Some(Workload {
        uid: inputs.workload_uid(key),
        pod_uid: Some(uid),
        name: Arc::clone(&key.name),
        namespace: Arc::clone(&key.namespace),
        trust_domain: Arc::clone(&inputs.settings.trust_domain),
        service_account: pod.service_account(),
        addresses,
        hostname: "".into(),
        network: "".into(),
        node: pod
            .spec
            .node_name
            .as_ref()
            .map_or_else(|| "".into(), |node| node.shared()),
        cluster: Arc::clone(&inputs.settings.cluster),
        protocol: if takes_tunnels {
            TunnelProtocol::Hbone
        } else {
            TunnelProtocol::None
        },
        host_network: pod.spec.host_network,
        canonical_name: first_label(labels, CANONICAL_NAMES)
            .unwrap_or_else(|| workload_name.clone()),
        canonical_revision: first_label(labels, REVISIONS).unwrap_or_else(|| "latest".into()),
        workload_name,
        workload_type,
        services,
        waypoint: own.or(bound.waypoint),
        waypoint_only,
        policies: listed,
        applicable_policies: Some(applicable),
        authentications: authentication::of_pod(inputs, key, pod),
        asked_authentications: asked,
        labels: labels
            .iter()
            .filter(|(name, _)| inputs.objects.asks_for_label(name))
            .map(|(name, value)| (Arc::clone(name), Arc::clone(value)))
            .collect(),
        health: health(inputs.objects, key, pod),
        locality: locality(inputs.objects, pod.spec.node_name.as_deref()),
        capacity: 0,
    })
}

/// Labels that name an application, the first one wins.
const CANONICAL_NAMES: &[&str] = &[
    "service.istio.io/canonical-name",
    "app.kubernetes.io/name",
    "app",
];
/// Labels that name its version.
const REVISIONS: &[&str] = &[
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
];

pub(super) fn first_label(labels: &Labels, names: &[&str]) -> Option<Arc<str>> {
    names
        .iter()
        .find_map(|name| labels.get(*name))
        .filter(|value| !value.is_empty())
        .cloned()
}

/// Name and kind of what made a pod.
pub(super) fn made_by(pod: &Pod) -> (Arc<str>, WorkloadType) {
    let owners = &pod.metadata.owner_references;
    let Some(owner) = owners
        .iter()
        .find(|owner| owner.controller)
        .or_else(|| owners.first())
    else {
        return (pod.metadata.name.shared(), WorkloadType::Pod);
    };
    let name = owner.name.shared();
    match &*owner.kind {
        "ReplicaSet" => (without_hash(owner, &pod.metadata), WorkloadType::Deployment),
        "Job" => match name.rsplit_once('-') {
            Some((cron_job, digits))
                if CRON_DIGITS.contains(&digits.len())
                    && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                (cron_job.into(), WorkloadType::CronJob)
            }
            _ => (name, WorkloadType::Job),
        },
        "Pod" => (name, WorkloadType::Pod),
        _ => (name, WorkloadType::Deployment),
    }
}

/// A Deployment's ReplicaSet is called `DEPLOYMENT-HASH`.
fn without_hash(owner: &OwnerReference, pod: &Metadata) -> Arc<str> {
    let name: &str = &owner.name;
    let hash = pod.label("pod-template-hash").map(AsRef::as_ref);
    match name.rsplit_once('-') {
        Some((deployment, end)) if Some(end) == hash => deployment.into(),
        Some((deployment, end))
            if hash.is_none() && end.chars().all(|c| HASH_ALPHABET.contains(c)) =>
        {
            deployment.into()
        }
        _ => owner.name.shared(),
    }
}

pub(super) fn locality(objects: &Objects, node: Option<&str>) -> Locality {
    let labels = node.and_then(|node| objects.node_labels(node));
    let label = |name: &str| {
        labels
            .and_then(|labels| labels.get(name))
            .cloned()
            .unwrap_or_else(|| "".into())
    };
    Locality {
        region: label("topology.kubernetes.io/region"),
        zone: label("topology.kubernetes.io/zone"),
        subzone: label("topology.istio.io/subzone"),
    }
}

/// A pod that says whether it is ready is believed; for another, its slices are.
fn health(objects: &Objects, key: &ObjectKey, pod: &Pod) -> Health {
    let in_slices = || {
        let slices = objects.slices_with(key, pod);
        let mut endpoints = slices.filter_map(|slice| {
            objects
                .slice(slice)?
                .endpoints
                .iter()
                .find(|endpoint| is_of(endpoint, key, pod))
        });
        endpoints.all(Endpoint::is_ready)
    };
    let ready = pod.ready().unwrap_or_else(in_slices);
    if ready && pod.metadata.deletion_timestamp.is_none() {
        Health::Healthy
    } else {
        Health::Unhealthy
    }
}

/// True if the endpoint is this pod.
fn is_of(endpoint: &Endpoint, key: &ObjectKey, pod: &Pod) -> bool {
    match endpoint.pod() {
        Some(name) => **name == *key.name,
        None => {
            let own = pod.addresses();
            !pod.spec.host_network && endpoint.ips().any(|address| own.contains(&address))
        }
    }
}

/// Services that a pod is an endpoint of: those whose slices say so, and those that have no slices
/// and select it.
fn services(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    pod: &Pod,
) -> BTreeMap<ServiceName, Vec<PortMapping>> {
    let objects = inputs.objects;
    let mut services = BTreeMap::new();
    for (name, service) in objects.services_selecting(&key.namespace, &pod.metadata.labels) {
        if !service.is_external_name() && !objects.has_slices(name) {
            let ports = port_mappings(service, |port| service::port_on_pod(port, pod));
            services.insert(service::name_of(inputs.settings, name), ports);
        }
    }
    for slice in objects.slices_with(key, pod) {
        if let Some((name, service, slice)) = service_of(objects, slice)
            && slice
                .endpoints
                .iter()
                .any(|endpoint| is_of(endpoint, key, pod))
        {
            let ports = port_mappings(service, |port| slice.port_of(port));
            let name = service::name_of(inputs.settings, &name);
            services.entry(name).or_insert_with(Vec::new).extend(ports);
        }
    }
    service_entry::join(inputs, key, pod, &mut services);
    for ports in services.values_mut() {
        ports.sort_unstable();
        ports.dedup();
    }
    services
}

/// Policies that name a pod's labels, and all policies that apply to it.
fn policies(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    labels: &Labels,
    bound: &[PolicyName],
) -> (Vec<PolicyName>, Vec<PolicyName>) {
    let mut listed = bound.to_vec();
    let mut applicable = Vec::new();
    let roots = inputs.settings.root_namespaces.iter();
    let mut namespaces: Vec<&str> = roots.map(AsRef::as_ref).collect();
    if !namespaces.contains(&&*key.namespace) {
        namespaces.push(&key.namespace);
    }
    for namespace in namespaces {
        for kind in [Kind::AuthorizationPolicy, Kind::PeerAuthentication] {
            for (name, object) in inputs.objects.in_namespace(kind, namespace) {
                match object {
                    Object::AuthorizationPolicy(policy) if policy.applies_to_pods() => {
                        match policy.selector() {
                            None => applicable.push(policy::name_of(name)),
                            Some(selector) if selector.selects(labels) => {
                                listed.push(policy::name_of(name));
                            }
                            Some(_) => {}
                        }
                    }
                    Object::UnreadablePolicy(name) => applicable.push(policy::name_of(name)),
                    _ => {}
                }
            }
        }
    }
    listed.extend(peer_authentication::policy_for(
        inputs,
        &key.namespace,
        labels,
    ));
    listed.sort();
    applicable.extend(listed.iter().cloned());
    applicable.sort();
    (listed, applicable)
}

/// A server that is no pod, known by an object: it has no identity, and is reached in the clear.
pub(super) fn outside(inputs: &Inputs<'_>, object: &ObjectKey, uid: String) -> Workload {
    let cluster = &inputs.settings.cluster;
    let (namespace, name) = (&object.namespace, &object.name);
    let empty: Arc<str> = "".into();
    Workload {
        uid: WorkloadUid::new(uid),
        pod_uid: None,
        name: Arc::clone(name),
        namespace: Arc::clone(namespace),
        trust_domain: Arc::clone(&inputs.settings.trust_domain),
        service_account: Arc::clone(&empty),
        addresses: Vec::new(),
        hostname: Arc::clone(&empty),
        network: Arc::clone(&empty),
        node: empty,
        cluster: Arc::clone(cluster),
        protocol: TunnelProtocol::None,
        host_network: false,
        workload_name: Arc::clone(name),
        workload_type: WorkloadType::Pod,
        canonical_name: Arc::clone(name),
        canonical_revision: "latest".into(),
        services: BTreeMap::new(),
        waypoint: None,
        waypoint_only: false,
        policies: Vec::new(),
        applicable_policies: Some(Vec::new()),
        authentications: Vec::new(),
        asked_authentications: Vec::new(),
        labels: BTreeMap::new(),
        health: Health::Healthy,
        locality: Locality::default(),
        capacity: 0,
    }
}
