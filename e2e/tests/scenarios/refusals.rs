//! Everything that must not pass, tried from the outside by a client that the mesh did not write;
//! each refusal is logged with its reason and counted.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::forge::{Forger, Leaf, Life};
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::peer::{HBONE, Imposter, Outcome, ask};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, World, identity};
use ambit_e2e::yaml;

use crate::support::{SOON, assert_refused};

/// A world whose `stranger` is not captured and so may say what it likes.
fn world() -> World {
    let pods = [("client", 1), ("server", 2), ("other", 2), ("stranger", 1)];
    let world = World::prepare(&pods, &Options::default()).unwrap();
    for name in ["client", "server", "other"] {
        world.enrol(name).unwrap();
    }
    for name in ["client", "server", "other"] {
        let uid = ambit_e2e::world::uid(name);
        world
            .mesh
            .await_advertised(&uid, true, ambit_e2e::world::SPREAD)
            .unwrap();
    }
    world
}

fn thief(world: &World) -> Forger {
    Forger::with_the_meshs_key(world.mesh.control_plane.state()).unwrap()
}

/// The stranger asks the server's agent for a tunnel.
fn knock(world: &World, leaf: Option<&Leaf>, authority: &str) -> Outcome {
    let server = world.pod("server").unwrap();
    let at = SocketAddr::new(server.ip(Family::V4), HBONE);
    let tcp = connect(world.pod("stranger").unwrap().namespace(), at).unwrap();
    ask(tcp, leaf, authority).unwrap()
}

fn authority(pod: &Pod) -> String {
    SocketAddr::new(pod.ip(Family::V4), 9000).to_string()
}

#[test]
fn a_peer_with_a_certificate_of_the_mesh_is_let_in() {
    // The control of all tests below: each of them changes one thing.
    let world = world();
    let server = world.pod("server").unwrap();
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let leaf = thief(&world)
        .sign(&identity("stranger"), Life::Now)
        .unwrap();
    let outcome = knock(&world, Some(&leaf), &authority(&server));
    assert_eq!(outcome, Outcome::Answered(200));
}

#[test]
fn peers_without_a_valid_certificate_of_the_mesh_are_refused() {
    let world = world();
    let server = world.pod("server").unwrap();
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let at = authority(&server);
    let own = Forger::with_a_root_of_its_own().unwrap();
    let id = identity("client");
    let foreign = "spiffe://elsewhere.example/ns/shop/sa/client";
    for (leaf, reason) in [
        (Some(own.sign(&id, Life::Now).unwrap()), "unknown_authority"),
        (
            Some(thief(&world).sign(foreign, Life::Now).unwrap()),
            "wrong_trust_domain",
        ),
        (
            Some(thief(&world).sign(&id, Life::Over).unwrap()),
            "certificate_expired",
        ),
        (None, "no_client_certificate"),
    ] {
        let outcome = knock(&world, leaf.as_ref(), &at);
        assert!(matches!(outcome, Outcome::Cut(_)), "{reason}: {outcome:?}");
        assert_refused(&world, 2, reason);
    }
}

#[test]
fn openssl_as_a_client_is_refused_for_tls_1_2_and_for_showing_no_certificate() {
    let world = world();
    let stranger = world.pod("stranger").unwrap();
    let at = SocketAddr::new(world.pod("server").unwrap().ip(Family::V4), HBONE).to_string();
    let script = |options: &str| {
        format!("sleep 1 | timeout 10 openssl s_client -connect {at} -alpn h2 {options} 2>&1; true")
    };
    let report = stranger.run("sh", &["-c", &script("-tls1_2")]).unwrap();
    assert!(report.contains("alert protocol version"), "{report}");
    let report = stranger.run("sh", &["-c", &script("-tls1_3")]).unwrap();
    assert!(report.contains("certificate required"), "{report}");
    assert_refused(&world, 2, "tls_version");
    assert_refused(&world, 2, "no_client_certificate");
}

#[test]
fn a_tunnel_to_one_pod_does_not_lead_to_another() {
    let world = world();
    let other = world.pod("other").unwrap();
    let _echo = Server::start(&other, 9000, servers::echo).unwrap();
    let leaf = thief(&world).sign(&identity("client"), Life::Now).unwrap();
    for wrong in [
        authority(&other),
        "10.99.0.2:22".to_owned(),
        "127.0.0.1:9000".to_owned(),
    ] {
        assert_eq!(
            knock(&world, Some(&leaf), &wrong),
            Outcome::Answered(400),
            "{wrong}"
        );
    }
    assert_refused(&world, 2, "wrong_destination");
}

#[test]
fn a_tunnel_to_the_agents_own_ports_is_a_self_call_and_refused() {
    let world = world();
    let server = world.pod("server").unwrap();
    let leaf = thief(&world).sign(&identity("client"), Life::Now).unwrap();
    for port in [15001, 15006, 15008] {
        let at = SocketAddr::new(server.ip(Family::V4), port).to_string();
        let outcome = knock(&world, Some(&leaf), &at);
        assert!(
            matches!(outcome, Outcome::Answered(400..=499)),
            "{port}: {outcome:?}"
        );
    }
    assert_refused(&world, 2, "self_call");
}

#[test]
fn a_server_that_shows_another_identity_is_not_believed() {
    let mut world = world();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let own = Forger::with_a_root_of_its_own().unwrap();
    let thief = thief(&world);
    // The server's agent is gone, and something else took the pod's port.
    drop(world.mesh.agent_mut(2).unwrap().stop().unwrap());
    let at = world.service("server", Family::V4, 9000).unwrap();
    let hello = "200 from the imposter";
    let heard = |leaf: &Leaf| {
        let _imposter = Imposter::start(&server, leaf, hello).unwrap();
        exchange(client.namespace(), at, b"").unwrap_or_default()
    };
    let right = thief.sign(&identity("server"), Life::Now).unwrap();
    assert_eq!(
        heard(&right),
        hello.as_bytes(),
        "the control: the right certificate"
    );
    world.mesh.agent(1).unwrap().replace_proxy().unwrap();
    let id = identity("server");
    for (leaf, reason) in [
        (
            thief.sign(&identity("other"), Life::Now).unwrap(),
            "wrong_identity",
        ),
        (own.sign(&id, Life::Now).unwrap(), "unknown_authority"),
        (thief.sign(&id, Life::Over).unwrap(), "certificate_expired"),
    ] {
        assert_eq!(heard(&leaf), b"", "{reason}");
        assert_refused(&world, 1, reason);
    }

    let (certificate, key) = (world.dir("leaf.pem"), world.dir("key.pem"));
    std::fs::write(&certificate, &right.certificate_pem).unwrap();
    std::fs::write(&key, &right.key_pem).unwrap();
    let [certificate, key] = [certificate, key].map(|file| file.display().to_string());
    let args = [
        "s_server",
        "-tls1_2",
        "-www",
        "-accept",
        "15008",
        "-cert",
        &certificate,
        "-key",
        &key,
    ];
    let old = server.start("openssl", &args).unwrap();
    wait_until("openssl to listen", SOON, || {
        old.output().contains("ACCEPT")
    })
    .unwrap();
    assert!(
        exchange(client.namespace(), at, b"")
            .unwrap_or_default()
            .is_empty()
    );
    assert_refused(&world, 1, "tls_version");
}

#[test]
fn plaintext_is_served_until_strict_and_refused_after() {
    let world = world();
    let server = world.pod("server").unwrap();
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let stranger = world.pod("stranger").unwrap();
    let at = SocketAddr::new(server.ip(Family::V4), 9000);
    let passes = || exchange(stranger.namespace(), at, b"plain").is_ok_and(|got| got == b"plain");
    assert!(passes());
    let strict = yaml::peer_authentication(NAMESPACE, "default", "STRICT");
    world.mesh.configuration.apply("strict", &strict).unwrap();
    wait_until("plaintext to be refused", SOON, || !passes()).unwrap();
    // The call before this one may have been open already, and cut.
    assert!(!passes());
    assert_refused(&world, 2, "plaintext_refused");
    // Captured pods do not notice.
    let at = world.service("server", Family::V4, 9000).unwrap();
    let client = world.pod("client").unwrap();
    assert_eq!(exchange(client.namespace(), at, b"safe").unwrap(), b"safe");
}

#[test]
fn deny_refuses_its_principal_and_allow_everybody_else() {
    let world = world();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let passes = |name: &str| {
        let pod = world.pod(name).unwrap();
        exchange(pod.namespace(), at, b"may I").is_ok_and(|got| got == b"may I")
    };
    let rule = yaml::from_principal(NAMESPACE, "client");
    let policy = |action| yaml::authorization_policy(NAMESPACE, "p", "server", action, &rule);
    assert!(passes("client") && passes("other"));
    world
        .mesh
        .configuration
        .apply("p", &policy("DENY"))
        .unwrap();
    wait_until("DENY to bite", SOON, || !passes("client")).unwrap();
    assert!(!passes("client") && passes("other"));
    assert_refused(&world, 2, "policy_denied");
    world
        .mesh
        .configuration
        .apply("p", &policy("ALLOW"))
        .unwrap();
    wait_until("ALLOW to bite", SOON, || {
        passes("client") && !passes("other")
    })
    .unwrap();
    assert!(!passes("other"));
    assert_refused(&world, 2, "no_matching_allow");
    world.mesh.configuration.remove("p").unwrap();
    wait_until("no policy to be left", SOON, || {
        passes("client") && passes("other")
    })
    .unwrap();
}

#[test]
fn with_registry_only_an_unknown_destination_is_refused_and_a_known_one_is_not() {
    let options = Options {
        agent: vec!["--egress".into(), "REGISTRY_ONLY".into()],
        ..Options::default()
    };
    let world = World::prepare(&[("client", 1), ("server", 2)], &options).unwrap();
    world.enrol_all().unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let client = world.pod("client").unwrap();
    // The node of the server listens, and no object names that port.
    let outside = SocketAddr::from(([10, 99, 0, 254], 7777));
    let listener = world
        .lab
        .wan()
        .run(|| std::net::TcpListener::bind(outside))
        .unwrap()
        .unwrap();
    assert!(!exchange(client.namespace(), outside, b"out").is_ok_and(|got| !got.is_empty()));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the connection arrived outside");
    assert_refused(&world, 1, "unknown_destination");
    let at = world.service("server", Family::V4, 9000).unwrap();
    assert_eq!(exchange(client.namespace(), at, b"in").unwrap(), b"in");
}

#[test]
fn with_allow_any_an_unknown_destination_is_reached_as_it_is() {
    let world = World::start(&[("client", 1)]).unwrap();
    let outside = SocketAddr::from(([10, 99, 0, 254], 7777));
    let listener = world
        .lab
        .wan()
        .run(|| std::net::TcpListener::bind(outside))
        .unwrap()
        .unwrap();
    let _open = connect(world.pod("client").unwrap().namespace(), outside).unwrap();
    listener.set_nonblocking(true).unwrap();
    let accepted = ambit_e2e::wait::wait_for("a connection", SOON, || listener.accept().ok());
    let expected = world.pod("client").unwrap().ip(Family::V4);
    assert_eq!(accepted.unwrap().1.ip(), expected);
}

#[test]
fn a_captured_client_learns_at_once_that_it_was_refused() {
    let world = world();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let rule = yaml::from_principal(NAMESPACE, "client");
    let policy = yaml::authorization_policy(NAMESPACE, "p", "server", "DENY", &rule);
    world.mesh.configuration.apply("p", &policy).unwrap();
    let client = world.pod("client").unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    wait_until("DENY to bite", SOON, || {
        exchange(client.namespace(), at, b"x").is_err()
    })
    .unwrap();
    // It sends nothing and still hears of it: as a reset, not as an end.
    let started = std::time::Instant::now();
    let mut stream = connect(client.namespace(), at).unwrap();
    let error = std::io::Read::read(&mut stream, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_refused(&world, 1, "peer_refused");
}
