//! Tables: elisions, and what cannot be understood.

use ambit_model::{
    Action, GatewayAddress, Health, PolicyName, PolicyOrigin, Rule, Scope, ServiceName,
    TunnelProtocol,
};
use bytes::Bytes;

use super::*;

fn workload() -> wire::Workload {
    wire::Workload {
        uid: "Kubernetes//Pod/shop/web-0".into(),
        namespace: "shop".into(),
        ..wire::Workload::default()
    }
}

fn policy() -> security::Authorization {
    security::Authorization {
        name: "p".into(),
        namespace: "shop".into(),
        ..security::Authorization::default()
    }
}

fn with_match(one: security::Match) -> security::Authorization {
    let clause = security::Clause { matches: vec![one] };
    security::Authorization {
        rules: vec![security::Rule {
            clauses: vec![clause],
        }],
        ..policy()
    }
}

#[test]
fn empty_trust_domain_and_service_account_stand_for_the_defaults() {
    let read = workload_from_wire(workload(), "mesh.example").unwrap();
    assert_eq!(
        read.identity().as_str(),
        "spiffe://mesh.example/ns/shop/sa/default"
    );
    assert_eq!((read.capacity, read.applicable_policies), (1, None));
}

#[test]
fn values_that_are_not_known_close_doors() {
    let message = wire::Workload {
        tunnel_protocol: 9,
        status: 9,
        waypoint: Some(wire::GatewayAddress::default()),
        authorization_policies: vec!["no-slash".into()],
        ..workload()
    };
    let read = workload_from_wire(message, "cluster.local").unwrap();
    assert_eq!(read.protocol, TunnelProtocol::Unsupported(9));
    assert_eq!(read.health, Health::Unhealthy);
    assert!(
        matches!(read.waypoint, Some(GatewayAddress::Service(name, 0)) if name.namespace.is_empty())
    );
    assert_eq!(
        read.policies,
        [PolicyName::new("unreadable name", "no-slash")]
    );
    let legacy = wire::Workload {
        tunnel_protocol: 2,
        ..workload()
    };
    let read = workload_from_wire(legacy, "cluster.local").unwrap();
    assert_eq!(read.protocol, TunnelProtocol::Unsupported(2));
}

#[test]
fn workloads_that_cannot_be_used_say_which_field_is_wrong() {
    let port = |service_port| wire::PortList {
        ports: vec![wire::Port {
            service_port,
            ..wire::Port::default()
        }],
    };
    let extension = |name: &str| wire::Extension {
        name: name.into(),
        config: None,
    };
    let cases = [
        (
            wire::Workload {
                uid: String::new(),
                ..workload()
            },
            "`uid` is empty",
        ),
        (
            wire::Workload {
                namespace: "a/b".into(),
                ..workload()
            },
            "a SPIFFE id expected",
        ),
        (
            wire::Workload {
                trust_domain: "A B".into(),
                ..workload()
            },
            "a SPIFFE id expected",
        ),
        (
            wire::Workload {
                addresses: vec![Bytes::from_static(b"abc")],
                ..workload()
            },
            "4 or 16 bytes expected",
        ),
        (
            wire::Workload {
                services: [("x".to_owned(), port(1))].into(),
                ..workload()
            },
            "`namespace/hostname` expected",
        ),
        (
            wire::Workload {
                services: [("a/b".to_owned(), port(65536))].into(),
                ..workload()
            },
            "a port expected",
        ),
        (
            wire::Workload {
                extensions: vec![extension("ambit.mesh/workload")],
                ..workload()
            },
            "`extensions.config` is empty",
        ),
    ];
    for (message, expected) in cases {
        let error = workload_from_wire(message, "cluster.local")
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let foreign = wire::Workload {
        extensions: vec![extension("other")],
        ..workload()
    };
    assert!(workload_from_wire(foreign, "cluster.local").is_ok());
}

#[test]
fn services_take_prefix_lengths_and_the_heaviest_waypoint() {
    let hostname = |name: &str| wire::GatewayAddress {
        destination: Some(wire::gateway_address::Destination::Hostname(
            wire::NamespacedHostname {
                namespace: "shop".into(),
                hostname: name.into(),
            },
        )),
        hbone_mtls_port: 0,
    };
    let message = wire::Service {
        namespace: "shop".into(),
        hostname: "web.shop.svc".into(),
        addresses: vec![wire::NetworkAddress {
            address: Bytes::from_static(&[10, 0, 0, 0]),
            length: Some(24),
            ..wire::NetworkAddress::default()
        }],
        weighted_waypoints: vec![
            wire::WeightedWaypoint {
                destination: Some(hostname("light")),
                weight: 1,
            },
            wire::WeightedWaypoint {
                destination: Some(hostname("heavy")),
                weight: 9,
            },
        ],
        ..wire::Service::default()
    };
    let read = service_from_wire(message.clone()).unwrap();
    assert_eq!(read.vips[0].1, 24);
    assert_eq!(
        read.waypoint,
        Some(GatewayAddress::Service(
            ServiceName::new("shop", "heavy"),
            15008
        ))
    );
    let mut wrong = message;
    wrong.addresses[0].length = Some(33);
    assert!(
        service_from_wire(wrong)
            .unwrap_err()
            .to_string()
            .contains("a prefix length")
    );
}

#[test]
fn parts_of_a_match_that_cannot_be_read_mark_it() {
    let cases = [
        security::Match {
            destination_ports: vec![80, 70000],
            ..security::Match::default()
        },
        security::Match {
            not_source_ips: vec![security::Address {
                address: Bytes::new(),
                length: 8,
            }],
            ..security::Match::default()
        },
        security::Match {
            source_ips: vec![security::Address {
                address: Bytes::from_static(&[1; 4]),
                length: 33,
            }],
            ..security::Match::default()
        },
        security::Match {
            principals: vec![security::StringMatch { match_type: None }],
            ..security::Match::default()
        },
        security::Match {
            extensions: vec![security::Extension::default()],
            ..security::Match::default()
        },
    ];
    for one in cases {
        let read = policy_from_wire(with_match(one)).unwrap();
        assert!(read.rules[0].clauses[0].matches[0].unsupported);
    }
    let plain = security::Match {
        destination_ports: vec![80],
        ..security::Match::default()
    };
    assert!(
        !policy_from_wire(with_match(plain)).unwrap().rules[0].clauses[0].matches[0].unsupported
    );
}

#[test]
fn an_unknown_scope_or_action_denies() {
    let everything = vec![Rule::default()];
    let cases = [
        (
            security::Authorization {
                action: 7,
                scope: 2,
                ..policy()
            },
            Scope::Workload,
        ),
        (
            security::Authorization {
                scope: 7,
                ..policy()
            },
            Scope::Namespace,
        ),
        (
            security::Authorization {
                scope: 7,
                namespace: String::new(),
                ..policy()
            },
            Scope::Global,
        ),
    ];
    for (message, scope) in cases {
        let read = policy_from_wire(message).unwrap();
        assert_eq!(
            (read.scope, read.action, &read.rules),
            (scope, Action::Deny, &everything)
        );
    }
}

#[test]
fn converted_peer_authentication_is_told_by_its_name() {
    let cases = [
        (
            "converted_peer_authentication_strict",
            PolicyOrigin::PeerAuthentication,
        ),
        (
            "istio_converted_static_strict",
            PolicyOrigin::PeerAuthentication,
        ),
        ("deny-all", PolicyOrigin::AuthorizationPolicy),
    ];
    for (name, origin) in cases {
        let message = security::Authorization {
            name: name.into(),
            ..policy()
        };
        assert_eq!(policy_from_wire(message).unwrap().origin, origin, "{name}");
    }
    let nameless = security::Authorization {
        name: String::new(),
        ..policy()
    };
    assert_eq!(policy_from_wire(nameless), Err(DecodeError::Empty("name")));
}
