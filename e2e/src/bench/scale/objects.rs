//! A generated cluster: pods on a hundred nodes, ten to a service, policies that name them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::lab::address::{node_v4, node_v6};
use crate::yaml;

/// Kubernetes namespaces that everything is spread over; each is a file.
const NAMESPACES: u32 = 20;
/// Nodes that the pods are on, the lab's own one among them.
const NODES: u32 = 100;
/// The first pod's address; one of them each.
const PODS: u32 = 0x0a80_0000;
/// The first service's address.
const SERVICES: u32 = 0x0a61_0000;
/// The address of the pod that changes, which is none of the others'.
const CHANGED: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 1);

/// How many of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Pods.
    pub(super) workloads: u32,
    /// Services.
    pub(super) services: u32,
    /// AuthorizationPolicies.
    pub(super) policies: u32,
}

impl Size {
    /// What the metrics of one that knows all of it say, at least.
    pub(super) fn known(self) -> [(&'static str, f64); 3] {
        [
            ("ambit_workloads", f64::from(self.workloads)),
            ("ambit_services", f64::from(self.services)),
            ("ambit_policies", f64::from(self.policies)),
        ]
    }

    /// The objects, a file for each namespace.
    pub(super) fn files(self) -> Vec<(String, String)> {
        let file = |space| (namespace(space), self.file(space));
        (0..NAMESPACES).map(file).collect()
    }

    fn file(self, space: u32) -> String {
        let here = |count: u32| (space..count).step_by(NAMESPACES as usize);
        let name = namespace(space);
        let mut parts = vec![yaml::namespace(&name, true)];
        for service in here(self.services) {
            let address = IpAddr::from(Ipv4Addr::from(SERVICES + service));
            parts.push(yaml::service(
                &name,
                &app(service),
                "",
                &[address],
                &[(80, 8080)],
            ));
            parts.push(yaml::service_account(&name, &app(service)));
        }
        // A pod's number and its service's leave the same rest, so both are in one namespace.
        for pod in here(self.workloads) {
            parts.push(self.pod(&name, pod));
        }
        for policy in here(self.policies) {
            let rule = yaml::from_principal(&name, &app(policy));
            let selected = app(policy % self.services);
            let named = format!("policy-{policy}");
            parts.push(yaml::authorization_policy(
                &name, &named, &selected, "ALLOW", &rule,
            ));
        }
        yaml::documents(&parts)
    }

    fn pod(self, namespace: &str, number: u32) -> String {
        let service = app(number % self.services);
        pod(&Generated {
            namespace,
            name: &format!("{service}-{number}"),
            app: &service,
            node: number % NODES + 1,
            address: Ipv4Addr::from(PODS + number),
            ready: true,
        })
    }
}

/// The lab's node.
pub(super) fn cluster() -> String {
    yaml::node("node-1", &[IpAddr::V4(node_v4(1)), IpAddr::V6(node_v6(1))])
}

/// The pod that changes, of the first service.
pub(super) fn changed(ready: bool) -> String {
    pod(&Generated {
        namespace: &namespace(0),
        name: "changed",
        app: &app(0),
        node: 1,
        address: CHANGED,
        ready,
    })
}

struct Generated<'a> {
    namespace: &'a str,
    name: &'a str,
    app: &'a str,
    node: u32,
    address: Ipv4Addr,
    ready: bool,
}

fn pod(pod: &Generated<'_>) -> String {
    let Generated {
        namespace,
        name,
        app,
        node,
        address,
        ready,
    } = pod;
    let ready = if *ready { "True" } else { "False" };
    let mut text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
         uid: {namespace}-{name}\n  labels:\n    app: {app}\n"
    );
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "spec:\n  nodeName: node-{node}\n  serviceAccountName: {app}\n  containers:\n    \
         - name: main\nstatus:\n  phase: Running\n  podIP: {address}\n  podIPs:\n    \
         - ip: {address}\n  conditions:\n    - type: Ready\n      status: \"{ready}\"\n"
    );
    text
}

fn namespace(number: u32) -> String {
    format!("scale-{number}")
}

fn app(service: u32) -> String {
    format!("app-{service}")
}
