//! Requests that end in every way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambit_e2e::clients::{connect, get};
use ambit_e2e::mesh::series_of;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, NAMESPACE, TCP, World, identity};
use ambit_e2e::yaml;
use serde_json::{Value, json};
use socket2::SockRef;

use super::{
    EMPTY, REQUESTS, assert_has, at, await_line, await_sum, change, nginx, send, sum, world,
};
use crate::support::SOON;

#[test]
fn requests_are_counted_and_written_down_as_they_ended() {
    let (world, waypoint) = world(&["client", "server", "other", "waypoint"], &[]);
    let _nginx = nginx(&world, "server", "");
    let client = world.pod("client").unwrap();
    let server = at(&world, "server", HTTP.0);
    let kinds = [
        ("/hello?key=secret", 200, 5),
        ("/missing", 404, 3),
        ("/broken", 502, 2),
    ];
    for (path, status, times) in kinds {
        for _ in 0..times {
            let answer = get(client.namespace(), server, path).unwrap();
            assert_eq!(answer.status, status, "{path}");
        }
    }
    let answer = get(client.namespace(), EMPTY.into(), "/").unwrap();
    assert_eq!(answer.status, 503, "nobody serves");
    get(world.pod("other").unwrap().namespace(), server, "/hello").unwrap();

    await_sum(&waypoint, REQUESTS, "", 12.0);
    let page = waypoint.metrics().unwrap();
    let told = series_of(&page, REQUESTS);
    for (_, status, times) in kinds {
        let expected = (labels(status), f64::from(times));
        assert!(told.contains(&expected), "{expected:?} not in {told:#?}");
    }
    let of_empty = "destination_service_name=empty response_code=503 response_flags=UH \
                    source_workload=client destination_workload=unknown \
                    connection_security_policy=mutual_tls";
    let hello = "response_code=200 source_workload=client";
    for (name, labels, expected) in [
        (REQUESTS, of_empty, 1.0),
        ("istio_request_duration_milliseconds_count", hello, 5.0),
        ("istio_request_bytes_sum", hello, 0.0),
        ("istio_response_bytes_sum", hello, 25.0),
        ("ambit_refusals_total", "reason=no_endpoint", 1.0),
        ("ambit_refusals_total", "", 1.0),
    ] {
        let seen = sum(&page, name, labels);
        assert!((seen - expected).abs() < 1e-9, "{name} {labels}: {page}");
    }
    let fields = json!({"status": 200, "src.workload": "client"});
    assert_has(&await_line(&waypoint, &fields), &line_of_hello());
    let refused = json!({"status": 503, "reason": "no_endpoint", "level": "error"});
    await_line(&waypoint, &refused);
    assert_eq!(waypoint.access_log().len(), 12, "a line for each request");
    assert!(!waypoint.log().contains("access"), "{}", waypoint.log());
    agents_count_connections_only(&world);

    // The client of some series goes, then the server of the others.
    forget_pod(&world, "other");
    await_sum(&waypoint, REQUESTS, "source_workload=other", 0.0);
    await_sum(&waypoint, REQUESTS, "destination_workload=server", 10.0);
    forget_pod(&world, "server");
    await_sum(&waypoint, REQUESTS, "destination_workload=server", 0.0);
    await_sum(&waypoint, REQUESTS, "", 1.0);
}

fn line_of_hello() -> Value {
    json!({
        "level": "info", "method": "GET", "path": "/hello", "protocol": "HTTP/1.1",
        "response_flags": "-", "bytes_sent": 0, "bytes_recv": 5, "tries": 1,
        "src.namespace": "shop", "src.identity": identity("client"),
        "dst.service": "server.shop.svc.cluster.local", "dst.workload": "server",
        "dst.identity": identity("server"), "reason": null, "error": null,
    })
}

/// Istio's labels of a request of `client` to `server` with this status, all of them.
fn labels(status: u16) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut add = |name: &str, value: &str| drop(labels.insert(name.to_owned(), value.to_owned()));
    for (side, workload) in [("source", "client"), ("destination", "server")] {
        for (name, value) in [
            ("workload", workload),
            ("workload_namespace", "shop"),
            ("principal", &identity(workload)),
            ("app", workload),
            ("version", "latest"),
            ("cluster", "Kubernetes"),
            ("canonical_service", workload),
            ("canonical_revision", "latest"),
        ] {
            add(&format!("{side}_{name}"), value);
        }
    }
    for (name, value) in [
        ("reporter", "destination"),
        ("destination_service", "server.shop.svc.cluster.local"),
        ("destination_service_name", "server"),
        ("destination_service_namespace", "shop"),
        ("request_protocol", "http"),
        ("response_code", &status.to_string()),
        ("response_flags", "-"),
        ("connection_security_policy", "mutual_tls"),
    ] {
        add(name, value);
    }
    labels
}

/// The agents at both ends carried the same requests, and say so of connections only.
fn agents_count_connections_only(world: &World) {
    let mut carried = 0.0;
    for agent in &world.mesh.agents {
        let page = agent.pages().metrics().unwrap();
        assert!(series_of(&page, REQUESTS).is_empty(), "{page}");
        let from_waypoint = "reporter=destination source_workload=waypoint \
                             destination_workload=server destination_service_name=server \
                             connection_security_policy=mutual_tls";
        carried += sum(&page, "istio_tcp_connections_opened_total", from_waypoint);
    }
    assert!(carried >= 1.0, "{carried}");
}

/// Takes a pod out of the objects.
fn forget_pod(world: &World, name: &str) {
    let named = format!("\n  name: {name}\n");
    let is_pod = |text: &&str| text.contains("kind: Pod\n") && text.contains(&named);
    change(world, |text| {
        let documents = text.split("---\n").filter(|text| !text.is_empty());
        yaml::documents(&documents.filter(|text| !is_pod(text)).collect::<Vec<_>>())
    });
}

#[test]
fn plaintext_is_not_hidden() {
    let (world, waypoint) = world(&["client", "outsider", "waypoint"], &[]);
    let outsider = world.pod("outsider").unwrap();
    let _server = Server::start(&outsider, HTTP.1, servers::http).unwrap();
    let client = world.pod("client").unwrap();
    let answer = get(client.namespace(), at(&world, "outsider", HTTP.0), "/").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let clear = "connection_security_policy=unknown destination_workload=outsider \
                 source_principal=spiffe://cluster.local/ns/shop/sa/client \
                 destination_principal=unknown response_code=200";
    await_sum(&waypoint, REQUESTS, clear, 1.0);
    await_sum(
        &waypoint,
        REQUESTS,
        "connection_security_policy=mutual_tls",
        0.0,
    );
}

#[test]
fn a_refusal_by_policy_names_it() {
    let (world, waypoint) = world(&["client", "server", "waypoint"], &[]);
    let _nginx = nginx(&world, "server", "");
    let client = world.pod("client").unwrap();
    let to = at(&world, "server", HTTP.0);
    let rules = yaml::from_principal(NAMESPACE, "client");
    let deny = yaml::authorization_policy(NAMESPACE, "not-you", "server", "DENY", &rules);
    world.mesh.configuration.apply("policy", &deny).unwrap();
    let refused = wait_until("the policy to hold", SOON, || {
        get(client.namespace(), to, "/hello").is_ok_and(|answer| answer.status == 403)
    });
    refused.unwrap();
    let line = json!({"status": 403, "reason": "policy_denied", "policy": "shop/not-you"});
    await_line(&waypoint, &line);
    await_sum(
        &waypoint,
        "ambit_refusals_total",
        "reason=policy_denied",
        1.0,
    );
    let refused = "response_code=403 source_workload=client destination_service_name=server";
    await_sum(&waypoint, REQUESTS, refused, 1.0);
}

#[test]
fn what_breaks_off_says_why() {
    let (world, waypoint) = world(&["client", "server", "waypoint"], &[]);
    let nginx = nginx(&world, "server", "");
    let server = world.pod("server").unwrap();
    let silent = Scripted::start(&server, TCP.1, |_, _| Deed::new("", Then::Hang)).unwrap();
    let client = world.pod("client").unwrap();
    let to = at(&world, "server", HTTP.0);

    // The client leaves in the middle of the answer, and before it.
    let mut stream = send(&client, to, b"GET /slow HTTP/1.1\r\nHost: s\r\n\r\n");
    stream.read_exact(&mut [0; 200]).unwrap();
    drop(stream);
    await_sum(
        &waypoint,
        REQUESTS,
        "response_code=200 response_flags=DC",
        1.0,
    );
    let to_silent = at(&world, "server", TCP.0);
    for (path, resets, left) in [("/reset", true, 1), ("/close", false, 2)] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: s\r\n\r\n");
        let stream = send(&client, to_silent, get.as_bytes());
        let is_there = || silent.count() == left;
        wait_until("the request to be with its server", SOON, is_there).unwrap();
        if resets {
            let reset = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            reset.unwrap();
        }
        drop(stream);
        await_sum(
            &waypoint,
            REQUESTS,
            "response_code=0 response_flags=DC",
            f64::from(u32::try_from(left).unwrap()),
        );
        await_line(
            &waypoint,
            &json!({"response_flags": "DC", "path": path, "status": null}),
        );
    }

    // What the client sends is no HTTP.
    let lengths = "Content-Length: 3\r\nTransfer-Encoding: chunked";
    let both = format!("POST / HTTP/1.1\r\nHost: s\r\n{lengths}\r\n\r\n");
    let mut answer = String::new();
    let mut stream = send(&client, to, both.as_bytes());
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    await_sum(
        &waypoint,
        REQUESTS,
        "response_code=400 response_flags=DPE",
        1.0,
    );
    await_line(
        &waypoint,
        &json!({"reason": "malformed_request", "status": 400}),
    );
    await_sum(&waypoint, "ambit_refusals_total", "", 1.0);

    // Nothing listens at the endpoint any more.
    drop(nginx);
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP.1));
    let server = world.pod("server").unwrap();
    let is_closed = || connect(server.namespace(), own).is_err();
    wait_until("the server's port to be closed", SOON, is_closed).unwrap();
    let gone = get(client.namespace(), to, "/hello").unwrap();
    assert_eq!(gone.status, 503, "{gone:?}");
    await_sum(
        &waypoint,
        "ambit_refusals_total",
        "reason=peer_refused",
        1.0,
    );
    let unreached =
        "response_flags=URX,UF destination_workload=server destination_principal=unknown";
    await_sum(&waypoint, REQUESTS, unreached, 1.0);
    let tries = "ambit_request_retries_total";
    assert!(sum(&waypoint.metrics().unwrap(), tries, unreached) >= 1.0);
}

#[test]
fn grpc_calls_have_their_status_and_their_messages() {
    let (world, waypoint) = world(&["client", "greeter", "waypoint"], &[]);
    let _nginx = nginx(&world, "greeter", "http2");
    let client = world.pod("client").unwrap();
    let call = world.dir("call");
    fs::write(&call, b"\0\0\0\0\x02hi".repeat(3)).unwrap();
    let (url, data) = (
        format!("http://{}/Greet", at(&world, "greeter", HTTP.0)),
        call.display().to_string(),
    );
    let kind = "content-type: application/grpc";
    let call = ["-v", "-d", &data, &url, "-H", kind, "-H", "te: trailers"];
    let shown = client.run("nghttp", &call).unwrap();
    assert!(shown.contains("grpc-status: 0"), "{shown}");
    let grpc = "request_protocol=grpc destination_workload=greeter \
                connection_security_policy=mutual_tls";
    let ended = format!("{grpc} grpc_response_status=0 response_code=200 response_flags=-");
    for (name, labels, expected) in [
        (REQUESTS, ended.as_str(), 1.0),
        ("istio_request_messages_total", grpc, 3.0),
        ("istio_response_messages_total", grpc, 2.0),
        ("istio_request_bytes_sum", grpc, 21.0),
        ("istio_response_bytes_sum", grpc, 16.0),
    ] {
        await_sum(&waypoint, name, labels, expected);
    }
    await_line(&waypoint, &json!({"protocol": "HTTP/2", "grpc_status": 0}));
}

#[test]
fn a_request_can_be_followed_by_its_headers() {
    let (world, waypoint) = world(&["client", "server", "waypoint"], &[]);
    let _nginx = nginx(&world, "server", "");
    let client = world.pod("client").unwrap();
    let to = at(&world, "server", HTTP.0);
    let made = get(client.namespace(), to, "/headers").unwrap().body;
    let id = made.trim();
    assert_eq!(id.len(), 36, "an id is made: {made}");
    await_line(&waypoint, &json!({"request_id": id}));
    let url = format!("http://{to}/headers");
    let (trace, b3) = (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "80f198ee56343ba8-e457b5a2e4d86bd1-1",
    );
    let headers = [
        "x-request-id: mine".to_owned(),
        format!("traceparent: {trace}"),
        format!("b3: {b3}"),
    ];
    let mut curl = vec!["-sS", "-m", "10", &url];
    for header in &headers {
        curl.extend(["-H", header]);
    }
    let passed = client.run("curl", &curl).unwrap();
    assert_eq!(passed, format!("mine {trace} {b3}"));
    await_line(&waypoint, &json!({"request_id": "mine"}));
}
