//! Broken objects and hostile bytes: an error that leads to the cause, and everything else goes on.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{binary, sum_of};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, World};
use ambit_e2e::yaml;

use crate::load::Callers;
use crate::support::SOON;

fn problems(world: &World) -> f64 {
    let page = world.mesh.control_plane.metrics().unwrap_or_default();
    sum_of(&page, "ambit_config_problems", &[])
}

#[test]
fn vet_names_file_document_and_field_of_every_error_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let good = yaml::service_account("shop", "fine");
    let wrong_type = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  namespace: shop\n\
                      spec:\n  ports:\n    - port: many\n";
    fs::write(
        dir.path().join("mixed.yaml"),
        yaml::documents(&[good.as_str(), wrong_type]),
    )
    .unwrap();
    fs::write(dir.path().join("broken.yaml"), "kind: [unclosed\n").unwrap();
    let vet = || {
        Command::new(binary("ambit").unwrap())
            .arg("vet")
            .arg(dir.path())
            .output()
            .unwrap()
    };
    let report = vet();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&report.stdout),
        String::from_utf8_lossy(&report.stderr)
    );
    assert_eq!(report.status.code(), Some(1), "{text}");
    for expected in ["mixed.yaml", "document 2", "ports[0].port", "broken.yaml"] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    fs::remove_file(dir.path().join("broken.yaml")).unwrap();
    fs::write(dir.path().join("mixed.yaml"), good).unwrap();
    assert_eq!(vet().status.code(), Some(0));
}

#[test]
fn a_file_that_breaks_keeps_its_last_good_policy_also_over_a_restart_of_the_control_plane() {
    let mut world = World::start(&[("client", 1), ("server", 2), ("other", 1)]).unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let passes = |world: &World, name: &str| {
        let pod = world.pod(name).unwrap();
        exchange(pod.namespace(), at, b"x").is_ok_and(|answer| answer == b"x")
    };
    let rule = yaml::from_principal(NAMESPACE, "client");
    let deny = yaml::authorization_policy(NAMESPACE, "deny", "server", "DENY", &rule);
    world.mesh.configuration.apply("deny", &deny).unwrap();
    wait_until("the policy to hold", SOON, || !passes(&world, "client")).unwrap();
    let before = problems(&world);

    let broken = deny.replace("action: DENY", "action: [DENY");
    world.mesh.configuration.apply("deny", &broken).unwrap();
    wait_until("the problem to be counted", SOON, || {
        problems(&world) > before
    })
    .unwrap();
    let said = || world.mesh.control_plane.log().contains("deny.yaml");
    wait_until("the problem to be logged", SOON, said).unwrap();
    world.mesh.control_plane.kill().unwrap();
    world.mesh.control_plane.start_again().unwrap();
    wait_until("the problem to be counted again", SOON, || {
        problems(&world) > before
    })
    .unwrap();
    // Other objects are read and served meanwhile.
    let more = yaml::authorization_policy(NAMESPACE, "more", "client", "DENY", &rule);
    world.mesh.configuration.apply("more", &more).unwrap();
    let arrived = || {
        let dump = world
            .mesh
            .agent(1)
            .unwrap()
            .pages()
            .config_dump()
            .unwrap_or_default();
        dump["policies"].to_string().contains("more")
    };
    wait_until("another policy to arrive", SOON, arrived).unwrap();
    assert!(!passes(&world, "client"), "a broken DENY became an allow");
    assert!(passes(&world, "other"));
}

#[test]
fn garbage_on_the_tunnel_port_harms_nobody_else() {
    let world = World::start(&[("client", 1), ("server", 2), ("neighbour", 2)]).unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let calling = Callers::start(&world.pod("client").unwrap(), at, 1);
    let server = world.pod("server").unwrap();
    let port = SocketAddr::new(server.ip(Family::V4), 15008);
    let inside = world.lab.node(1).unwrap();
    // Nothing, a client hello cut short, another protocol, noise, and an absurd record length.
    let noise: Vec<u8> = (0..=255_u8).cycle().take(100_000).collect();
    let inputs: [&[u8]; 5] = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        &noise,
        b"\x16\x03\x03\xff\xff\xff\xff",
    ];
    let mut half_open = Vec::new();
    for _ in 0..20 {
        for input in inputs {
            let mut stream = connect(&inside.namespace, port).unwrap();
            stream.write_all(input).ok();
            half_open.push(stream);
        }
    }
    calling.go_on();
    // Those that wait for us are closed by a deadline; none is answered in the clear.
    for mut stream in half_open {
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let timed_out = ended
            .as_ref()
            .is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "a half handshake is kept for longer than 30 s");
        assert!(!answer.windows(4).any(|part| part == b"HTTP"));
    }
    calling.stop_without_a_failure();
    let pages = world.mesh.agent(2).unwrap().pages();
    let failed = pages
        .metric("ambit_tls_handshakes_total", &["result=\"tls_failure\""])
        .unwrap();
    assert!(failed >= 20.0, "{failed} failed handshakes were counted");
}

#[test]
fn garbage_on_the_host_roles_socket_is_answered_and_harms_nothing() {
    let world = World::start(&[("client", 1), ("server", 2)]).unwrap();
    let agent = world.mesh.agent(1).unwrap();
    let socket = agent.run_dir().join("agent.sock");
    let long = vec![b'{'; 1 << 20];
    let inputs: [&[u8]; 6] = [
        b"\n",
        b"{}\n",
        b"{\"op\":\"enrol\"}\n",
        b"{\"op\":\"release\",\"uid\":\"../../etc\"}\n",
        b"\x00\xff\xfe\n",
        &long,
    ];
    for input in inputs {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(input).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok();
        assert!(!answer.contains("\"ok\":true"), "{answer}");
    }
    let listed = agent.list().unwrap();
    assert_eq!(listed["pods"].as_array().unwrap().len(), 1);
}
