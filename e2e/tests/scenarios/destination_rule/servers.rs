//! Servers outside of the mesh, as a ServiceEntry lists them and as WorkloadEntries say them: by their weights, at
//! ports of their own, and where they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::Pod;
use ambit_e2e::scripted::{Deed, Scripted};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::localities::zones;
use crate::fronted::Fronted;
use crate::virtual_service::assert_near;

/// The servers and their ports; the first has three times the weight.
const SERVERS: [(&str, u16, u32); 2] = [("heavy", 8081, 3), ("light", 8082, 1)];
/// Who leads there: the host's name, what stands for it, whether it is bound to the waypoint, and whether its
/// servers are WorkloadEntries.
const HOSTS: [(&str, Ipv4Addr, bool, bool); 3] = [
    ("listed", Ipv4Addr::new(198, 51, 100, 7), true, false),
    ("selected", Ipv4Addr::new(198, 51, 100, 8), true, true),
    ("direct", Ipv4Addr::new(198, 51, 100, 9), false, false),
];

/// All hosts, and the WorkloadEntries. The light one is nearer to the waypoint.
fn objects(pods: &[Arc<Pod>; 2]) -> String {
    let places = ["us/us-1", "eu/eu-2/rack-1"];
    let servers = SERVERS.iter().zip(pods).zip(places);
    let servers = servers.map(|(((_, port, weight), pod), place)| {
        format!(
            "{{address: {}, ports: {{web: {port}}}, weight: {weight}, locality: {place}, labels: {{app: outside}}}}",
            pod.v4
        )
    });
    let servers: Vec<String> = servers.collect();
    let hosts = HOSTS.map(|(name, address, is_bound, is_selected)| {
        let labels = if is_bound { "ambit.mesh/use-waypoint: waypoint" } else { "" };
        let those = match is_selected {
            true => "workloadSelector: {labels: {app: outside}}".to_owned(),
            false => format!("endpoints: [{}]", servers.join(", ")),
        };
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\n\
             spec:\n  hosts: [{name}.example.com]\n  addresses: [{address}]\n  resolution: STATIC\n  \
             ports: [{{number: 80, name: web, protocol: HTTP, targetPort: 9}}]\n  {those}\n"
        )
    });
    let entries = SERVERS.iter().zip(&servers).map(|((name, ..), server)| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: {name}, namespace: shop}}\nspec: {server}\n"
        )
    });
    hosts.into_iter().chain(entries).collect()
}

/// Rules of the hosts behind the waypoint.
fn rules(policy: &str) -> String {
    let bound = HOSTS.iter().filter(|(_, _, is_bound, _)| *is_bound);
    let rules = bound.map(|(name, ..)| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
             metadata: {{name: {name}, namespace: shop}}\n\
             spec: {{host: {name}.example.com, trafficPolicy: {{loadBalancer: {{simple: RANDOM}}, {policy}}}}}\n"
        )
    });
    rules.collect()
}

#[test]
fn servers_outside_have_weights_ports_and_places() {
    let fronted = Fronted::start(&[]);
    zones(&fronted, ["us", "eu", "asia"]);
    let pods = SERVERS.map(|(name, ..)| fronted.world.lab.pod(2, name).unwrap());
    let servers = [0, 1].map(|index| {
        let (name, port, _) = SERVERS[index];
        Scripted::start(&pods[index], port, move |_, _| Deed::answer(200, name)).unwrap()
    });
    let configuration = &fronted.world.mesh.configuration;
    configuration.apply("hosts", &objects(&pods)).unwrap();
    configuration.apply("rules", &rules("")).unwrap();
    let ask = |address: Ipv4Addr, path: &str| {
        let client = fronted.pod("client");
        let mut client = Connection::open(client.namespace(), SocketAddr::from((address, 80)))?;
        client.get(path, "")
    };
    let shares = |path: &str| servers.each_ref().map(|server| server.heard_at(path).len());
    for (name, address, is_bound, _) in HOSTS {
        if is_bound {
            fronted
                .world
                .await_bound(&format!("{name}.example.com"), true)
                .unwrap();
        }
        wait_until(&format!("{name} to be there"), SPREAD, || {
            ["heavy", "light"].iter().all(|server| {
                (0..20).any(|_| ask(address, "/ready").is_ok_and(|answer| answer.body == *server))
            })
        })
        .unwrap();
        let path = format!("/{name}");
        for _ in 0..400 {
            assert_eq!(ask(address, &path).unwrap().status, 200);
        }
        let [heavy, light] = shares(&path);
        assert_eq!(heavy + light, 400);
        assert_near(heavy, 400, 0.75);
    }

    // Where endpoints are looked after, those are gone to that are near.
    let near = "outlierDetection: {consecutive5xxErrors: 5}";
    configuration.apply("rules", &rules(near)).unwrap();
    for (name, address, ..) in HOSTS.into_iter().filter(|host| host.2) {
        wait_until(&format!("{name} to be near"), SPREAD, || {
            (0..20).all(|_| ask(address, "/near").is_ok_and(|answer| answer.body == "light"))
        })
        .unwrap();
    }
}
