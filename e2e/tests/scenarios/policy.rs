//! How fast a changed policy holds, for new connections and for open ones.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::address::Family;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, World};
use ambit_e2e::yaml;

use crate::support::{SOON, assert_refused};

const BITE: Duration = Duration::from_secs(1);

#[test]
fn a_policy_cuts_open_connections_and_refuses_new_ones_within_a_second() {
    let world = World::start(&[("client", 1), ("server", 2), ("other", 1)]).unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let open = |name: &str| {
        let mut stream = connect(world.pod(name).unwrap().namespace(), at).unwrap();
        stream.write_all(b"open").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        stream
    };
    let (mut cut, mut kept) = (open("client"), open("other"));
    let rule = yaml::from_principal(NAMESPACE, "client");
    let deny = yaml::authorization_policy(NAMESPACE, "deny", "server", "DENY", &rule);
    let applied = Instant::now();
    world.mesh.configuration.apply("deny", &deny).unwrap();
    // Blocks until the mesh ends the connection.
    assert!(cut.read(&mut [0]).is_err(), "an end instead of a reset");
    assert!(
        applied.elapsed() < BITE,
        "an open connection lived for {:?}",
        applied.elapsed()
    );
    let client = world.pod("client").unwrap();
    assert!(!exchange(client.namespace(), at, b"new").is_ok_and(|got| got == b"new"));
    assert!(
        applied.elapsed() < BITE,
        "a new connection passed for {:?}",
        applied.elapsed()
    );
    assert_refused(&world, 2, "policy_changed");

    kept.write_all(b"still").unwrap();
    kept.read_exact(&mut [0; 5]).unwrap();
    world.mesh.configuration.remove("deny").unwrap();
    let passes = || exchange(client.namespace(), at, b"new").is_ok_and(|got| got == b"new");
    wait_until("the policy to be lifted", SOON, passes).unwrap();
}

#[test]
fn a_dry_run_policy_refuses_nothing_and_is_counted() {
    let world = World::start(&[("client", 1), ("server", 2)]).unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let rule = yaml::from_principal(NAMESPACE, "client");
    let deny = yaml::authorization_policy(NAMESPACE, "rehearsed", "server", "DENY", &rule);
    let rehearsed = deny.replace(
        "  namespace: shop\n",
        "  namespace: shop\n  annotations:\n    istio.io/dry-run: \"true\"\n",
    );
    world
        .mesh
        .configuration
        .apply("rehearsed", &rehearsed)
        .unwrap();
    let client = world.pod("client").unwrap();
    let pages = world.mesh.agent(2).unwrap().pages();
    let counted = || {
        assert_eq!(exchange(client.namespace(), at, b"x").unwrap(), b"x");
        pages.metric("ambit_policy_dry_run_total", &[]).unwrap() > 0.0
    };
    wait_until("the dry run to be counted", SOON, counted).unwrap();
}
