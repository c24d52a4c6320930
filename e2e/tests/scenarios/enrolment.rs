//! Capturing and releasing a pod that runs: what is open goes on, what is new follows the change.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, World, uid};

use crate::support::SOON;

/// A connection that sends a numbered message every few milliseconds and reads it back.
struct Paced {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Paced {
    fn start(from: &Pod, to: SocketAddr) -> Self {
        let stream = connect(from.namespace(), to).unwrap();
        let (rounds, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, stopped) = (Arc::clone(&rounds), Arc::clone(&stop));
        let running = thread::spawn(move || pace(&stream, &count, &stopped));
        Self {
            rounds,
            stop,
            running,
        }
    }

    /// Waits until messages that were sent after this call have come back.
    fn goes_on(&self) {
        let now = self.rounds.load(Ordering::Relaxed);
        let more = || self.rounds.load(Ordering::Relaxed) >= now + 5 || self.running.is_finished();
        wait_until("a paced connection to go on", SOON, more).unwrap();
        assert!(!self.running.is_finished(), "a paced connection has ended");
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.running.join().unwrap().unwrap();
    }
}

fn pace(mut stream: &TcpStream, rounds: &AtomicU64, stop: &AtomicBool) -> std::io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let message = rounds.load(Ordering::Relaxed).to_be_bytes();
        stream.write_all(&message)?;
        let mut echoed = [0; 8];
        stream.read_exact(&mut echoed)?;
        if echoed != message {
            return Err(std::io::Error::other("another message came back"));
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// Connections that the agent of a node has carried for its pods so far.
fn carried(world: &World, node: u8, reporter: &str) -> f64 {
    let label = format!("reporter=\"{reporter}\"");
    let pages = world.mesh.agent(node).unwrap();
    pages
        .pages()
        .metric("istio_tcp_connections_opened_total", &[&label])
        .unwrap()
}

#[test]
fn open_connections_survive_capture_and_release_of_running_pods_in_both_directions() {
    let pods = [("pod", 1), ("peer", 2)];
    let world = World::prepare(&pods, &Options::default()).unwrap();
    let (pod, peer) = (world.pod("pod").unwrap(), world.pod("peer").unwrap());
    let _echoes = [&pod, &peer].map(|pod| Server::start(pod, 9000, servers::echo).unwrap());
    let mut open = Vec::new();
    let mut open_all = || {
        for family in Family::BOTH {
            open.push(Paced::start(&pod, SocketAddr::new(peer.ip(family), 9000)));
            open.push(Paced::start(&peer, SocketAddr::new(pod.ip(family), 9000)));
        }
        open.iter().for_each(Paced::goes_on);
        open.len()
    };
    open_all();
    world.enrol("pod").unwrap();
    open_all();
    world.enrol("peer").unwrap();
    let before = carried(&world, 1, "source");
    open_all();
    assert!(
        carried(&world, 1, "source") >= before + 2.0,
        "new connections were not captured"
    );

    world.release("pod").unwrap();
    open_all();
    world.release("peer").unwrap();
    let before = [1, 2].map(|node| carried(&world, node, "source"));
    assert_eq!(open_all(), 20);
    let after = [1, 2].map(|node| carried(&world, node, "source"));
    assert!(
        before == after,
        "connections of released pods were captured: {before:?} {after:?}"
    );
    open.into_iter().for_each(Paced::finish);
}

#[test]
fn peers_are_told_of_tunnels_only_after_capture_and_until_release() {
    let world = World::prepare(&[("client", 1), ("server", 2)], &Options::default()).unwrap();
    let agents = || world.mesh.agents.iter();
    assert!(agents().all(|agent| agent.pages().advertises(&uid("server")) == Some(false)));
    world.enrol("server").unwrap();
    world
        .mesh
        .await_advertised(&uid("server"), true, SPREAD)
        .unwrap();
    world.enrol("client").unwrap();
    world
        .mesh
        .await_advertised(&uid("client"), true, SPREAD)
        .unwrap();

    // Nobody notices the release: there is no moment at which a peer tunnels to a pod that is no
    // longer captured.
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let calling = Callers::start(&world, "client", "server");
    world.release("server").unwrap();
    assert!(agents().all(|agent| agent.pages().advertises(&uid("server")) == Some(false)));
    calling.stop_without_a_failure(20);
}

#[test]
fn capturing_a_server_again_and_again_fails_no_call() {
    let world = World::start(&[("client", 1), ("server", 2)]).unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let calling = Callers::start(&world, "client", "server");
    for _ in 0..5 {
        world.release("server").unwrap();
        world.enrol("server").unwrap();
    }
    calling.stop_without_a_failure(20);
}

/// One call after the other, each on a connection of its own.
struct Callers {
    stop: Arc<AtomicBool>,
    running: JoinHandle<(u32, Vec<String>)>,
}

impl Callers {
    fn start(world: &World, from: &str, to: &str) -> Self {
        let (from, at) = (
            world.pod(from).unwrap(),
            world.service(to, Family::V4, 9000).unwrap(),
        );
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let running = thread::spawn(move || {
            let (mut calls, mut failures) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let started = Instant::now();
                match exchange(from.namespace(), at, b"hello") {
                    Ok(answer) if answer == b"hello" => {}
                    other => failures.push(format!("{other:?} after {:?}", started.elapsed())),
                }
                calls += 1;
            }
            (calls, failures)
        });
        Self { stop, running }
    }

    fn stop_without_a_failure(self, at_least: u32) {
        self.stop.store(true, Ordering::Relaxed);
        let (calls, failures) = self.running.join().unwrap();
        assert!(
            failures.is_empty(),
            "{} of {calls} calls failed: {failures:?}",
            failures.len()
        );
        assert!(calls >= at_least, "only {calls} calls");
    }
}
