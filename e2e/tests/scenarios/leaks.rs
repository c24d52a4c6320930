//! After a lot of everything, all is back where it was.

use std::fs;
use std::time::{Duration, Instant};

use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::World;

use crate::load::Callers;
use crate::support::rules;

const WARM_UP: u32 = 50;
const CYCLES: u32 = 500;
const CONNECTIONS: u64 = 50_000;
/// A port is not used again for the minute that its connection spends in TIME-WAIT. With these a
/// fast machine has enough of them, and does not spend its time in search of one.
const PORTS: [&str; 2] = [
    "net.ipv4.ip_local_port_range=1024 65535",
    "net.ipv4.tcp_tw_reuse=1",
];
const SETTLE: Duration = Duration::from_secs(60);
/// An agent whose descriptors have not changed for so long is at rest; every regular look comes at
/// least once in it.
const REST: Duration = Duration::from_secs(10);

/// What a process of the agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
}

/// The host role, the control role and the proxies of a node's agent; not what the host role runs
/// for a moment, such as nft.
fn processes(world: &World) -> Vec<i32> {
    let agent = world.mesh.agent(1).unwrap();
    let host = agent.program().unwrap().pid().as_raw();
    let is_role = |pid: &i32| {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        matches!(arguments.split('\0').nth(1), Some("control" | "proxy"))
    };
    let roles = ambit_e2e::process::children(host)
        .into_iter()
        .filter(is_role);
    std::iter::once(host).chain(roles).collect()
}

fn holdings(world: &World) -> Vec<Holdings> {
    let count =
        |pid: i32, part: &str| Some(fs::read_dir(format!("/proc/{pid}/{part}")).ok()?.count());
    let of = |pid| {
        Some(Holdings {
            descriptors: count(pid, "fd")?,
            threads: count(pid, "task")?,
        })
    };
    processes(world).into_iter().filter_map(of).collect()
}

/// True if no process holds more of anything than before; it may hold less.
fn no_more_than(before: &[Holdings], now: &[Holdings]) -> bool {
    let fits = |(now, before): (&Holdings, &Holdings)| {
        now.descriptors <= before.descriptors && now.threads <= before.threads
    };
    now.len() == before.len() && now.iter().zip(before).all(fits)
}

/// What is held once nothing is under way any more: the fewest threads that are seen, since regular
/// looks at files take one for a moment.
fn settled(world: &World) -> Vec<Holdings> {
    let mut fewest: Vec<Holdings> = Vec::new();
    let mut since = Instant::now();
    wait_until("the agent to come to rest", SETTLE, || {
        let now = holdings(world);
        let descriptors = |holdings: &[Holdings]| -> Vec<usize> {
            holdings.iter().map(|one| one.descriptors).collect()
        };
        if descriptors(&now) != descriptors(&fewest) {
            (fewest, since) = (now, Instant::now());
        } else {
            for (fewest, now) in fewest.iter_mut().zip(&now) {
                fewest.threads = fewest.threads.min(now.threads);
            }
        }
        since.elapsed() > REST
    })
    .unwrap();
    fewest
}

/// Resident memory of all the agent's processes, in KiB.
fn memory(world: &World) -> u64 {
    processes(world)
        .into_iter()
        .filter_map(ambit_e2e::process::resident_kib)
        .sum()
}

#[test]
fn after_500_enrolments_and_50_000_connections_nothing_has_leaked() {
    let pods = [("client", 1), ("server", 1)];
    let world = World::prepare(&pods, &Options::default()).unwrap();
    let (client, server) = (world.pod("client").unwrap(), world.pod("server").unwrap());
    for pod in [&client, &server] {
        pod.namespace().sysctl(&PORTS).unwrap();
    }
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let cycle = |times: u32| {
        for _ in 0..times {
            world.enrol("client").unwrap();
            world.release("client").unwrap();
        }
    };
    let connections = |calls: u64| {
        world.enrol_all().unwrap();
        let calling = Callers::start(&client, at, 4);
        calling.go_on_for(calls);
        calling.stop_without_a_failure();
        world.release("client").unwrap();
        world.release("server").unwrap();
    };
    cycle(WARM_UP);
    connections(CONNECTIONS / 10);
    let before = settled(&world);
    let (before_rules, before_memory) = (rules(&client), memory(&world));

    cycle(CYCLES);
    connections(CONNECTIONS);

    let back = wait_until("descriptors and threads to be back", SETTLE, || {
        no_more_than(&before, &holdings(&world))
    });
    assert!(back.is_ok(), "{before:?} became {:?}", holdings(&world));
    assert_eq!(rules(&client), before_rules);
    let limit = before_memory + before_memory / 10;
    let settled = wait_until("memory to be back", SETTLE, || memory(&world) <= limit);
    assert!(
        settled.is_ok(),
        "{before_memory} KiB became {} KiB",
        memory(&world)
    );
}
