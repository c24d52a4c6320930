//! Names with a `*`: clients name the host, by `Host` or by the server name of TLS.

use std::net::Ipv4Addr;
use std::thread;

use ambit_e2e::lab::address::{pod_v4, vip_v4};
use ambit_e2e::mesh::sum_of;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::{Scene, entry, policy, rule};

/// Where clients find the hosts of one entry; those of the others have an address of the mesh's choice.
const WILD: &str = "198.51.100.20";

const PORTS: &str =
    "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]";

/// Addresses of a site that nobody has asked for.
const COLD: std::ops::Range<u8> = 101..106;

fn objects() -> String {
    let wild = format!("addresses: [{WILD}], resolution: DYNAMIC_DNS, {PORTS}");
    // Hosts of `NONE` without addresses are found in the same way.
    let none = format!("resolution: NONE, {PORTS}");
    let tls = "resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]";
    // Without a port the first rule would be about TLS too, in which nobody sees a `Host`: for any name.
    let deny = "action: DENY, rules: [{to: [{operation: {hosts: [deny.wild.test], ports: ['80']}}]}, \
                {when: [{key: connection.sni, values: [deny.wild.test]}]}]";
    entry("wild", "*.wild.test", &wild)
        + &entry("none", "*.none.test", &none)
        + &entry("tls", "*.tls.test", tls)
        + &rule("tls", "*.tls.test", "tls: {mode: SIMPLE}")
        + &entry("pool", "*.pool.test", &none)
        + &rule(
            "pool",
            "*.pool.test",
            "connectionPool: {http: {http2MaxRequests: 1}}",
        )
        + &policy("deny", "wild", deny)
}

fn records(sites: [Ipv4Addr; 2]) -> Vec<String> {
    let mut records = vec![
        format!("--address=/wild.test/{}", sites[0]),
        format!("--address=/none.test/{}", sites[1]),
        format!("--address=/tls.test/{}", sites[1]),
        format!("--address=/pool.test/{}", sites[0]),
        "--address=/missing.wild.test/".to_owned(),
        // Pods and a service of the mesh, and the waypoint itself.
        format!("--address=/pod.wild.test/{}", pod_v4(1, 1)),
        format!("--address=/service.wild.test/{}", vip_v4(3)),
        format!("--address=/own.wild.test/{}", pod_v4(2, 1)),
        "--address=/loopback.wild.test/127.0.0.1".to_owned(),
    ];
    for n in COLD {
        records.push(format!("--address=/cold-{n}.wild.test/10.244.2.{n}"));
    }
    records
}

impl Scene {
    /// What the client gets where it asks for a host, but its request for another.
    fn asked(&self, url: &str, host: &str) -> u16 {
        let header = format!("Host: {host}");
        self.get("client", &["-H", &header, url]).0
    }

    /// Whether TLS to `at` with this server name ends at a site whose certificate is believed.
    fn shakes(&self, at: &str, name: &str) -> bool {
        let roots = self.certificates.roots.display();
        let command = format!(
            "openssl s_client -connect {at}:443 -servername {name} -CAfile {roots} -verify_return_error \
             </dev/null 2>&1 || true"
        );
        let printed = self
            .fronted
            .pod("client")
            .run("sh", &["-c", &command])
            .unwrap();
        // Without a certificate nothing is wrong with it.
        printed.contains("BEGIN CERTIFICATE") && printed.contains("Verify return code: 0 (ok)")
    }
}

#[test]
fn hosts_are_gone_to_by_the_name_that_clients_ask_for_and_policies_are_about_that_name() {
    let scene = Scene::start(records);
    let hosts = ["*.wild.test", "*.none.test", "*.tls.test", "*.pool.test"];
    scene.apply("hosts", &objects(), &hosts);
    scene.await_status("http://one.wild.test/ready", 200);
    scene.await_status("http://one.none.test/ready", 200);
    scene.await_status("http://one.tls.test/ready", 200);
    scene.await_status("http://one.pool.test/ready", 200);
    found_by_host_and_by_server_name(&scene);
    tls_is_begun_with_the_host_that_is_named(&scene);
    names_outside_of_the_wildcard(&scene);
    names_that_lead_where_none_may(&scene);
    one_verdict_however_a_host_is_written(&scene);
    one_pool_for_all_that_the_wildcard_stands_for(&scene);
    a_first_request_does_not_wait(&scene);
}

fn found_by_host_and_by_server_name(scene: &Scene) {
    let roots = scene.certificates.roots.display().to_string();
    let waypoint = scene.fronted.pod("waypoint").v4;
    for (zone, site) in [("wild", 0), ("none", 1)] {
        let expected = format!("site {}", site + 1);
        let host = format!("a.{zone}.test");
        let (status, body) = scene.get("client", &[&format!("http://{host}/by-host")]);
        assert_eq!((status, &body), (200, &expected));
        let url = format!("https://{host}/by-name");
        let (status, body) = scene.get("client", &["--cacert", &roots, &url]);
        assert_eq!((status, &body), (200, &expected), "{url}");
        let seen = |path| scene.sites[site].await_at(path, 1).pop().unwrap();
        let (plain, passed) = (seen("/by-host"), seen("/by-name"));
        assert_eq!((plain.port, plain.name.as_str()), (80, "-"));
        assert_eq!((passed.port, passed.name.as_str()), (443, host.as_str()));
        for seen in [plain, passed] {
            assert_eq!((&seen.host, seen.from), (&host, waypoint));
        }
    }
}

/// With the name that the client asks for, of which the server has to show a certificate.
fn tls_is_begun_with_the_host_that_is_named(scene: &Scene) {
    let site = &scene.sites[1];
    assert_eq!(scene.status("http://a.tls.test/begun"), 200);
    let seen = site.await_at("/begun", 1);
    let seen: Vec<_> = seen
        .iter()
        .map(|seen| (seen.port, seen.name.as_str()))
        .collect();
    assert_eq!(seen, [(443, "a.tls.test")]);
    assert_eq!(scene.status("http://a.b.tls.test/unproven"), 503);
    scene.assert_refused("/unproven", "URX,UF", "outside_tls");
    scene.assert_unheard("/unproven");
}

fn names_outside_of_the_wildcard(scene: &Scene) {
    let before = scene.refusals("outside_host");
    let hosts = [
        "evil.example.org",
        "wild.test",
        "one.none.test",
        "192.0.2.1",
    ];
    for (n, host) in hosts.iter().enumerate() {
        let path = format!("/outside-{n}");
        let url = format!("http://one.wild.test{path}");
        assert_eq!(scene.asked(&url, host), 404, "{host}");
        let line = scene.assert_refused(&path, "NR", "outside_host");
        assert_eq!(line["host"], *host, "{line}");
        scene.assert_unheard(&path);
        assert!(n == 3 || !scene.shakes(WILD, host), "{host}");
    }
    let no_name = scene.fronted.pod("client").run(
        "sh",
        &[
            "-c",
            &format!("openssl s_client -noservername -connect {WILD}:443 </dev/null 2>&1 || true"),
        ],
    );
    assert!(!no_name.unwrap().contains("site"), "no server name");
    // Four requests, three names in TLS, and none.
    let counted = || scene.refusals("outside_host") - before >= 8.0;
    wait_until("all of them to be counted", SPREAD, counted).unwrap();
    let lines = scene.fronted.waypoint.access_log();
    let of_connection = |line: &&serde_json::Value| {
        line["path"].is_null() && line.to_string().contains("evil.example.org")
    };
    let line = lines.iter().find(of_connection);
    assert_eq!(line.unwrap()["reason"], "outside_host");
}

fn names_that_lead_where_none_may(scene: &Scene) {
    for name in ["pod", "service", "own", "loopback"] {
        let path = format!("/inside-{name}");
        let url = format!("http://{name}.wild.test{path}");
        assert_eq!(scene.status(&url), 403, "{url}");
        scene.assert_refused(&path, "-", "outside_address");
    }
    assert_eq!(scene.status("http://missing.wild.test/missing"), 503);
    scene.assert_refused("/missing", "UH", "outside_name");
}

fn one_verdict_however_a_host_is_written(scene: &Scene) {
    let written = [
        "deny.wild.test",
        "DENY.Wild.TEST",
        "deny.wild.test:80",
        "Deny.wild.test:80",
        "deny.wild.test.",
        "DENY.wild.test.:80",
    ];
    for (n, host) in written.iter().enumerate() {
        let path = format!("/denied-{n}");
        let url = format!("http://one.wild.test{path}");
        assert_eq!(scene.asked(&url, host), 403, "{host}");
        let line = scene.line("path", &path);
        assert_eq!(line["reason"], "policy_denied", "{line}");
        assert_eq!(line["policy"], "shop/deny", "{line}");
        scene.assert_unheard(&path);
    }
    assert_eq!(
        scene.asked("http://one.wild.test/may", "MAY.wild.test:80"),
        200
    );
    for name in ["deny.wild.test", "DENY.Wild.TEST", "deny.wild.test."] {
        assert!(!scene.shakes(WILD, name), "{name}");
    }
    assert!(scene.shakes(WILD, "may.wild.test") && scene.shakes(WILD, "MAY.wild.TEST"));
    let heard = scene.sites.iter().flat_map(|site| site.seen());
    assert_eq!(
        heard
            .filter(|seen| seen.name.to_lowercase().contains("deny"))
            .count(),
        0
    );
}

/// One request may be under way, whichever host it names.
fn one_pool_for_all_that_the_wildcard_stands_for(scene: &Scene) {
    let active = || {
        let page = scene.fronted.waypoint.metrics().unwrap();
        let cluster = "cluster_name=\"outbound|80||*.pool.test\"";
        sum_of(&page, "envoy_cluster_upstream_rq_active", &[cluster])
    };
    thread::scope(|scope| {
        let slow = scope.spawn(|| scene.status("http://one.pool.test/slow"));
        wait_until("a request under way", SPREAD, || active() >= 1.0).unwrap();
        for host in ["one", "two"] {
            let path = format!("/more-for-{host}");
            let url = format!("http://{host}.pool.test{path}");
            assert_eq!(scene.status(&url), 503, "{host}");
            scene.assert_refused(&path, "UO", "request_overflow");
            scene.assert_unheard(&path);
        }
        assert_eq!(slow.join().unwrap(), 200);
    });
    assert_eq!(scene.status("http://two.pool.test/after"), 200);
}

/// The control plane says at once that nobody of the mesh is at an address.
fn a_first_request_does_not_wait(scene: &Scene) {
    let site = &scene.sites[0];
    let mut took = Vec::new();
    for n in COLD {
        let address = format!("addr add 10.244.2.{n}/24 dev eth0\n");
        site.pod.namespace().batch(&address).unwrap();
        let began = std::time::Instant::now();
        assert_eq!(
            scene.status(&format!("http://cold-{n}.wild.test/cold")),
            200
        );
        took.push(began.elapsed());
    }
    // One that nothing else of the machine has held up.
    let least = took.iter().min().unwrap();
    assert!(least.as_millis() < 400, "{took:?}");
}
