//! Random changes, checked against a mesh without indexes that scans for every answer.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::names::NetworkAddress;
use crate::route::PortRoutes;
use crate::workload::GatewayAddress;

/// Few names and addresses, so that changes meet each other.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const NAMESPACES: [&str; 2] = ["shop", "bank"];
const ADDRESSES: [&str; 6] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "fd00::1",
    "fd00::2",
    "::ffff:10.0.0.2",
];
const PREFIXES: [(&str, u8); 7] = [
    ("10.0.0.1", 32),
    ("10.0.0.9", 32),
    ("10.0.0.0", 24),
    ("10.0.0.0", 8),
    ("10.0.0.9", 40),
    ("fd00::", 64),
    ("fd00::9", 128),
];

#[derive(Clone, Default)]
struct Naive {
    workloads: BTreeMap<WorkloadUid, Arc<Workload>>,
    services: BTreeMap<ServiceName, Arc<Service>>,
    policies: BTreeMap<PolicyName, Arc<Policy>>,
    routes: BTreeMap<ServiceName, Arc<ServiceRoutes>>,
    authentications: BTreeMap<PolicyName, Arc<RequestAuthentication>>,
}

impl Naive {
    fn apply(&mut self, change: Change) {
        match change {
            Change::PutWorkload(put) => drop(self.workloads.insert(put.uid.clone(), put)),
            Change::RemoveWorkload(uid) => drop(self.workloads.remove(&uid)),
            Change::PutService(put) => drop(self.services.insert(put.name.clone(), put)),
            Change::RemoveService(name) => drop(self.services.remove(&name)),
            Change::PutPolicy(put) => drop(self.policies.insert(put.name.clone(), put)),
            Change::RemovePolicy(name) => drop(self.policies.remove(&name)),
            Change::PutRoutes(put) => drop(self.routes.insert(put.service.clone(), put)),
            Change::RemoveRoutes(name) => drop(self.routes.remove(&name)),
            Change::PutAuthentication(put) => {
                drop(self.authentications.insert(put.name.clone(), put));
            }
            Change::RemoveAuthentication(name) => drop(self.authentications.remove(&name)),
        }
    }

    fn workloads_at(&self, address: IpAddr) -> Vec<&Arc<Workload>> {
        let owns = |workload: &Workload| {
            workload
                .addresses
                .iter()
                .any(|own| own.to_canonical() == address.to_canonical())
        };
        self.workloads
            .values()
            .filter(|workload| owns(workload))
            .collect()
    }

    fn workload_at(&self, address: IpAddr, port: u16) -> Option<&Arc<Workload>> {
        let mut claiming = self.workloads_at(address);
        if claiming.len() > 1 {
            claiming.retain(|workload| {
                workload
                    .services
                    .values()
                    .flatten()
                    .any(|mapping| mapping.target_port == port)
            });
        }
        if claiming.len() == 1 {
            Some(claiming[0])
        } else {
            None
        }
    }

    /// The services around an address with their prefix lengths, best first.
    fn services_at(&self, address: IpAddr) -> Vec<(u8, &Arc<Service>)> {
        let address = address.to_canonical();
        let mut around = Vec::new();
        for service in self.services.values() {
            for (vip, length) in &service.vips {
                let longest = if vip.address.is_ipv4() { 32 } else { 128 };
                let length = if *length > longest { longest } else { *length };
                if ipnet::IpNet::new(vip.address, length)
                    .unwrap()
                    .contains(&address)
                {
                    around.push((length, service));
                }
            }
        }
        around.sort_by_key(|(length, service)| (std::cmp::Reverse(*length), service.name.clone()));
        around
    }

    fn target(&self, destination: SocketAddr) -> Target<'_> {
        let address = destination.ip();
        let longest = if address.to_canonical().is_ipv4() {
            32
        } else {
            128
        };
        let service = self.services_at(address).first().copied();
        let is_exact = service.is_some_and(|(length, _)| length == longest);
        if !is_exact && !self.workloads_at(address).is_empty() {
            let workload = self.workload_at(address, destination.port());
            return workload.map_or(Target::Unknown, Target::Workload);
        }
        let Some((_, service)) = service else {
            return Target::Unknown;
        };
        match service
            .ports
            .iter()
            .find(|port| port.service_port == destination.port())
        {
            Some(port) => Target::Service(service, *port),
            None => Target::ServiceWithoutPort(service),
        }
    }

    fn policies_for(&self, workload: &Workload) -> Vec<&Arc<Policy>> {
        let applies = |policy: &Policy| match policy.scope {
            Scope::Global => true,
            Scope::Namespace if policy.name.namespace == workload.namespace => true,
            Scope::Namespace | Scope::Workload => workload.policies.contains(&policy.name),
        };
        self.policies
            .values()
            .filter(|policy| applies(policy))
            .collect()
    }
}

fn any_workload() -> impl Strategy<Value = Workload> {
    (
        select(&NAMESPACES),
        select(&NAMES),
        prop::collection::vec(select(&ADDRESSES), 0..3),
        prop::option::of(select(&NAMES)),
        prop::collection::btree_map(
            (select(&NAMESPACES), select(&NAMES)),
            prop::collection::vec((80..83_u16, 8080..8083_u16), 0..2),
            0..3,
        ),
        prop::sample::subsequence(NAMES.to_vec(), 0..3),
        0..3_u32,
        any_waypoint(),
    )
        .prop_map(
            |(namespace, name, addresses, pod_uid, services, policies, capacity, waypoint)| {
                let mut made = workload(namespace, name, &addresses);
                made.waypoint = waypoint;
                made.pod_uid = pod_uid.map(Into::into);
                made.capacity = capacity;
                made.policies = policies
                    .into_iter()
                    .map(|p| PolicyName::new(namespace, p))
                    .collect();
                let mapping = |(service_port, target_port)| PortMapping {
                    service_port,
                    target_port,
                };
                made.services = services
                    .into_iter()
                    .map(|((namespace, name), ports)| {
                        (
                            service(namespace, name, &[]).name,
                            ports.into_iter().map(mapping).collect(),
                        )
                    })
                    .collect();
                made
            },
        )
}

fn any_service() -> impl Strategy<Value = Service> {
    let vips = prop::collection::vec(select(&PREFIXES), 0..3);
    (select(&NAMESPACES), select(&NAMES), vips, any_waypoint()).prop_map(
        |(namespace, name, vips, waypoint)| Service {
            waypoint,
            ..service(namespace, name, &vips)
        },
    )
}

/// Mostly by service, which may be any.
fn any_waypoint() -> impl Strategy<Value = Option<GatewayAddress>> {
    let by_service = (select(&NAMESPACES), select(&NAMES)).prop_map(|(namespace, name)| {
        GatewayAddress::Service(service(namespace, name, &[]).name, 15008)
    });
    let by_address = select(&ADDRESSES).prop_map(|address| {
        let network = "".into();
        let address = ip(address);
        GatewayAddress::Address(NetworkAddress { network, address }, 15008)
    });
    prop::option::of(prop_oneof![4 => by_service, 1 => by_address])
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let scope = select(&[Scope::Global, Scope::Namespace, Scope::Workload]);
    (select(&NAMESPACES), select(&NAMES), scope)
        .prop_map(|(namespace, name, scope)| policy(namespace, name, scope))
}

fn any_routes() -> impl Strategy<Value = ServiceRoutes> {
    (any_service(), 0..3_u16).prop_map(|(service, port)| ServiceRoutes {
        service: service.name,
        ports: BTreeMap::from([(port, PortRoutes::default())]),
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => any_workload().prop_map(|made| Change::PutWorkload(Arc::new(made))),
        2 => any_workload().prop_map(|made| Change::RemoveWorkload(made.uid)),
        2 => any_service().prop_map(|made| Change::PutService(Arc::new(made))),
        1 => any_service().prop_map(|made| Change::RemoveService(made.name)),
        2 => any_policy().prop_map(|made| Change::PutPolicy(Arc::new(made))),
        1 => any_policy().prop_map(|made| Change::RemovePolicy(made.name)),
        1 => any_routes().prop_map(|made| Change::PutRoutes(Arc::new(made))),
        1 => any_routes().prop_map(|made| Change::RemoveRoutes(made.service)),
    ]
}

fn sorted<'a, T: 'a, K: Ord>(
    objects: impl Iterator<Item = &'a Arc<T>>,
    key: fn(&T) -> K,
) -> Vec<K> {
    let mut keys: Vec<K> = objects.map(|object| key(object)).collect();
    keys.sort();
    keys
}

/// Compares every answer that the two can give.
fn assert_same(mesh: &Mesh, naive: &Naive) {
    assert!(mesh.workloads().eq(naive.workloads.values()));
    assert!(mesh.all_routes().eq(naive.routes.values()));
    assert!(mesh.services().eq(naive.services.values()));
    assert!(mesh.policies().eq(naive.policies.values()));
    for address in ADDRESSES
        .into_iter()
        .chain(["10.0.0.9", "10.9.9.9", "fd00::9"])
        .map(ip)
    {
        assert!(mesh.workloads_at(address).eq(naive.workloads_at(address)));
        let best = naive
            .services_at(address)
            .first()
            .map(|(_, service)| *service);
        assert_eq!(mesh.service_at(address), best);
        for port in [80, 8080, 8081] {
            assert_eq!(
                mesh.workload_at(address, port),
                naive.workload_at(address, port)
            );
            let destination = SocketAddr::new(address, port);
            assert_eq!(mesh.target(destination), naive.target(destination));
        }
    }
    for (namespace, name) in NAMESPACES
        .iter()
        .flat_map(|ns| NAMES.map(|name| (*ns, name)))
    {
        let uid = WorkloadUid::pod("Kubernetes", namespace, name);
        assert_eq!(mesh.workload(&uid), naive.workloads.get(&uid));
        assert_eq!(
            mesh.workload_by_pod(namespace, name),
            naive.workloads.get(&uid)
        );
        let by_pod_uid = naive
            .workloads
            .values()
            .find(|workload| workload.pod_uid.as_deref() == Some(name));
        assert_eq!(mesh.workload_by_pod_uid(name), by_pod_uid);

        let service = service(namespace, name, &[]).name;
        assert_eq!(mesh.service(&service), naive.services.get(&service));
        assert_eq!(
            mesh.service_by_hostname(&service.hostname),
            naive.services.get(&service)
        );
        let is_bound = |to: &Option<GatewayAddress>| matches!(to, Some(GatewayAddress::Service(name, _)) if *name == service);
        let bound = naive.services.values().filter(|s| is_bound(&s.waypoint));
        assert!(mesh.bound_services(&service).eq(bound));
        let bound = naive.workloads.values().filter(|w| is_bound(&w.waypoint));
        assert!(mesh.bound_workloads(&service).eq(bound));
        let endpoints = || {
            naive
                .workloads
                .values()
                .filter(|w| w.services.contains_key(&service))
        };
        let key = |workload: &Workload| (workload.uid.clone(), workload.addresses.clone());
        assert_eq!(
            sorted(mesh.endpoints(&service), key),
            sorted(endpoints(), key)
        );
        let largest = endpoints().map(|workload| workload.weight()).max();
        assert_eq!(
            mesh.endpoint_set(&service).map(Endpoints::largest_weight),
            largest
        );
    }
    for workload in naive.workloads.values() {
        let name = |policy: &Policy| policy.name.clone();
        let expected = sorted(naive.policies_for(workload).into_iter(), name);
        assert_eq!(sorted(mesh.policies_for(workload), name), expected);
    }
}

proptest! {
    #[test]
    fn every_answer_equals_a_scan_and_old_snapshots_stay_as_they_were(
        changes in prop::collection::vec(any_change(), 1..40),
    ) {
        let (mut mesh, mut naive) = (Mesh::default(), Naive::default());
        let mut history = vec![(mesh.clone(), naive.clone())];
        for change in changes {
            mesh.apply(change.clone());
            naive.apply(change);
            history.push((mesh.clone(), naive.clone()));
        }
        for (mesh, naive) in &history {
            assert_same(mesh, naive);
        }
    }
}
