//! Real programs over the mesh, unchanged: they connect to a service's name and notice nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::world::World;
use ambit_e2e::{programs, stream, websocket};

const MINUTE: Duration = Duration::from_secs(60);
const BIG: u64 = 1 << 30;

fn world() -> World {
    World::start(&[("client", 1), ("server", 2)]).unwrap()
}

/// Fails unless the client's agent saw connections to the server, all of them over mutual TLS:
/// a program that works because nothing captured it proves nothing.
fn assert_carried(world: &World, at_least: u32) {
    let agent = world.mesh.agent(1).unwrap();
    let labels = [
        "reporter=\"source\"",
        "connection_security_policy=\"mutual_tls\"",
    ];
    let opened = agent
        .pages()
        .metric("istio_tcp_connections_opened_total", &labels)
        .unwrap();
    assert!(
        opened >= f64::from(at_least),
        "the mesh carried {opened} connections"
    );
}

#[test]
fn nginx_serves_curl_wrk_and_h2load_over_http_1_and_2() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let dir = world.dir("nginx");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("page"), "a page of nginx\n".repeat(64)).unwrap();
    let block = |listen: &str| {
        format!(
            "server {{ listen {listen}; listen [::]:{listen}; root {}; }}",
            dir.display()
        )
    };
    let servers = format!("{}\n{}", block("8080"), block("9000 http2"));
    let _nginx = programs::nginx(&server, &dir, &servers, 8080).unwrap();

    for family in ["-4", "-6"] {
        let page = client
            .run("curl", &["-sS", "-m", "10", family, "http://server/page"])
            .unwrap();
        assert_eq!(page.lines().count(), 64);
    }
    let load = client
        .run("wrk", &["-t1", "-c32", "-d3s", "http://server/page"])
        .unwrap();
    assert!(load.contains("Requests/sec"), "{load}");
    assert!(
        !load.contains("Socket errors") && !load.contains("Non-2xx"),
        "{load}"
    );
    for (protocol, url) in [
        ("--h1", "http://server/page"),
        ("-m10", "http://server:9000/page"),
    ] {
        let load = client
            .run("h2load", &["-n2000", "-c8", protocol, url])
            .unwrap();
        assert!(load.contains("2000 succeeded, 0 failed"), "{load}");
    }
    assert_carried(&world, 50);
}

#[test]
fn redis_benchmark_runs_against_redis() {
    let world = world();
    let server = world.pod("server").unwrap();
    let _redis = programs::redis(&server, 9000).unwrap();
    let args = [
        "-h",
        "server",
        "-p",
        "9000",
        "-n",
        "20000",
        "-c",
        "30",
        "-q",
        "-t",
        "set,get,lpush",
    ];
    let report = world
        .pod("client")
        .unwrap()
        .run("redis-benchmark", &args)
        .unwrap();
    assert_eq!(report.matches("requests per second").count(), 3, "{report}");
    assert!(!report.to_lowercase().contains("error"), "{report}");
    assert_carried(&world, 90);
}

#[test]
fn pgbench_runs_against_postgresql() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let _postgres = programs::postgres(&server, world.lab.dir(), 9000).unwrap();
    let at = ["-h", "server", "-p", "9000", "-U", "postgres"];
    client
        .run("pgbench", &[&at[..], &["-i", "-q", "postgres"]].concat())
        .unwrap();
    // With a new connection per transaction, too.
    for more in [
        &["-c", "8", "-t", "200", "postgres"][..],
        &["-C", "-c", "4", "-t", "20", "postgres"][..],
    ] {
        let report = client.run("pgbench", &[&at[..], more].concat()).unwrap();
        assert!(
            report.contains("number of failed transactions: 0 "),
            "{report}"
        );
    }
    assert_carried(&world, 80);
}

#[test]
fn iperf3_fills_the_wire_both_ways_over_both_families() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let iperf = server
        .start("iperf3", &["-s", "-p", "9000", "--forceflush"])
        .unwrap();
    let listening = || iperf.output().contains("listening");
    ambit_e2e::wait::wait_until("iperf3 to listen", MINUTE, listening).unwrap();
    for family in ["-4", "-6"] {
        for way in [&[][..], &["-R"][..], &["-P", "4"][..]] {
            let args = [
                &["-c", "server", "-p", "9000", "-t", "1", "-f", "m", family][..],
                way,
            ]
            .concat();
            let report = client.run("iperf3", &args).unwrap();
            assert!(report.contains("receiver"), "{report}");
        }
    }
    assert_carried(&world, 12);
}

#[test]
fn a_websocket_stays_open_and_echoes() {
    let world = world();
    let _server = Server::start(&world.pod("server").unwrap(), 8080, servers::websocket).unwrap();
    let at = world.service("server", Family::V4, 80).unwrap();
    let stream = connect(world.pod("client").unwrap().namespace(), at).unwrap();
    let mut socket = websocket::Client::upgrade(stream).unwrap();
    for length in [1, 100, 1000, 60_000] {
        let text = "ü".repeat(length / 2);
        assert_eq!(socket.ask(&text).unwrap(), text);
    }
    assert!(socket.close().unwrap());
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let world = world();
    let _server = Server::start(&world.pod("server").unwrap(), 9000, servers::speak_first).unwrap();
    for family in Family::BOTH {
        let at = world.service("server", family, 9000).unwrap();
        let mut stream = connect(world.pod("client").unwrap().namespace(), at).unwrap();
        let mut banner = [0; 18];
        stream.read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"220 speaks first\r\n");
        stream.write_all(b"HELO\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "250 HELO\n");
    }
}

#[test]
fn either_side_may_end_its_half_first() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let _digest = Server::start(&server, 8080, servers::digest).unwrap();
    let _leaves = Server::start(&server, 9000, servers::leaves_first).unwrap();

    let at = world.service("server", Family::V4, 80).unwrap();
    let answer = exchange(client.namespace(), at, b"the whole request").unwrap();
    assert!(
        answer.starts_with(b"17 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    let at = world.service("server", Family::V4, 9000).unwrap();
    let mut stream = connect(client.namespace(), at).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "bye");
    // The server has ended its half; ours still carries.
    stream::send(&mut stream, 1 << 20).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn a_gibibyte_arrives_as_it_was_sent_each_way() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let _digest = Server::start(&server, 8080, servers::digest).unwrap();
    let _source = Server::start(&server, 9000, servers::source).unwrap();

    let up = connect(
        client.namespace(),
        world.service("server", Family::V4, 80).unwrap(),
    )
    .unwrap();
    let sent = stream::send(&mut (&up), BIG).unwrap();
    up.shutdown(Shutdown::Write).unwrap();
    let mut received = String::new();
    (&up).read_to_string(&mut received).unwrap();
    assert_eq!(received, sent.to_string());

    let at = world.service("server", Family::V6, 9000).unwrap();
    let mut down = connect(client.namespace(), at).unwrap();
    down.write_all(format!("{BIG}\n").as_bytes()).unwrap();
    assert_eq!(stream::digest(&mut down).unwrap(), sent);
}

#[test]
fn two_thousand_connections_are_open_at_once_and_all_answer() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let mut open: Vec<TcpStream> = (0..2000)
        .map(|_| connect(client.namespace(), at).unwrap())
        .collect();
    for (stream, number) in open.iter_mut().zip(0_u32..) {
        stream.write_all(&number.to_be_bytes()).unwrap();
    }
    for (stream, number) in open.iter_mut().zip(0_u32..) {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(u32::from_be_bytes(answer), number);
    }
    assert_carried(&world, 2000);
}

#[test]
fn udp_and_icmp_pass_untouched() {
    let world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    for family in Family::BOTH {
        let to = SocketAddr::new(server.ip(family), 5353);
        assert_eq!(
            udp_call(&client, &server, to),
            client.ip(family).to_string()
        );
        let to = server.ip(family).to_string();
        let report = client
            .run("ping", &["-c", "3", "-i", "0.2", "-W", "2", &to])
            .unwrap();
        assert!(report.contains("3 received"), "{report}");
    }
}

/// One datagram there and back; the answer says where it came from.
fn udp_call(client: &Pod, server: &Pod, to: SocketAddr) -> String {
    let bind = |pod: &Pod, at: SocketAddr| {
        let socket = pod
            .namespace()
            .run(|| UdpSocket::bind(at))
            .unwrap()
            .unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket
    };
    let there = bind(server, to);
    let here = bind(
        client,
        SocketAddr::new(
            client.ip(if to.is_ipv4() { Family::V4 } else { Family::V6 }),
            0,
        ),
    );
    here.send_to(b"who am i", to).unwrap();
    let mut buffer = [0; 100];
    let (length, from) = there.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"who am i");
    there
        .send_to(from.ip().to_string().as_bytes(), from)
        .unwrap();
    let length = here.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}
