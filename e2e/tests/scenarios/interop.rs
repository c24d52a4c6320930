//! Envoy at the other end of a tunnel, in both directions: a real binary, none of our code.

use std::net::SocketAddr;

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::envoy::{TLS, envoy};
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::stream;
use ambit_e2e::world::{World, identity};

const LOCAL: u16 = 10_000;

/// Bytes there and back, and a transfer that the other side must hear the end of.
fn assert_carries(from: &Pod, echo: SocketAddr, digest: SocketAddr) {
    assert_eq!(
        exchange(from.namespace(), echo, b"over Envoy").unwrap(),
        b"over Envoy"
    );
    let mut up = connect(from.namespace(), digest).unwrap();
    let sent = stream::send(&mut up, 32 << 20).unwrap();
    up.shutdown(std::net::Shutdown::Write).unwrap();
    let mut received = String::new();
    std::io::Read::read_to_string(&mut up, &mut received).unwrap();
    assert_eq!(received, sent.to_string());
}

#[test]
fn a_captured_client_reaches_a_pod_whose_tunnels_end_in_envoy() {
    let mut world = World::start(&[("client", 1), ("server", 2)]).unwrap();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let _digest = Server::start(&server, 8080, servers::digest).unwrap();
    // The pod stays advertised, and Envoy takes its agent's place.
    drop(world.mesh.agent_mut(2).unwrap().stop().unwrap());
    let route = |port: u16| {
        format!(
            "- name: to-{port}\n                domains: [\"*:{port}\"]\n                \
             routes: [{{match: {{connect_matcher: {{}}}}, route: {{cluster: app-{port}, \
             upgrade_configs: [{{upgrade_type: CONNECT, connect_config: {{}}}}]}}}}]"
        )
    };
    let app = |port: u16| {
        format!(
            "- name: app-{port}\n    load_assignment: {{cluster_name: app-{port}, endpoints: \
             [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, \
             port_value: {port}}}}}}}}}]}}]}}"
        )
    };
    let resources = format!(
        r#"static_resources:
  listeners:
  - name: hbone
    address: {{socket_address: {{address: "::", ipv4_compat: true, port_value: 15008}}}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": {TLS}.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context: {{@TLS@, validation_context: {{trusted_ca: {{filename: @DIR@/root.pem}}}}}}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: hbone
          http2_protocol_options: {{allow_connect: true}}
          upgrade_configs: [{{upgrade_type: CONNECT}}]
          route_config:
            virtual_hosts:
              {}
              {}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  {}
  {}
"#,
        route(9000),
        route(8080),
        app(9000),
        app(8080),
    );
    let _envoy = envoy(&world, &server, "server", &resources, 15008);
    for family in Family::BOTH {
        let at = |port| world.service("server", family, port).unwrap();
        assert_carries(&client, at(9000), at(80));
    }
}

#[test]
fn envoy_reaches_a_captured_pod_through_its_agent() {
    let world = World::prepare(&[("stranger", 1), ("server", 2)], &Options::default()).unwrap();
    world.enrol("server").unwrap();
    let (stranger, server) = (world.pod("stranger").unwrap(), world.pod("server").unwrap());
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let _digest = Server::start(&server, 8080, servers::digest).unwrap();
    let to = server.ip(Family::V4);
    let listener = |local: u16, port: u16| {
        format!(
            r#"- name: to-{port}
    address: {{socket_address: {{address: 127.0.0.1, port_value: {local}}}}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: to-{port}
          cluster: hbone
          tunneling_config: {{hostname: "{to}:{port}"}}"#
        )
    };
    let resources = format!(
        r#"static_resources:
  listeners:
  {}
  {}
  clusters:
  - name: hbone
    load_assignment: {{cluster_name: hbone, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {to}, port_value: 15008}}}}}}}}]}}]}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    transport_socket:
      name: tls
      typed_config:
        "@type": {TLS}.UpstreamTlsContext
        common_tls_context: {{@TLS@, validation_context: {{trusted_ca: {{filename: @DIR@/root.pem}}, match_typed_subject_alt_names: [{{san_type: URI, matcher: {{exact: "{}"}}}}]}}}}
"#,
        listener(LOCAL, 9000),
        listener(LOCAL + 1, 8080),
        identity("server"),
    );
    let _envoy = envoy(&world, &stranger, "stranger", &resources, LOCAL);
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    assert_carries(&stranger, local(LOCAL), local(LOCAL + 1));
    let pages = world.mesh.agent(2).unwrap().pages();
    let logged = ambit_e2e::wait::wait_for("the agent's line", crate::support::SOON, || {
        pages
            .access_log()
            .into_iter()
            .find(|line| line.text("direction") == "inbound")
    });
    assert_eq!(logged.unwrap().text("src.identity"), identity("stranger"));
}
