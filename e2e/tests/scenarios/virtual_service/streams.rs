//! Connections that are no HTTP go by port and weight, and those that begin with TLS by the name that
//! the client asks for.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use ambit_e2e::clients::exchange;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD, TCP};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{assert_near, virtual_service};
use crate::destination_rule::rule;
use crate::fronted::Fronted;

#[test]
fn connections_go_where_rules_for_tcp_say() {
    let fronted = Fronted::start(&["other"]);
    let _own = Server::start(&fronted.pod("server"), TCP.1, servers::echo).unwrap();
    let _other = Server::start(&fronted.pod("other"), TCP.1, servers::digest).unwrap();
    let client = fronted.pod("client");
    let at = fronted.at(TCP.0);
    let said = || exchange(client.namespace(), at, b"hello").unwrap_or_default();
    wait_until("the echo", SPREAD, || said() == b"hello").unwrap();
    let tcp = "  hosts: [server]\n  tcp:\n    - match: [{port: 9000}]\n      \
               route: [{destination: {host: other, port: {number: 9000}}}]\n";
    let text = virtual_service("lines", tcp);
    fronted.route(&text, "VirtualService/shop/lines/tcp/0");
    wait_until("the other server", Duration::from_secs(10), || {
        let said = said();
        !said.is_empty() && said != b"hello"
    })
    .unwrap();

    // Three in four stay.
    let split = "  hosts: [server]\n  tcp:\n    - match: [{port: 9000}]\n      route:\n      \
                 - {destination: {host: server}, weight: 75}\n      \
                 - {destination: {host: other, port: {number: 9000}}, weight: 25}\n";
    fronted.route(
        &virtual_service("split", split),
        "VirtualService/shop/split/tcp/0",
    );
    let echoed = (0..400).filter(|_| said() == b"hello").count();
    assert_near(echoed, 400, 0.75);

    // What is for other gateways, and what cannot be followed, takes nothing.
    let others = [
        "gateways: [edge]",
        "destinationSubnets: [0.0.0.0/0]",
        "sourceSubnet: 0.0.0.0/0",
        "sourceLabels: {app: client}",
        "sourceNamespace: shop",
    ];
    let others = others.map(|other| {
        format!(
            "    - match: [{{port: 9000, {other}}}]\n      \
             route: [{{destination: {{host: other, port: {{number: 9000}}}}}}]\n"
        )
    });
    let others = format!("  hosts: [server]\n  tcp:\n{}", others.concat());
    let last = "    - match: [{port: 9000, gateways: [mesh]}]\n      \
                route: [{destination: {host: server}}]\n";
    let all = virtual_service("others", &format!("{others}{last}"));
    fronted.route(&all, "VirtualService/shop/others/tcp/5");
    for _ in 0..5 {
        assert_eq!(said(), b"hello");
    }
    let configuration = &fronted.world.mesh.configuration;
    let alone = virtual_service("others", &others);
    configuration.apply("routes", &alone).unwrap();
    wait_until("nobody to be served", SPREAD, || said().is_empty()).unwrap();

    // A part of the service, and one that there is not.
    let part = |subset: &str| {
        let rules = format!(
            "  hosts: [server]\n  tcp:\n    - match: [{{port: 9000}}]\n      \
             route: [{{destination: {{host: server, subset: {subset}}}}}]\n"
        );
        virtual_service(subset, &rules)
            + &rule("  host: server\n  subsets: [{name: v1, labels: {app: server}}]\n")
    };
    fronted.route(&part("v1"), "VirtualService/shop/v1/tcp/0");
    wait_until("the subset", SPREAD, || said() == b"hello").unwrap();
    fronted.route(&part("v9"), "VirtualService/shop/v9/tcp/0");
    assert_eq!(said(), b"");
}

/// The first bytes of a client that asks for a name.
fn hello(name: &'static str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(RootCertStore::empty());
    let config = Arc::new(config.with_no_client_auth());
    let mut client = ClientConnection::new(config, name.try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Rules of TLS, by a name each.
const PARTS: &str = "
  hosts: [server]
  tls:
    - match: [{port: 9000, sniHosts: [port.example]}]
      route: [{destination: {host: one, port: {number: 9000}}}]
    - match: [{port: 80, sniHosts: [port.example]}]
      route: [{destination: {host: two, port: {number: 80}}}]
    - match: [{port: 9000, sniHosts: [shared.example]}]
      route:
        - {destination: {host: one, port: {number: 9000}}, weight: 70}
        - {destination: {host: two, port: {number: 9000}}, weight: 30}
    - match: [{port: 9000, sniHosts: [gateway.example], gateways: [edge]}]
      route: [{destination: {host: one, port: {number: 9000}}}]
    - match: [{port: 9000, sniHosts: [gateway.example], gateways: [edge, mesh]}]
      route: [{destination: {host: two, port: {number: 9000}}}]
    - match: [{port: 9000, sniHosts: [other.example], destinationSubnets: [0.0.0.0/0]}]
      route: [{destination: {host: one, port: {number: 9000}}}]
    - match: [{port: 9000, sniHosts: [other.example], sourceLabels: {app: client}}]
      route: [{destination: {host: one, port: {number: 9000}}}]
    - match: [{port: 9000, sniHosts: [other.example], sourceNamespace: shop}]
      route: [{destination: {host: one, port: {number: 9000}}}]
    - match: [{port: 9000, sniHosts: [subset.example]}]
      route: [{destination: {host: one, port: {number: 9000}, subset: v9}}]
";

#[test]
fn tls_goes_by_the_name_that_the_client_asks_for() {
    let fronted = Fronted::start(&["one", "two"]);
    let says = |(name, port): (&'static str, u16)| {
        let pod = fronted.pod(name);
        let serve = move |mut connection: std::net::TcpStream, _| {
            connection.read_exact(&mut [0])?;
            connection.write_all(name.as_bytes())?;
            connection.read_to_end(&mut Vec::new()).map(drop)
        };
        Server::start(&pod, port, serve).unwrap()
    };
    let _servers = [("one", TCP.1), ("two", TCP.1), ("two", HTTP.1)].map(says);
    let tls = "  hosts: [server]\n  tls:\n    \
               - match: [{port: 9000, sniHosts: [one.example]}]\n      \
               route: [{destination: {host: one, port: {number: 9000}}}]\n    \
               - match: [{port: 9000, sniHosts: ['*.two.example']}]\n      \
               route: [{destination: {host: two, port: {number: 9000}}}]\n";
    fronted.route(
        &virtual_service("names", tls),
        "VirtualService/shop/names/tls/0",
    );
    let client = fronted.pod("client");
    for (name, server) in [
        ("one.example", "one"),
        ("a.two.example", "two"),
        ("two.example", ""),
        ("other.example", ""),
    ] {
        let said = exchange(client.namespace(), fronted.at(TCP.0), &hello(name));
        assert_eq!(said.unwrap_or_default(), server.as_bytes(), "{name}");
    }
    parts_of_rules_for_tls(&fronted);
}

/// Ports, gateways, weights and subsets, and what cannot be followed.
fn parts_of_rules_for_tls(fronted: &Fronted) {
    fronted.route(
        &virtual_service("parts", PARTS),
        "VirtualService/shop/parts/tls/8",
    );
    let client = fronted.pod("client");
    let said = |port: u16, name: &'static str| {
        let said = exchange(client.namespace(), fronted.at(port), &hello(name));
        String::from_utf8(said.unwrap_or_default()).unwrap()
    };
    for (port, name, server) in [
        (TCP.0, "port.example", "one"),
        (HTTP.0, "port.example", "two"),
        (TCP.0, "gateway.example", "two"),
        (TCP.0, "subset.example", ""),
        (TCP.0, "other.example", ""),
    ] {
        assert_eq!(said(port, name), server, "{port} {name}");
    }
    let shared: Vec<String> = (0..100).map(|_| said(TCP.0, "shared.example")).collect();
    let ones = shared.iter().filter(|said| *said == "one").count();
    assert_eq!(
        ones + shared.iter().filter(|said| *said == "two").count(),
        100
    );
    assert_near(ones, 100, 0.7);
}
