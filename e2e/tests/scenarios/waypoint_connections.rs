//! What is no HTTP, through the same waypoint: databases, servers that speak first, and connections
//! that TLSRoutes and TCPRoutes send elsewhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ambit_e2e::clients::connect;
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::programs;
use ambit_e2e::servers::{self, Server};

use crate::fronted::{Fronted, route};

#[test]
fn redis_postgresql_and_servers_that_speak_first_are_served_as_tcp() {
    let fronted = Fronted::start(&[]);
    let pod = fronted.pod("server");
    {
        let _redis = programs::redis(&pod, 9000).unwrap();
        let report = fronted.run(
            "redis-benchmark",
            &[
                "-h", "server", "-p", "9000", "-n", "5000", "-c", "10", "-q", "-t", "set,get",
            ],
        );
        assert_eq!(report.matches("requests per second").count(), 2, "{report}");
        assert!(!report.to_lowercase().contains("error"), "{report}");
        // Words that look like HTTP at first.
        for (args, answer) in [(&["set", "GET", "/"][..], "OK"), (&["get", "GET"][..], "/")] {
            let told = fronted.run(
                "redis-cli",
                &[&["-h", "server", "-p", "9000"], args].concat(),
            );
            assert_eq!(told.trim(), answer);
        }
    }
    {
        let _postgres = programs::postgres(&pod, fronted.world.lab.dir(), 9000).unwrap();
        let at = ["-h", "server", "-p", "9000", "-U", "postgres"];
        fronted.run("pgbench", &[&at[..], &["-i", "-q", "postgres"]].concat());
        let report = fronted.run(
            "pgbench",
            &[&at[..], &["-c", "4", "-t", "50", "postgres"]].concat(),
        );
        assert!(
            report.contains("number of failed transactions: 0 "),
            "{report}"
        );
    }
    let _server = Server::start(&pod, 8080, servers::speak_first).unwrap();
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        let mut stream = connect(fronted.pod("client").namespace(), fronted.at(80)).unwrap();
        let mut banner = [0; 18];
        stream.read_exact(&mut banner).unwrap();
        quickest = quickest.min(began.elapsed());
        assert_eq!(&banner, b"220 speaks first\r\n");
        stream.write_all(b"HELO\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "250 HELO\n");
    }
    // A wait to find out what is spoken would be in all of them.
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
}

/// A server of TLS that tells its name, with a certificate of its own making.
fn tls(pod: &Pod, dir: &Path) -> Program {
    fs::create_dir_all(dir).unwrap();
    let (key, certificate) = (dir.join("key.pem"), dir.join("cert.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/CN=any", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let block = format!(
        "server {{ listen 8080 ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ return 200 \"{} $ssl_server_name\"; }} }}",
        certificate.display(),
        key.display(),
        pod.name
    );
    programs::nginx(pod, dir, &block, 8080).unwrap()
}

fn tls_route(name: &str, hostnames: &str, backend: &str) -> String {
    let spec = format!("  hostnames: [{hostnames}]\n");
    let rules = format!("    - backendRefs: [{{name: {backend}, port: 80}}]\n");
    route(
        "gateway.networking.k8s.io/v1",
        "TLSRoute",
        name,
        &spec,
        &rules,
    )
}

#[test]
fn tls_is_passed_through_by_its_server_name() {
    let fronted = Fronted::start(&["one", "two"]);
    let dir = fronted.world.dir("tls");
    let _one = tls(&fronted.pod("one"), &dir.join("one"));
    let _two = tls(&fronted.pod("two"), &dir.join("two"));
    let routes = [
        tls_route("exact", "one.example", "one"),
        tls_route("wild", "'*.example'", "two"),
    ];
    fronted.route(&routes.concat(), "TLSRoute/shop/wild/0");
    let ask = |name: &str| {
        let to = format!("{name}:80:{}", fronted.at(80).ip());
        let url = format!("https://{name}:80/");
        let args = ["-sSk", "-m", "10", "--resolve", &to, &url];
        fronted.pod("client").run("curl", &args)
    };
    assert_eq!(ask("one.example").unwrap(), "one one.example");
    assert_eq!(ask("two.example").unwrap(), "two two.example");
    assert_eq!(ask("a.b.example").unwrap(), "two a.b.example");
    let stranger = ask("stranger.test");
    assert!(stranger.is_err(), "{stranger:?}");
}

#[test]
fn connections_are_shared_as_a_tcp_route_says_whatever_they_speak() {
    let fronted = Fronted::start(&["one", "two"]);
    let tell = |name: &'static str| {
        let tell =
            move |mut connection: std::net::TcpStream, _| connection.write_all(name.as_bytes());
        Server::start(&fronted.pod(name), 9000, tell).unwrap()
    };
    let _servers = [tell("one"), tell("two")];
    let rules = "    - backendRefs:\n        - {name: one, port: 9000, weight: 3}\n        \
                 - {name: two, port: 9000, weight: 1}\n";
    let text = route(
        "gateway.networking.k8s.io/v1alpha2",
        "TCPRoute",
        "shares",
        "",
        rules,
    );
    fronted.route(&text, "TCPRoute/shop/shares/0");
    let mut shares = [0, 0];
    for number in 0..300 {
        let mut stream = connect(fronted.pod("client").namespace(), fronted.at(9000)).unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").ok();
        }
        let mut told = String::new();
        // A server that leaves without reading may reset the connection behind its answer.
        stream.read_to_string(&mut told).ok();
        shares[usize::from(told == "two")] += 1;
    }
    // Of 300 draws with 1 in 4, all but one of 10^6 lie within this.
    assert!((36..=114).contains(&shares[1]), "{shares:?}");
}
