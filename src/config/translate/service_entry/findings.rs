//! What a service entry or a workload entry says that is not followed as it is written.

use std::net::IpAddr;
use std::sync::Arc;

use super::names::is_for_own_only;
use super::{Inputs, Way, is_of_others, owner_of, service_of};
use crate::config::objects::service_entry::{
    Endpoint, Location, Protocol, Resolution, ServiceEntry,
};
use crate::config::objects::virtual_service::hosts::Export;
use crate::config::objects::workload_entry::WorkloadEntry;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Severity};
use crate::config::store::Claim;
use crate::config::translate::waypoint::{Binding, Bound, binding};

type Findings = Vec<(Severity, Finding)>;

/// What is said of a service entry.
pub fn findings(inputs: &Inputs<'_>, key: &ObjectKey, entry: &ServiceEntry) -> Findings {
    let mut found = Findings::new();
    for (index, host) in entry.spec.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        found.extend(of_host(inputs, key, entry, host, &field));
    }
    for (index, block) in entry.spec.addresses.iter().enumerate() {
        let block = block.net();
        if block.prefix_len() == block.max_prefix_len()
            && let Some(pod) = owner_of(inputs, block.addr())
        {
            let what = format!("is the address of {pod}: it does not stand for the hosts");
            let field = format!("spec.addresses[{index}]");
            found.push(warning(&field, what, "name another address, or none"));
        }
    }
    for (index, port) in entry.spec.ports.iter().enumerate() {
        if port.protocol == Protocol::GrpcWeb {
            let what = "GRPC-WEB: requests are sent on by HTTP/2 as they are, and not made gRPC";
            let advice = "let the server take gRPC-Web, or clients speak gRPC";
            let field = format!("spec.ports[{index}].protocol");
            found.push(warning(&field, what, advice));
        }
    }
    for (index, endpoint) in entry.spec.endpoints.iter().enumerate() {
        let field = format!("spec.endpoints[{index}]");
        found.extend(of_endpoint(inputs, key, endpoint, &field));
    }
    if !entry.spec.subject_alt_names.is_empty() {
        let what =
            "is not looked at: whoever connects to outside hosts is told by DestinationRules";
        let advice = "name them in trafficPolicy.tls.subjectAltNames of a DestinationRule";
        found.push(warning("spec.subjectAltNames", what, advice));
    }
    if entry.spec.location == Location::MeshInternal && is_partly_no_pods(inputs, key, entry) {
        let what = "MESH_INTERNAL: servers that are no pods have no identity here and are reached in \
                    the clear";
        let advice = "select pods by workloadSelector, or write MESH_EXTERNAL";
        found.push(warning("spec.location", what, advice));
    }
    let endpoints = &entry.spec.endpoints;
    if entry.spec.resolution == Resolution::DnsRoundRobin
        && entry.spec.workload_selector.is_none()
        && endpoints.iter().all(|endpoint| address(endpoint).is_none())
    {
        let what = "DNS_ROUND_ROBIN: each address of the name is an endpoint of its own, and not the first alone";
        let advice = "write DNS, which is the same here";
        found.push(warning("spec.resolution", what, advice));
    }
    found
}

/// Whether connections to its hosts go to anything but pods of its namespace.
fn is_partly_no_pods(inputs: &Inputs<'_>, key: &ObjectKey, entry: &ServiceEntry) -> bool {
    let is_pod = |endpoint: &Endpoint| {
        let owner = address(endpoint).and_then(|address| owner_of(inputs, address));
        owner.is_some_and(|owner| owner.kind == Kind::Pod && owner.namespace == key.namespace)
    };
    let endpoints = &entry.spec.endpoints;
    if entry.spec.workload_selector.is_some() {
        let mut selected = inputs.objects.workload_entries_of(key, entry);
        return selected.any(|(_, object)| !is_pod(&object.spec));
    }
    endpoints.is_empty() || !endpoints.iter().all(is_pod)
}

/// The address of an endpoint that is not known by its name.
fn address(endpoint: &Endpoint) -> Option<IpAddr> {
    endpoint.address.parse().ok()
}

/// What is said of a workload entry.
pub fn of_workload_entry(inputs: &Inputs<'_>, key: &ObjectKey, object: &WorkloadEntry) -> Findings {
    let mut found = of_endpoint(inputs, key, &object.spec, "spec");
    let labels = object.labels();
    let mut entries = inputs.objects.entries_selecting(&key.namespace, &labels);
    if entries.next().is_none() {
        let what =
            "no ServiceEntry of this namespace selects it by workloadSelector: it serves nothing";
        let advice = "give it the labels of one (Services do not select WorkloadEntries here)";
        found.push(warning("spec.labels", what, advice));
    }
    found
}

fn of_host(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &ServiceEntry,
    host: &Arc<str>,
    field: &str,
) -> Option<(Severity, Finding)> {
    if let Some(service) = service_of(inputs, &key.namespace, host) {
        let what = format!("is the name of {service}, which it stays");
        let advice = "name another host, or give the Service the endpoints";
        return Some((Severity::Error, Finding::new(field, what, advice)));
    }
    if is_of_others(inputs.settings, &key.namespace, host) {
        let domain = &inputs.settings.cluster_domain;
        let what =
            format!("is, or stands for, a name of the cluster below {domain} of another namespace");
        let advice = "name a host outside of the cluster, or one of this namespace";
        return Some((Severity::Error, Finding::new(field, what, advice)));
    }
    let claim = Claim::Host(Arc::clone(&key.namespace), Arc::clone(host));
    if inputs
        .objects
        .owner(&claim)
        .is_some_and(|owner| owner != key)
    {
        // Said as a contradiction.
        return None;
    }
    let is_exported = match Export::of(&key.namespace, &entry.spec.export_to) {
        Export::Everywhere => true,
        Export::To(to) => to.iter().any(|namespace| *namespace != key.namespace),
    };
    if is_exported && is_for_own_only(inputs, &key.namespace, host) {
        let what = "is a name by which Services elsewhere may be called in short: it is for clients of this \
                    namespace only, whatever exportTo says";
        let advice = "write the entry in the namespace that the name ends with, name the host in full, or \
                      write exportTo: [.]";
        return Some(warning(field, what, advice));
    }
    let bound = binding(
        inputs.objects,
        Bound::Service,
        &entry.metadata,
        &key.namespace,
    );
    let is_bound = matches!(bound, Binding::To(_) | Binding::Refused(..));
    if Way::of(entry, host) == Way::Named && !is_bound {
        let what = "has a `*`, and no waypoint stands before it to see which host is asked for: \
                    it registers nothing";
        let advice = "label the ServiceEntry or its namespace with istio.io/use-waypoint";
        return Some((Severity::Warning, Finding::new(field, what, advice)));
    }
    // Where nothing is said, clients may speak either.
    let names_hosts = |protocol: Protocol| {
        let by_server_name = matches!(protocol, Protocol::Tls | Protocol::Https);
        by_server_name || protocol == Protocol::Unsaid || protocol.is_for_requests()
    };
    let mut ports = entry.spec.ports.iter();
    if Way::of(entry, host) == Way::Named && ports.any(|port| !names_hosts(port.protocol)) {
        let what = "has a `*` and a port of neither requests nor TLS, on which nobody says which host is \
                    asked for: connections there are refused";
        return Some(warning("spec.ports", what, "leave that port out"));
    }
    None
}

fn of_endpoint(inputs: &Inputs<'_>, key: &ObjectKey, endpoint: &Endpoint, field: &str) -> Findings {
    let pod = address(endpoint).and_then(|address| owner_of(inputs, address));
    let is_theirs =
        |owner: &&ObjectKey| owner.kind == Kind::Service || owner.namespace != key.namespace;
    let foreign = pod.filter(is_theirs).map(|pod| {
        let what = format!("is the address of {pod}: nothing is sent there");
        let advice = "let clients ask for the Service by its own name";
        warning(&format!("{field}.address"), what, advice)
    });
    let network = (!endpoint.network.is_empty()).then(|| {
        let what = "is not followed: all addresses are of one network";
        warning(&format!("{field}.network"), what, "leave it out")
    });
    let account = (pod.is_none() && !endpoint.service_account.is_empty()).then(|| {
        let what = "is not followed: what is no pod has no identity here";
        warning(&format!("{field}.serviceAccount"), what, "leave it out")
    });
    [foreign, network, account].into_iter().flatten().collect()
}

fn warning(field: &str, what: impl Into<String>, advice: &str) -> (Severity, Finding) {
    (
        Severity::Warning,
        Finding::new(field, what.into(), advice.to_owned()),
    )
}
