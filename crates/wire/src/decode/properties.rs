//! What is encoded is decoded to the same; any bytes at all are decoded to something or refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::*;
use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::encode::{policy_to_wire, service_to_wire, workload_to_wire};

fn word() -> impl Strategy<Value = Arc<str>> {
    "[a-z][a-z0-9-]{0,8}".prop_map(Arc::from)
}

fn anything() -> impl Strategy<Value = Arc<str>> {
    ".{0,6}".prop_map(Arc::from)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ]
}

fn network_address() -> impl Strategy<Value = NetworkAddress> {
    (anything(), address()).prop_map(|(network, address)| NetworkAddress { network, address })
}

fn service_name() -> impl Strategy<Value = ServiceName> {
    (word(), word()).prop_map(|(namespace, hostname)| ServiceName {
        namespace,
        hostname,
    })
}

fn policy_name() -> impl Strategy<Value = PolicyName> {
    (prop_oneof![Just(Arc::from("")), word()], word())
        .prop_map(|(namespace, name)| PolicyName { namespace, name })
}

fn gateway() -> impl Strategy<Value = GatewayAddress> {
    prop_oneof![
        (service_name(), 1..u16::MAX).prop_map(|(name, port)| GatewayAddress::Service(name, port)),
        (network_address(), 1..u16::MAX).prop_map(|(a, port)| GatewayAddress::Address(a, port)),
    ]
}

fn mapping() -> impl Strategy<Value = PortMapping> {
    any::<(u16, u16)>().prop_map(|(service_port, target_port)| PortMapping {
        service_port,
        target_port,
    })
}

prop_compose! {
    fn telemetry()(
        workload_name in anything(), canonical_name in anything(), canonical_revision in anything(),
        region in anything(), zone in anything(), subzone in anything(),
        workload_type in prop_oneof![Just(WorkloadType::Deployment), Just(WorkloadType::CronJob), Just(WorkloadType::Pod), Just(WorkloadType::Job)],
    ) -> (Arc<str>, Arc<str>, Arc<str>, Locality, WorkloadType) {
        (workload_name, canonical_name, canonical_revision, Locality { region, zone, subzone }, workload_type)
    }
}

prop_compose! {
    fn workload()(
        names in (word(), word(), word(), word(), word()),
        places in (anything(), anything(), anything(), anything()),
        addresses in vec(address(), 0..3),
        pod_uid in option::of(word()),
        protocol in prop_oneof![Just(TunnelProtocol::None), Just(TunnelProtocol::Hbone), (2..9i32).prop_map(TunnelProtocol::Unsupported)],
        services in btree_map(service_name(), vec(mapping(), 0..3), 0..3),
        waypoint in option::of(gateway()),
        policies in vec(policy_name(), 0..3),
        applicable_policies in option::of(vec(policy_name(), 0..3)),
        telemetry in telemetry(),
        numbers in any::<(bool, bool, u32)>(),
        more in (any::<bool>(), btree_map(word(), anything(), 0..3)),
        authentications in (vec(policy_name(), 0..3), vec(policy_name(), 0..3)),
    ) -> Workload {
        let (uid, name, namespace, trust_domain, service_account) = names;
        let (hostname, network, node, cluster) = places;
        let (workload_name, canonical_name, canonical_revision, locality, workload_type) = telemetry;
        Workload {
            uid: WorkloadUid::new(uid), pod_uid, name, namespace, trust_domain, service_account,
            addresses, hostname, network, node, cluster, protocol, host_network: numbers.0,
            workload_name, workload_type, canonical_name, canonical_revision, services, waypoint,
            waypoint_only: more.0, policies, applicable_policies, labels: more.1,
            authentications: authentications.0, asked_authentications: authentications.1,
            health: if numbers.1 { Health::Healthy } else { Health::Unhealthy },
            locality, capacity: numbers.2,
        }
    }
}

fn vip() -> impl Strategy<Value = (NetworkAddress, u8)> {
    network_address().prop_flat_map(|address| {
        let full: u8 = if address.address.is_ipv4() { 32 } else { 128 };
        (Just(address), 0..=full)
    })
}

fn service_port() -> impl Strategy<Value = ServicePort> {
    let protocol = prop_oneof![
        Just(AppProtocol::Unknown),
        Just(AppProtocol::Http11),
        Just(AppProtocol::Http2),
        Just(AppProtocol::Grpc),
        Just(AppProtocol::Tcp),
        Just(AppProtocol::Tls)
    ];
    (any::<(u16, u16)>(), protocol).prop_map(|((service_port, target_port), app_protocol)| {
        ServicePort {
            service_port,
            target_port,
            app_protocol,
        }
    })
}

fn balancing() -> impl Strategy<Value = Balancing> {
    let by = prop_oneof![
        anything().prop_map(HashKey::Header),
        (anything(), option::of(any::<Duration>())).prop_map(|(name, ttl)| HashKey::Cookie {
            name,
            path: "/".into(),
            ttl,
            attributes: vec![("a".into(), "b".into())],
        }),
        Just(HashKey::SourceIp),
        anything().prop_map(HashKey::Query),
    ];
    let table = prop_oneof![
        any::<u32>().prop_map(HashTable::Ring),
        any::<u32>().prop_map(HashTable::Maglev)
    ];
    prop_oneof![
        Just(Balancing::LeastRequest),
        Just(Balancing::RoundRobin),
        Just(Balancing::Random),
        (by, table).prop_map(|(by, table)| Balancing::Hash(HashPolicy { by, table })),
    ]
}

prop_compose! {
    fn traffic_policy()(
        balancing in option::of(balancing()), warm_up in option::of(any::<Duration>()),
        parts in btree_map(anything(), 0..100_u32, 0..3), regions in vec((word(), word()), 0..2),
        has_locality in any::<bool>(), bounds in any::<(Option<u32>, Option<u32>, Option<Duration>)>(),
        outliers in option::of(any::<(u32, u32, bool, Duration)>()),
    ) -> TrafficPolicy {
        let locality = LocalityPolicy {
            disabled: false, distribute: vec![("a/*".into(), parts)], failover: regions, priority: vec!["k=v".into()],
        };
        TrafficPolicy {
            balancing, warm_up, locality: has_locality.then_some(locality),
            connections: ConnectionPolicy {
                connections: bounds.0, pending: bounds.1, connect_timeout: bounds.2, http: HttpVersion::Http2,
                silence: bounds.2, lifetime: bounds.2,
                keepalive: bounds.2.map(|time| Keepalive { probes: bounds.0, time: Some(time), interval: None }),
                ..ConnectionPolicy::default()
            },
            outliers: outliers.map(|(errors, percent, split, time)| OutlierPolicy {
                consecutive_5xx: errors, consecutive_gateway: errors, split_local_origin: split,
                consecutive_local_origin: errors, interval: time, base_ejection_time: time,
                max_ejection_percent: percent, min_health_percent: percent,
            }),
            tls: bounds.0.map(|number| Arc::new(OutsideTls {
                sni: (number % 2 == 0).then(|| "sni.example.com".into()),
                names: vec!["a.example.com".into(); (number % 3) as usize], unverified: number % 5 == 0,
                unusable: (number % 7 == 0).then(|| "why".into()),
                credential: (number % 4 == 0).then(|| CredentialUse { name: "shop/c".into(), certificate: number % 8 == 0 }),
            })),
        }
    }
}

prop_compose! {
    fn policies()(any in traffic_policy(), ports in btree_map(any::<u16>(), traffic_policy(), 0..2)) -> PortPolicies {
        PortPolicies { any, ports }
    }
}

prop_compose! {
    fn traffic()(
        whole in policies(),
        subsets in btree_map(word(), (btree_map(word(), anything(), 0..3), policies()), 0..2),
    ) -> ServiceTraffic {
        let subset = |(labels, policies)| Subset { labels, policies };
        let subsets = subsets.into_iter().map(|(name, one)| (name, subset(one))).collect();
        ServiceTraffic { whole, subsets }
    }
}

prop_compose! {
    fn service()(
        name in service_name(), short_name in anything(), vips in vec(vip(), 0..3),
        ports in vec(service_port(), 0..3), sans in vec((word(), word(), word()), 0..3),
        waypoint in option::of(gateway()), routing_preference in vec(0..9i32, 0..3), mode in prop_oneof![Just(LoadBalancingMode::Unspecified), Just(LoadBalancingMode::Strict), Just(LoadBalancingMode::Failover), Just(LoadBalancingMode::Passthrough)],
        allow_unhealthy in any::<bool>(), session_affinity in any::<bool>(),
        ip_families in prop_oneof![Just(IpFamilies::Automatic), Just(IpFamilies::Ipv4Only), Just(IpFamilies::Ipv6Only), Just(IpFamilies::Dual)],
        traffic in option::of(traffic()),
        authentications in vec(policy_name(), 0..3),
        visibility in option::of(vec(word(), 0..3)), canonical in any::<bool>(), dynamic in any::<bool>(),
    ) -> Service {
        let subject_alt_names = sans.iter().map(|(t, n, s)| SpiffeId::from_parts(t, n, s)).collect();
        let visibility = visibility.map_or(Visibility::Everyone, Visibility::Namespaces);
        let load_balancing = LoadBalancing { routing_preference, mode, allow_unhealthy, session_affinity };
        Service { name, short_name, vips, ports, subject_alt_names, waypoint, load_balancing, ip_families, traffic: traffic.map(Arc::new), authentications, visibility, canonical, dynamic }
    }
}

fn strings() -> impl Strategy<Value = Vec<StringMatch>> {
    let one = prop_oneof![
        anything().prop_map(StringMatch::Exact),
        anything().prop_map(StringMatch::Prefix),
        anything().prop_map(StringMatch::Suffix),
        Just(StringMatch::Presence)
    ];
    vec(one, 0..3)
}

fn blocks() -> impl Strategy<Value = Vec<IpNet>> {
    let one = (address(), any::<u8>()).prop_map(|(ip, length)| {
        IpNet::new(ip, length % if ip.is_ipv4() { 33 } else { 129 }).unwrap()
    });
    vec(one, 0..3)
}

fn accounts() -> impl Strategy<Value = Vec<ServiceAccountMatch>> {
    let one =
        (anything(), anything()).prop_map(|(namespace, service_account)| ServiceAccountMatch {
            namespace,
            service_account,
        });
    vec(one, 0..3)
}

prop_compose! {
    fn one_match()(
        names in (strings(), strings(), strings(), strings()),
        ips in (blocks(), blocks(), blocks(), blocks()),
        ports in any::<(Vec<u16>, Vec<u16>)>(), sa in (accounts(), accounts()), unsupported in any::<bool>(),
    ) -> Match {
        Match {
            namespaces: names.0, not_namespaces: names.1, principals: names.2, not_principals: names.3,
            source_ips: ips.0, not_source_ips: ips.1, destination_ips: ips.2, not_destination_ips: ips.3,
            destination_ports: ports.0, not_destination_ports: ports.1,
            service_accounts: sa.0, not_service_accounts: sa.1, unsupported,
        }
    }
}

prop_compose! {
    fn policy()(
        name in policy_name(), dry_run in any::<bool>(),
        scope in prop_oneof![Just(Scope::Global), Just(Scope::Namespace), Just(Scope::Workload)],
        action in prop_oneof![Just(Action::Allow), Just(Action::Deny)],
        rules in vec(vec(vec(one_match(), 0..2), 0..3), 0..3),
    ) -> Policy {
        let clause = |matches| Clause { matches };
        let rule = |clauses: Vec<Vec<Match>>| Rule { clauses: clauses.into_iter().map(clause).collect() };
        Policy {
            name, scope, action, rules: rules.into_iter().map(rule).collect(), dry_run,
            origin: PolicyOrigin::AuthorizationPolicy,
            behind: None,
            requests: None,
        }
    }
}

proptest! {
    #[test]
    fn a_workload_comes_back_as_it_was(workload in workload()) {
        let bytes = workload_to_wire(&workload).encode_to_vec();
        prop_assert_eq!(address_from_bytes(&bytes, "unused"), Ok(Decoded::Workload(workload)));
    }

    #[test]
    fn a_service_comes_back_as_it_was(service in service()) {
        let bytes = service_to_wire(&service).encode_to_vec();
        prop_assert_eq!(address_from_bytes(&bytes, "unused"), Ok(Decoded::Service(service)));
    }

    #[test]
    fn a_policy_comes_back_as_it_was(policy in policy()) {
        let bytes = policy_to_wire(&policy).encode_to_vec();
        prop_assert_eq!(policy_from_bytes(&bytes), Ok(policy));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        drop((address_from_bytes(&bytes, "t"), policy_from_bytes(&bytes)));
    }

    #[test]
    fn damaged_resources_are_read_or_refused(workload in workload(), policy in policy(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = workload_to_wire(&workload).encode_to_vec();
        let position = at.index(bytes.len());
        bytes[position] = byte;
        drop(address_from_bytes(&bytes, "t"));
        let mut bytes = policy_to_wire(&policy).encode_to_vec();
        let position = at.index(bytes.len());
        bytes[position] = byte;
        drop(policy_from_bytes(&bytes));
    }
}
