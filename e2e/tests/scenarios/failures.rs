//! Killing and replacing parts of the mesh under load.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::process::is_stopped;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, World};
use ambit_e2e::yaml;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::{Callers, Paced};
use crate::support::{SOON, ended_badly};

/// How long pods may be without service after the host role was killed.
const BACK: Duration = Duration::from_secs(2);
const END: Duration = Duration::from_secs(30);

/// A world with an echo that is called all the time.
struct Busy {
    world: World,
    _echo: Server,
    at: SocketAddr,
}

impl Busy {
    fn start() -> Self {
        Self::with(&Options::default())
    }

    fn with(options: &Options) -> Self {
        let world = World::prepare(&[("client", 1), ("server", 2)], options).unwrap();
        world.enrol_all().unwrap();
        let echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
        let at = world.service("server", Family::V4, 9000).unwrap();
        Self {
            world,
            _echo: echo,
            at,
        }
    }

    fn callers(&self) -> Callers {
        Callers::start(&self.world.pod("client").unwrap(), self.at, 4)
    }

    fn call(&self) -> anyhow::Result<Vec<u8>> {
        exchange(
            self.world.pod("client").unwrap().namespace(),
            self.at,
            b"hello",
        )
    }

    fn connect(&self) -> TcpStream {
        connect(self.world.pod("client").unwrap().namespace(), self.at).unwrap()
    }

    /// The only proxy process of a node.
    fn proxy(&self, node: u8) -> Pid {
        let proxies = self.world.mesh.agent(node).unwrap().proxies().unwrap();
        assert_eq!(proxies.len(), 1, "{proxies:?}");
        Pid::from_raw(proxies[0])
    }

    /// Waits until another proxy than this one serves on a node.
    fn await_successor(&self, node: u8, of: Pid) {
        let agent = self.world.mesh.agent(node).unwrap();
        let replaced = || {
            let living = agent.proxies().unwrap_or_default();
            living.len() == 1 && living[0] != of.as_raw() && agent.pages().is_ready()
        };
        wait_until("another proxy to serve", SOON, replaced).unwrap();
    }
}

#[test]
fn connections_queued_when_the_proxy_is_killed_are_served_by_the_next_on_either_side() {
    let busy = Busy::start();
    busy.call().unwrap();
    for node in [1, 2] {
        let proxy = busy.proxy(node);
        // A stopped process accepts nothing: what is opened now is queued for certain.
        kill(proxy, Signal::SIGSTOP).unwrap();
        wait_until("the proxy to stop", SOON, || is_stopped(proxy.as_raw())).unwrap();
        let mut queued: Vec<TcpStream> = (0..50).map(|_| busy.connect()).collect();
        for stream in &mut queued {
            stream.write_all(b"hello").unwrap();
        }
        kill(proxy, Signal::SIGKILL).unwrap();
        for stream in &mut queued {
            let mut answer = [0; 5];
            let read = stream.read_exact(&mut answer);
            assert!(
                read.is_ok(),
                "node {node}: {read:?}\n{}",
                ended_badly(&busy.world)
            );
            assert_eq!(&answer, b"hello", "node {node}");
        }
        busy.await_successor(node, proxy);
    }
}

#[test]
fn every_connection_opened_after_a_proxy_was_killed_completes_with_20_000_workloads() {
    let options = Options {
        objects: vec![("crowd".into(), yaml::crowd(20_000))],
        ..Options::default()
    };
    let busy = Busy::with(&options);
    for node in [1, 2] {
        let proxy = busy.proxy(node);
        let calling = busy.callers();
        kill(proxy, Signal::SIGKILL).unwrap();
        let killed = Instant::now();
        busy.await_successor(node, proxy);
        calling.go_on();
        // Those that were being carried at that moment may be lost, and only those.
        let failures = calling.stop();
        let after: Vec<_> = failures.iter().filter(|f| f.began > killed).collect();
        assert!(after.is_empty(), "node {node}: {after:#?}");
        assert!(failures.len() <= 4, "node {node}: {failures:#?}");
    }
}

#[test]
fn replacing_the_proxy_loses_nothing_and_no_counter_goes_back() {
    let busy = Busy::start();
    let calling = busy.callers();
    let paced = Paced::start(&busy.world.pod("client").unwrap(), busy.at);
    for node in [1, 2] {
        let agent = busy.world.mesh.agent(node).unwrap();
        let opened = || {
            let name = "istio_tcp_connections_opened_total";
            agent.pages().metric(name, &[]).unwrap()
        };
        let mut before = opened();
        assert!(before > 0.0);
        // Asked for at the host role, or at the proxy itself: a new one has to be ready first.
        let old = busy.proxy(node);
        match node {
            1 => drop(agent.replace_proxy().unwrap()),
            _ => kill(old, Signal::SIGTERM).unwrap(),
        }
        let replaced = || {
            agent
                .proxies()
                .is_ok_and(|living| living.iter().any(|p| *p != old.as_raw()))
        };
        wait_until("a new generation", SOON, replaced).unwrap();
        for _ in 0..20 {
            let now = opened();
            assert!(now >= before, "node {node}: {before} became {now}");
            before = now;
            paced.goes_on();
        }
        // The old generation goes on for as long as the open connection needs it.
        paced.goes_on();
        calling.go_on();
    }
    paced.finish();
    calling.stop_without_a_failure();
}

#[test]
fn an_old_proxy_that_drains_still_obeys_policy() {
    let busy = Busy::start();
    let mut open = busy.connect();
    open.write_all(b"open").unwrap();
    open.read_exact(&mut [0; 4]).unwrap();
    busy.world.mesh.agent(2).unwrap().replace_proxy().unwrap();
    let rule = yaml::from_principal(NAMESPACE, "client");
    let deny = yaml::authorization_policy(NAMESPACE, "deny", "server", "DENY", &rule);
    busy.world.mesh.configuration.apply("deny", &deny).unwrap();
    let applied = Instant::now();
    assert!(open.read(&mut [0]).is_err());
    assert!(
        applied.elapsed() < Duration::from_secs(1),
        "{:?}",
        applied.elapsed()
    );
}

#[test]
fn a_host_role_that_is_replaced_refuses_no_connection() {
    let mut busy = Busy::start();
    let calling = busy.callers();
    for node in [1, 2] {
        let agent = busy.world.mesh.agent_mut(node).unwrap();
        let mut old = agent.start().unwrap().unwrap();
        old.terminate(END).unwrap();
        busy.world.mesh.await_ready().unwrap();
        calling.go_on();
    }
    calling.stop_without_a_failure();
    let pods = busy.world.mesh.agent(1).unwrap().list().unwrap();
    assert_eq!(pods["pods"][0]["name"], "client");
}

#[test]
fn a_killed_host_role_leaves_pods_refusing_and_its_successor_serves_them_within_two_seconds() {
    let mut busy = Busy::start();
    let client = busy.world.pod("client").unwrap();
    let server = busy.world.pod("server").unwrap();
    let capture = ambit_e2e::capture::Capture::start(
        busy.world.lab.wan(),
        "node1",
        busy.world.lab.dir(),
        "killed",
    )
    .unwrap();
    busy.world.mesh.agent_mut(1).unwrap().kill_host().unwrap();
    // By service and by pod address: no way around the mesh opens.
    for at in [busy.at, SocketAddr::new(server.ip(Family::V4), 9000)] {
        let refused = exchange(client.namespace(), at, b"plaintext-marker");
        assert!(!refused.is_ok_and(|answer| !answer.is_empty()), "{at}");
    }
    let started = Instant::now();
    drop(busy.world.mesh.agent_mut(1).unwrap().start().unwrap());
    let served = || busy.call().is_ok_and(|answer| answer == b"hello");
    wait_until("the pod to be served again", SOON, served).unwrap();
    assert!(started.elapsed() < BACK, "{:?}", started.elapsed());
    assert_eq!(
        capture.stop().unwrap().holding(b"plaintext-marker").count(),
        0
    );
}

#[test]
fn without_a_control_plane_traffic_and_policy_go_on_also_in_a_restarted_agent() {
    let mut busy = Busy::start();
    let rule = yaml::from_principal(NAMESPACE, "server");
    let deny = yaml::authorization_policy(NAMESPACE, "deny", "client", "DENY", &rule);
    busy.world.mesh.configuration.apply("deny", &deny).unwrap();
    let _echo = Server::start(&busy.world.pod("client").unwrap(), 9000, servers::echo).unwrap();
    let at = busy.world.service("client", Family::V4, 9000).unwrap();
    let server = busy.world.pod("server").unwrap();
    let denied = || !exchange(server.namespace(), at, b"x").is_ok_and(|got| got == b"x");
    wait_until("the policy to hold", SOON, denied).unwrap();

    let calling = busy.callers();
    busy.world.mesh.control_plane.kill().unwrap();
    calling.go_on();
    calling.stop_without_a_failure();
    for node in [1, 2] {
        busy.world
            .mesh
            .agent_mut(node)
            .unwrap()
            .terminate()
            .unwrap();
        busy.world.mesh.agent_mut(node).unwrap().start().unwrap();
    }
    busy.world.mesh.await_ready().unwrap();
    let served = || busy.call().is_ok_and(|answer| answer == b"hello");
    wait_until("a restarted agent to serve from what it kept", SOON, served).unwrap();
    for _ in 0..10 {
        assert!(denied());
        assert_eq!(busy.call().unwrap(), b"hello");
    }
}

#[test]
fn a_control_plane_that_comes_back_sends_only_what_changed() {
    let mut busy = Busy::start();
    let sent = |busy: &Busy| {
        let page = busy.world.mesh.control_plane.metrics().unwrap();
        ambit_e2e::mesh::sum_of(&page, "ambit_xds_resources_total", &[])
    };
    assert!(sent(&busy) > 4.0, "the first snapshot was counted");
    busy.world.mesh.control_plane.kill().unwrap();
    // One object more, while nobody looks.
    let account = yaml::authorization_policy(NAMESPACE, "new", "server", "ALLOW", "    - {}\n");
    busy.world
        .mesh
        .configuration
        .apply("new", &account)
        .unwrap();
    busy.world.mesh.control_plane.start_again().unwrap();
    let knows = |busy: &Busy| {
        busy.world.mesh.agents.iter().all(|agent| {
            let dump = agent.pages().config_dump().unwrap_or_default();
            dump["policies"].to_string().contains("new")
        })
    };
    wait_until("the new object to arrive", END, || knows(&busy)).unwrap();
    // The policy itself to both agents, and the one workload that it applies to.
    let sent = sent(&busy);
    assert!(
        (1.0..=4.0).contains(&sent),
        "{sent} resources were sent again"
    );
    assert_eq!(busy.call().unwrap(), b"hello");
}
