//! The packet filters that the rest of the suite does not use: the calls, refusals and ends that
//! any mesh owes, by iptables of either flavour, and the change from one packet filter to another.
//!
//! `AMBIT_FIREWALL=iptables-nft make test` runs everything else by that one too.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ambit_e2e::capture::Capture;
use ambit_e2e::clients::exchange;
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, binary};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, SPREAD, World, uid};
use ambit_e2e::yaml;

use crate::load::Callers;
use crate::support::{SOON, assert_refused, rules};

const MARKER: &[u8] = b"the-quick-brown-secret-0123456789";
/// How long an agent may take to end.
const END: Duration = Duration::from_secs(30);

fn by(firewall: &str) -> Options {
    Options {
        agent: vec![format!("--firewall={firewall}")],
        ..Options::default()
    }
}

/// The packet filters that have rules of the mesh in a pod.
fn writers(pod: &Pod) -> Vec<&'static str> {
    let save = |flavour: &str| format!("iptables-{flavour}-save; ip6tables-{flavour}-save");
    let mut ways = vec![
        ("nft", "nft list tables".to_owned(), "inet ambit"),
        ("iptables-nft", save("nft"), "AMBIT_"),
        ("iptables-legacy", save("legacy"), "AMBIT_"),
    ];
    ways.retain(|(_, show, word)| {
        let shown = pod.run("sh", &["-c", &format!("({show}) 2>&1")]);
        shown.unwrap().contains(word)
    });
    ways.into_iter().map(|(name, ..)| name).collect()
}

/// Calls are tunnelled and unreadable, STRICT refuses what is not, and a release leaves nothing.
fn serves(firewall: &str) {
    let pods = [("client", 1), ("server", 2), ("stranger", 1)];
    let world = World::prepare(&pods, &by(firewall)).unwrap();
    for name in ["client", "server"] {
        world.enrol(name).unwrap();
        let captured = world.mesh.await_advertised(&uid(name), true, SPREAD);
        captured.unwrap();
    }
    let [client, server, stranger] =
        ["client", "server", "stranger"].map(|n| world.pod(n).unwrap());
    assert_eq!(writers(&client), [firewall]);
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let call = |from: &Pod, family| {
        let direct = SocketAddr::new(server.ip(family), 9000);
        exchange(from.namespace(), direct, MARKER).is_ok_and(|answer| answer == MARKER)
    };

    let capture = Capture::start(world.lab.wan(), "node1", world.lab.dir(), "wire").unwrap();
    for family in Family::BOTH {
        let at = world.service("server", family, 9000).unwrap();
        assert_eq!(exchange(client.namespace(), at, MARKER).unwrap(), MARKER);
        assert!(call(&client, family));
    }
    let seen = capture.stop().unwrap();
    assert_eq!(seen.holding(MARKER).count(), 0, "plaintext on the wire");
    assert_eq!(seen.tcp_bytes(9000), 0);
    for v4 in [true, false] {
        let mut tunnelled = seen.on_port(15008);
        assert!(tunnelled.any(|packet| packet.source.is_ipv4() == v4));
    }

    for family in Family::BOTH {
        assert!(call(&stranger, family), "the control: PERMISSIVE");
    }
    let strict = yaml::peer_authentication(NAMESPACE, "default", "STRICT");
    world.mesh.configuration.apply("strict", &strict).unwrap();
    for family in Family::BOTH {
        wait_until("plaintext to be refused", SOON, || !call(&stranger, family)).unwrap();
        assert!(call(&client, family));
    }
    assert_refused(&world, 2, "plaintext_refused");

    for pod in [&client, &server] {
        world.release(&pod.name).unwrap();
        wait_until("rules to go", SOON, || writers(pod).is_empty()).unwrap();
        assert!(!rules(pod).contains("REDIRECT"));
    }
    assert!(call(&stranger, Family::V4), "a released pod is direct");
}

#[test]
fn iptables_that_writes_nftables_serves_as_nftables_does() {
    serves("iptables-nft");
}

#[test]
fn iptables_with_tables_of_its_own_serves_as_nftables_does() {
    serves("iptables-legacy");
}

#[test]
fn a_stray_packet_opens_no_way_around_iptables_that_writes_nftables() {
    crate::stray_packets::no_way_around(&by("iptables-nft"));
}

#[test]
fn a_stray_packet_opens_no_way_around_iptables_with_tables_of_its_own() {
    crate::stray_packets::no_way_around(&by("iptables-legacy"));
}

#[test]
fn an_agent_that_takes_over_with_another_packet_filter_fails_no_call_and_shows_no_plaintext() {
    let mut world = World::prepare(&[("client", 1), ("server", 2)], &by("nft")).unwrap();
    world.enrol_all().unwrap();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    // By the pod's address: without the mesh it would be reached too.
    let at = SocketAddr::new(server.ip(Family::V4), 9000);
    let capture = Capture::start(world.lab.wan(), "node1", world.lab.dir(), "change").unwrap();
    let calling = Callers::start(&client, at, 2);
    for firewall in ["iptables-nft", "iptables-legacy", "nft"] {
        for (node, pod) in [(1, &client), (2, &server)] {
            let agent = world.mesh.agent_mut(node).unwrap();
            agent.set("--firewall", firewall);
            let mut old = agent.start().unwrap().unwrap();
            old.terminate(END).unwrap();
            let changed = || writers(pod) == [firewall];
            wait_until("the rules to be the new agent's", SOON, changed).unwrap();
            world.mesh.await_ready().unwrap();
            calling.go_on();
        }
    }
    calling.stop_without_a_failure();

    // Without a handover: nobody serves for a moment, and the rules of the dead one hold.
    let agent = world.mesh.agent_mut(1).unwrap();
    agent.kill_host().unwrap();
    agent.set("--firewall", "iptables-legacy");
    let refused = || exchange(client.namespace(), at, b"hello").is_err();
    assert!(refused(), "served by nobody");
    drop(world.mesh.agent_mut(1).unwrap().start().unwrap());
    let served = || exchange(client.namespace(), at, b"hello").is_ok_and(|got| got == b"hello");
    wait_until("the pod to be served again", SOON, served).unwrap();
    let changed = || writers(&client) == ["iptables-legacy"];
    wait_until("the rules to be the new agent's", SOON, changed).unwrap();
    assert_eq!(capture.stop().unwrap().holding(b"hello").count(), 0);
}

/// A folder that has only these of the machine's programs.
fn only(programs: &[&str]) -> PathBuf {
    let name = format!("ambit-programs-{}-{}", std::process::id(), programs.len());
    let folder = std::env::temp_dir().join(name);
    fs::remove_dir_all(&folder).ok();
    fs::create_dir(&folder).unwrap();
    for program in programs {
        let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .map(|at| PathBuf::from(at).join(program))
            .into_iter()
            .find(|path| path.exists());
        symlink(found.unwrap(), folder.join(program)).unwrap();
    }
    folder
}

#[test]
fn auto_takes_iptables_where_there_is_no_nft() {
    let programs = only(&[
        "ip",
        "iptables-legacy-save",
        "iptables-legacy-restore",
        "ip6tables-legacy-save",
        "ip6tables-legacy-restore",
    ]);
    let options = Options {
        programs: Some(programs.clone()),
        ..by("auto")
    };
    let world = World::prepare(&[("client", 1)], &options).unwrap();
    world.enrol("client").unwrap();
    assert_eq!(writers(&world.pod("client").unwrap()), ["iptables-legacy"]);
    drop(world);
    fs::remove_dir_all(programs).unwrap();
}

#[test]
fn an_agent_whose_packet_filter_does_not_work_ends_and_says_what_to_do() {
    let programs = only(&["ip"]);
    let missing = programs.join("missing").display().to_string();
    for (firewall, advice) in [("nft", "--firewall=auto"), ("auto", "install")] {
        let output = Command::new(binary("ambit-node-agent").unwrap())
            .env("PATH", &programs)
            .args(["--node", "node-1", "--control-plane", "127.0.0.1:1"])
            .args(["--token-file", &missing, "--root-cert", &missing])
            .args(["--run-dir", &missing, "--state-dir", &missing])
            .args(["--firewall", firewall])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        for part in ["--firewall", "nft: cannot run nft", advice] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    fs::remove_dir_all(programs).unwrap();
}
