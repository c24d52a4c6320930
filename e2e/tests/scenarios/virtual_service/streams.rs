//! Connections that are no HTTP go by port and weight, and those that begin with TLS by the name that
//! the client asks for.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use ambit_e2e::clients::exchange;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, TCP};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{assert_near, virtual_service};
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

#[test]
fn tls_goes_by_the_name_that_the_client_asks_for() {
    let fronted = Fronted::start(&["one", "two"]);
    let says = |name: &'static str| {
        let pod = fronted.pod(name);
        let serve = move |mut connection: std::net::TcpStream, _| {
            connection.read_exact(&mut [0])?;
            connection.write_all(name.as_bytes())?;
            connection.read_to_end(&mut Vec::new()).map(drop)
        };
        Server::start(&pod, TCP.1, serve).unwrap()
    };
    let _servers = ["one", "two"].map(says);
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
}
