//! Clients speak in the clear, and the waypoint begins TLS with the host.

use ambit_e2e::capture::Capture;
use ambit_e2e::mesh::sum_of;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::{Scene, entry, rule};

/// Hosts, what their DestinationRules say of TLS, and what comes of a request for them.
const HOSTS: [(&str, &str, Result<&str, &str>); 12] = [
    (
        "api",
        "mode: SIMPLE, sni: api.example.test, subjectAltNames: [api.example.test]",
        Ok("api.example.test"),
    ),
    (
        "front",
        "mode: SIMPLE, sni: api.example.test",
        Ok("api.example.test"),
    ),
    (
        "strict",
        "mode: SIMPLE, subjectAltNames: [else.example.org]",
        Err("name"),
    ),
    ("wrong", "mode: SIMPLE", Err("name")),
    ("old", "mode: SIMPLE", Err("expired")),
    ("foreign", "mode: SIMPLE", Err("authority")),
    // What nobody may find out by accident.
    (
        "careless",
        "mode: SIMPLE, sni: old.example.test, insecureSkipVerify: true",
        Ok("old.example.test"),
    ),
    (
        "reckless",
        "mode: SIMPLE, sni: foreign.example.test, insecureSkipVerify: true",
        Ok("foreign.example.test"),
    ),
    (
        "rooted",
        "mode: SIMPLE, sni: api.example.test, caCertificates: system",
        Ok("api.example.test"),
    ),
    // Files of a sidecar that is not there.
    (
        "authorities",
        "mode: SIMPLE, sni: api.example.test, caCertificates: /etc/authorities.pem",
        Err("cacertificates"),
    ),
    (
        "withdrawn",
        "mode: SIMPLE, sni: api.example.test, caCrl: /etc/withdrawn.pem",
        Err("cacrl"),
    ),
    (
        "client",
        "mode: MUTUAL, sni: api.example.test, clientCertificate: /etc/client.pem, privateKey: /etc/client.key",
        Err("clientcertificate"),
    ),
];

/// Ports for requests, by HTTP/1.1 and HTTP/2, all of which lead to that of TLS.
const SPEC: &str = "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}, \
                    {number: 8080, name: http2, protocol: HTTP2, targetPort: 443}]";

fn objects() -> String {
    let each = HOSTS.iter().map(|(name, tls, _)| {
        let host = format!("{name}.example.test");
        entry(name, &host, SPEC) + &rule(name, &host, &format!("tls: {{{tls}}}"))
    });
    each.collect()
}

#[test]
fn the_waypoint_begins_tls_with_hosts_that_show_who_they_are_and_says_nothing_to_others() {
    let scene = Scene::start(|[site, _]| {
        let record =
            |(name, ..): &(&str, _, _)| format!("--host-record={name}.example.test,{site}");
        HOSTS.iter().map(record).collect()
    });
    let site = &scene.sites[0];
    let dir = scene.fronted.world.lab.dir();
    let capture = Capture::start(site.pod.namespace(), "eth0", dir, "site").unwrap();
    let names: Vec<_> = HOSTS
        .iter()
        .map(|(name, ..)| format!("{name}.example.test"))
        .collect();
    let bound: Vec<_> = names.iter().map(String::as_str).collect();
    scene.apply("hosts", &objects(), &bound);
    scene.await_status("http://api.example.test/first-of-all", 200);

    for (name, _, expected) in HOSTS {
        for (port, version) in [(80, "HTTP/1.1"), (8080, "HTTP/2.0")] {
            let path = format!("/told-{name}-{port}");
            let url = format!("http://{name}.example.test:{port}{path}");
            let (status, body) = scene.get("client", &[&url]);
            match expected {
                Ok(server_name) => {
                    assert_eq!((status, body.as_str()), (200, "site 1"), "{url}");
                    let seen = site.await_at(&path, 1);
                    let [seen] = seen.as_slice() else {
                        panic!("{url}: {seen:?}")
                    };
                    assert_eq!((seen.port, seen.version.as_str()), (443, version), "{url}");
                    assert_eq!(seen.name, server_name, "{url}");
                    assert_eq!(seen.host, format!("{name}.example.test"), "{url}");
                    assert_eq!(seen.from, scene.fronted.pod("waypoint").v4, "{url}");
                }
                Err(why) => {
                    assert_eq!(status, 503, "{url}: {body}");
                    let line = scene.assert_refused(&path, "URX,UF", "outside_tls");
                    let said = line["error"].as_str().unwrap_or_default().to_lowercase();
                    assert!(said.contains(why), "{url}: {line}");
                    scene.assert_unheard(&path);
                }
            }
        }
    }
    assert!(scene.refusals("outside_tls") >= 8.0);
    let labels = [
        "destination_service=\"api.example.test\"",
        "destination_workload=\"unknown\"",
        "response_code=\"200\"",
        "connection_security_policy=\"unknown\"",
    ];
    wait_until("the series of the host", SPREAD, || {
        let page = scene.fronted.waypoint.metrics().unwrap();
        sum_of(&page, "istio_requests_total", &labels) >= 3.0
    })
    .unwrap();

    let captured = capture.stop().unwrap();
    assert!(captured.tcp_bytes(443) > 0 && captured.tcp_bytes(80) == 0);
    for said in ["/told-", "/first-of-all", "GET /", "site 1"] {
        let count = captured.holding(said.as_bytes()).count();
        assert_eq!(count, 0, "{said} went in the clear");
    }
}
