//! Waypoints and servers come and go under load, and clients notice nothing; and what they do
//! notice where a waypoint is killed. No route is there, so nothing is retried but what no endpoint
//! took: the servers count that each request arrived once.

use std::env;
use std::time::{Duration, Instant};

use ambit_e2e::capture::{Capture, Packet};
use ambit_e2e::clients::get;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Waypoint;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;
use nix::sys::signal::Signal;

use crate::replicas::{Replica, Replicas, SERVERS, Stands, WAYPOINTS};
use crate::requests::{Failed, Plan, Requests, Use};
use crate::support::{SOON, assert_refused};

/// Requests that go by while everything is restarted, if `SCENARIO_REQUESTS` does not say otherwise.
const REQUESTS: u64 = 20_000;
/// Requests between two changes.
const BETWEEN: u64 = 500;

const LOAD: Plan = Plan {
    clients: &[(Use::Kept, 20), (Use::Once, 4), (Use::Http2, 6)],
    rate: 900,
    path: "/",
};

/// Requests that a waypoint has written down.
fn served(waypoint: &Waypoint) -> usize {
    waypoint.access_log().len() + waypoint.log().matches("upstream=").count()
}

/// Waits until clients use a waypoint.
fn await_used(waypoint: &Waypoint) {
    let before = served(waypoint);
    wait_until("clients to use a waypoint", SPREAD, || {
        served(waypoint) > before
    })
    .unwrap();
}

/// What Kubernetes does when a pod of a waypoint is replaced: it is deleted and asked to end at the
/// same moment, and another one becomes ready in time.
fn restart(replicas: &mut Replicas, pod: &'static str, waypoint: Waypoint) -> Waypoint {
    replicas.set(pod, Stands::Terminating);
    waypoint.terminate().unwrap();
    replicas.set(pod, Stands::Gone);
    let next = replicas.waypoint(pod);
    await_used(&next);
    next
}

/// A server pod is replaced by another: the new one is there before the old one goes.
fn replace(
    replicas: &mut Replicas,
    old: (&'static str, Replica),
    new: &'static str,
) -> (Replica, u64) {
    let server = replicas.server(new);
    replicas.set(new, Stands::Ready);
    wait_until("the new server to be used", SPREAD, || server.served() > 0).unwrap();
    replicas.set(old.0, Stands::Terminating);
    let served = old.1.leave();
    replicas.set(old.0, Stands::Gone);
    (server, served)
}

/// Panics with what the waypoints say of the requests that were not answered well, if there are
/// some. The logs of waypoints that have ended are looked at too.
fn assert_none(failed: &[Failed], of: u64, replicas: &Replicas) {
    let Some(first) = failed.first() else { return };
    let lines = WAYPOINTS.iter().flat_map(|name| replicas.log_of(name));
    let bad = lines.filter(|line| !line.contains("\"status\":200"));
    let bad: Vec<_> = bad.collect();
    let shown = failed.iter().take(20).collect::<Vec<_>>();
    panic!(
        "{} of {of} requests failed, the first {first:?}: {shown:#?}\n{}",
        failed.len(),
        bad.join("\n")
    );
}

#[test]
#[expect(clippy::print_stdout, reason = "how many is what a long run is for")]
fn nothing_fails_while_waypoints_and_servers_come_and_go() {
    let requests = env::var("SCENARIO_REQUESTS").ok();
    let wanted = requests.map_or(REQUESTS, |text| text.parse().unwrap());
    let mut replicas = Replicas::start();
    for name in &SERVERS[2..] {
        replicas.set(name, Stands::NotReady);
    }
    let (mut first, second) = (replicas.server(SERVERS[0]), replicas.server(SERVERS[1]));
    let mut one = replicas.waypoint(WAYPOINTS[0]);
    let mut two = replicas.waypoint(WAYPOINTS[1]);
    replicas.await_served();
    let before = first.served() + second.served();
    let load = Requests::start(&replicas.client(), replicas.at(), LOAD);
    load.go_on_for(BETWEEN);
    let mut gone = 0;
    let began = Instant::now();
    loop {
        one = restart(&mut replicas, WAYPOINTS[0], one);
        two = restart(&mut replicas, WAYPOINTS[1], two);
        load.go_on_for(BETWEEN);
        // Scaled up by one, and down again.
        let three = replicas.waypoint(WAYPOINTS[2]);
        await_used(&three);
        replicas.set(WAYPOINTS[2], Stands::Terminating);
        three.terminate().unwrap();
        replicas.set(WAYPOINTS[2], Stands::Gone);
        for (old, new) in [(SERVERS[0], SERVERS[2]), (SERVERS[2], SERVERS[0])] {
            let (server, served) = replace(&mut replicas, (old, first), new);
            first = server;
            gone += served;
            load.go_on_for(BETWEEN);
        }
        if load.count() >= wanted {
            break;
        }
    }
    let took = began.elapsed();
    let (count, failed) = load.stop();
    assert_none(&failed, count, &replicas);
    let rate = count / took.as_secs().max(1);
    println!("{count} requests, {rate}/s, 0 failed");
    let arrived = gone + first.served() + second.served() - before;
    assert_eq!(arrived, count, "a request arrived twice");
}

/// So many at once that no budget of retries would do.
const BURSTS: Plan = Plan {
    clients: &[(Use::Once, 60)],
    rate: 600,
    path: "/slow",
};

#[test]
fn what_an_endpoint_did_not_take_goes_to_another_however_many_requests_there_are() {
    let mut replicas = Replicas::start();
    let _server = replicas.server(SERVERS[0]);
    // Ready, they say; and nothing listens there.
    replicas.set(SERVERS[1], Stands::Ready);
    replicas.set(SERVERS[2], Stands::NotReady);
    let _waypoint = replicas.waypoint(WAYPOINTS[0]);
    replicas.await_served();
    let load = Requests::start(&replicas.client(), replicas.at(), BURSTS);
    load.go_on_for(600);
    let (count, failed) = load.stop();
    assert_none(&failed, count, &replicas);
    let tried_again = replicas.log_of(WAYPOINTS[0]);
    let tried_again = tried_again
        .iter()
        .filter(|line| line.contains("\"tries\":2"));
    assert!(tried_again.count() > 50, "nothing was refused anywhere");
}

/// Many in flight at any moment, on every kind of connection.
const SLOW: Plan = Plan {
    clients: &[(Use::Kept, 12), (Use::Once, 6), (Use::Http2, 6)],
    rate: 60,
    path: "/slow",
};

#[test]
fn where_one_waypoint_is_killed_only_requests_in_flight_fail_and_each_has_a_reason() {
    let mut replicas = Replicas::start();
    let _server = replicas.server(SERVERS[0]);
    for name in &SERVERS[1..] {
        replicas.set(name, Stands::NotReady);
    }
    let one = replicas.waypoint(WAYPOINTS[0]);
    let two = replicas.waypoint(WAYPOINTS[1]);
    replicas.await_served();
    let load = Requests::start(&replicas.client(), replicas.at(), SLOW);
    await_used(&one);
    await_used(&two);
    load.go_on_for(100);
    assert_none(&load.failed(), load.count(), &replicas);

    two.program.signal(Signal::SIGKILL).unwrap();
    let killed = Instant::now();
    load.go_on_for(200);
    let (count, failed) = load.stop();
    assert!(
        !failed.is_empty(),
        "none of {count} was in flight at the waypoint that was killed"
    );
    for failed in &failed {
        // Sent before, and told at once.
        let late = failed.began > killed + Duration::from_millis(200);
        let long = failed.began + failed.took > killed + Duration::from_secs(5);
        assert!(
            !late && !long,
            "{failed:?}, {:?} after",
            failed.began - killed
        );
    }
    let lines = replicas.world.mesh.agent(1).unwrap().pages().access_log();
    let broken = lines
        .iter()
        .filter(|line| !line.text("error").is_empty())
        .count();
    assert!(
        broken >= failed.len(),
        "{} requests failed, and the client's agent has {broken} lines that say why: {failed:#?}",
        failed.len()
    );
    drop((one, two));
}

#[test]
fn where_all_waypoints_are_killed_calls_are_refused_and_none_goes_around() {
    let mut replicas = Replicas::start();
    let servers = SERVERS.map(|name| replicas.server(name));
    let served = || servers.iter().map(Replica::served).sum::<u64>();
    let waypoints = [WAYPOINTS[0], WAYPOINTS[1]].map(|name| replicas.waypoint(name));
    let (client, at) = (replicas.client(), replicas.at());
    let call = || get(client.namespace(), at, "/").is_ok_and(|answer| answer.status == 200);
    replicas.await_served();
    assert!(call(), "the control of what follows");
    let wan = replicas.world.lab.wan();
    let capture = Capture::start(wan, "node1", replicas.world.lab.dir(), "killed").unwrap();

    for waypoint in &waypoints {
        waypoint.program.signal(Signal::SIGKILL).unwrap();
    }
    let before = served();
    wait_until("calls to be refused", SOON, || !call()).unwrap();
    for _ in 0..20 {
        assert!(!call(), "a way around the waypoint");
    }
    assert_refused(&replicas.world, 1, "connect_refused");
    for name in [WAYPOINTS[0], WAYPOINTS[1]] {
        replicas.set(name, Stands::NotReady);
    }
    let agent = replicas.world.mesh.agent(1).unwrap();
    let refused = || {
        assert!(!call(), "a way around the waypoint");
        let log = agent.pages().access_log();
        log.iter().any(|line| line.reason() == "no_waypoint")
    };
    wait_until("the waypoint to have no endpoint", SPREAD, refused).unwrap();
    assert_eq!(served(), before, "a server was called");
    let pods = SERVERS.map(|name| replicas.world.pod(name).unwrap().ip(Family::V4));
    let captured = capture.stop().unwrap();
    let around = |packet: &&Packet| {
        packet.source.ip() == client.ip(Family::V4) && pods.contains(&packet.destination.ip())
    };
    assert_eq!(captured.packets().iter().filter(around).count(), 0);
}
