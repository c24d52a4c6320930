//! Connections that are passed on as they are, and such that are refused.

use std::fs;
use std::io::Read as _;

use ambit_e2e::clients::{exchange, get};
use ambit_e2e::lab::address::Family;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::world::{TCP, identity};
use serde_json::json;

use super::{assert_has, at, await_line, await_sum, send, world};

#[test]
fn connections_have_series_and_lines_of_their_own() {
    let pods = ["client", "server", "waypoint"];
    let (world, waypoint) = world(&pods, &["--reporter", "waypoint"]);
    let _echo = Server::start(&world.pod("server").unwrap(), TCP.1, servers::echo).unwrap();
    let client = world.pod("client").unwrap();
    let to = at(&world, "server", TCP.0);
    for _ in 0..2 {
        let back = exchange(client.namespace(), to, b"hello tcp\n").unwrap();
        assert_eq!(back, b"hello tcp\n");
    }
    let tcp = "reporter=waypoint request_protocol=tcp source_workload=client \
               destination_workload=server destination_service_name=server \
               connection_security_policy=mutual_tls response_flags=-";
    for (name, expected) in [
        ("istio_tcp_connections_opened_total", 2.0),
        ("istio_tcp_connections_closed_total", 2.0),
        ("istio_tcp_received_bytes_total", 20.0),
        ("istio_tcp_sent_bytes_total", 20.0),
    ] {
        await_sum(&waypoint, name, tcp, expected);
    }
    let line = await_line(&waypoint, &json!({"message": "connection complete"}));
    let fields = json!({
        "level": "info", "direction": "waypoint", "bytes_sent": 10, "bytes_recv": 10,
        "src.workload": "client", "src.identity": identity("client"),
        "dst.workload": "server", "dst.identity": identity("server"),
        "dst.service": "server.shop.svc.cluster.local",
    });
    assert_has(&line, &fields);

    // What is bound to nobody is not reached by way of the waypoint.
    let own = world.pod("waypoint").unwrap().ip(Family::V4);
    get(client.namespace(), (own, 4444).into(), "/").unwrap_err();
    let reason = "reporter=waypoint reason=wrong_destination";
    await_sum(&waypoint, "ambit_refusals_total", reason, 1.0);
    let refused = json!({"message": "connection refused", "reason": "wrong_destination",
        "src.workload": "client", "dst.addr": format!("{own}:4444")});
    await_line(&waypoint, &refused);

    // Counted while it is open, written down when it is cut.
    let mut open = send(&client, to, b"still open\n");
    open.read_exact(&mut [0; 11]).unwrap();
    await_sum(&waypoint, "istio_tcp_sent_bytes_total", tcp, 31.0);
    await_sum(&waypoint, "istio_tcp_connections_closed_total", tcp, 2.0);
    await_sum(&waypoint, "ambit_connections_open", "", 1.0);
    let log = waypoint.access_log_file();
    waypoint.terminate().unwrap();
    let lines = fs::read_to_string(log).unwrap();
    assert!(lines.contains("\"reason\":\"draining\""), "{lines}");
}
