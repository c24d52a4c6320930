use ambit_model::WorkloadUid;

use super::*;
use crate::fixtures::{addr, endpoint_of, ip, mesh, service, workload};
use crate::plan::OutboundQuery;
use crate::{EgressMode, explain_outbound, outbound};

/// A host that an entry names.
fn outside(hostname: &str, addresses: &[&str]) -> Workload {
    Workload {
        uid: WorkloadUid::new("Kubernetes/networking.istio.io/ServiceEntry/shop/api/1"),
        hostname: hostname.into(),
        protocol: TunnelProtocol::None,
        ..endpoint_of("api", workload("api", addresses))
    }
}

fn decided(endpoint: Workload) -> Result<OutboundPlan, Reason> {
    let client = workload("client", &["10.0.0.9"]);
    let mesh = mesh(
        [client.clone(), endpoint],
        [service("api", &["240.240.0.1"])],
        [],
    );
    let query = OutboundQuery {
        source: &client,
        destination: addr("240.240.0.1:80"),
        egress: EgressMode::RegistryOnly,
        pick: 7,
        avoid: None,
    };
    let explained = explain_outbound(&mesh, &query);
    let decided = outbound(&mesh, &query);
    assert_eq!(explained.outcome, decided);
    if decided.is_ok() {
        let said = explained.steps.last().map(|step| step.text.clone());
        assert!(
            said.as_deref()
                .is_some_and(|text| text.contains("api.example.com")),
            "{said:?}"
        );
    }
    decided.map_err(|refusal| refusal.reason)
}

#[test]
fn an_endpoint_without_an_address_is_reached_by_its_name() {
    let endpoint = outside("api.example.com", &[]);
    let Ok(OutboundPlan::Resolve {
        hostname,
        port,
        workload,
        service,
    }) = decided(endpoint)
    else {
        panic!("another plan");
    };
    assert_eq!((&*hostname, port), ("api.example.com", 8080));
    assert_eq!((&*workload.name, &*service.short_name), ("api", "api"));
}

#[test]
fn an_endpoint_without_a_name_or_with_tunnels_is_none() {
    for endpoint in [
        outside("", &[]),
        // What takes tunnels is not looked for by name.
        Workload {
            protocol: TunnelProtocol::Hbone,
            ..outside("api.example.com", &[])
        },
    ] {
        assert_eq!(decided(endpoint).unwrap_err(), Reason::NoEndpoint);
    }
}

#[test]
fn a_name_leads_neither_into_the_mesh_nor_to_the_pod_itself() {
    let own = Workload {
        protocol: TunnelProtocol::None,
        ..workload("plain", &["10.0.0.7"])
    };
    let node = Workload {
        host_network: true,
        protocol: TunnelProtocol::None,
        ..workload("host", &["172.18.0.2"])
    };
    let mut block = service("block", &["198.51.100.0"]);
    block.vips[0].1 = 24;
    block.canonical = false;
    // One that is outside too, at the very address that its name leads to.
    let mut listed = service("listed", &["203.0.113.5"]);
    listed.canonical = false;
    let mut fronted = service("fronted", &["203.0.113.6"]);
    fronted.canonical = false;
    fronted.waypoint = crate::fixtures::waypoint();
    // Older control planes do not say which services are the cluster's.
    let mut unsaid = service("web", &["10.96.0.1"]);
    unsaid.canonical = false;
    let mesh = mesh(
        [
            endpoint_of("web", workload("web", &["10.0.0.1"])),
            own,
            node,
            outside("", &["192.0.2.1"]),
        ],
        [
            unsaid,
            service("cart", &["10.96.0.2"]),
            service("api", &["240.240.0.1"]),
            block,
            listed,
            fronted,
        ],
        [],
    );
    let may = |address: &str| resolved(&mesh, "api.example.com", (ip(address), 443).into());
    for address in [
        "192.0.2.1",
        "192.0.2.2",
        "198.51.100.7",
        "203.0.113.5",
        "172.18.0.2",
        "2001:db8::1",
    ] {
        assert_eq!(may(address), Ok(()), "{address}");
    }
    for address in [
        "10.0.0.1",
        "10.0.0.7",
        "10.96.0.1",
        "10.96.0.2",
        "203.0.113.6",
        "240.240.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
    ] {
        let refusal = may(address).expect_err(address);
        assert_eq!(refusal.reason, Reason::OutsideAddress, "{address}");
        assert!(refusal.detail.contains("api.example.com"));
    }
}

#[test]
fn an_entry_that_names_an_address_of_the_mesh_leads_nowhere() {
    let client = workload("client", &["10.0.0.9"]);
    let pod = workload("pod", &["10.0.0.5"]);
    let other = service("other", &["10.96.0.20"]);
    for (address, expected) in [
        ("192.0.2.1", None),
        ("10.0.0.5", Some(Reason::OutsideAddress)),
        ("::ffff:10.0.0.5", Some(Reason::OutsideAddress)),
        ("10.96.0.20", Some(Reason::OutsideAddress)),
    ] {
        let entry = Service {
            canonical: false,
            ..service("api", &["240.240.0.1"])
        };
        let mesh = mesh(
            [client.clone(), pod.clone(), outside("", &[address])],
            [entry, other.clone()],
            [],
        );
        let query = OutboundQuery {
            source: &client,
            destination: addr("240.240.0.1:80"),
            egress: EgressMode::AllowAny,
            pick: 7,
            avoid: None,
        };
        let refused = outbound(&mesh, &query).err().map(|refusal| refusal.reason);
        assert_eq!(refused, expected, "{address}");
    }
}
