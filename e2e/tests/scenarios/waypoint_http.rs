//! Requests through a real waypoint to real servers.

use ambit_e2e::clients::get;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, Waypoint};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::world::{HTTP, World};

/// A client and a server that are captured, the server's service bound to a waypoint that runs.
fn world() -> (World, Waypoint) {
    let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
    let options = Options {
        waypoints: vec!["waypoint".to_owned()],
        bound: vec!["server".to_owned()],
        ..Options::default()
    };
    let world = World::fronted(&pods, &options, &[]).unwrap();
    let waypoint = world.waypoint("waypoint", &[]).unwrap();
    (world, waypoint)
}

#[test]
fn a_request_goes_through_the_waypoint() {
    let (world, waypoint) = world();
    let server = world.pod("server").unwrap();
    let _server = Server::start(&server, HTTP.1, servers::http).unwrap();
    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let client = world.pod("client").unwrap();
    let answer = get(client.namespace(), at, "/hello").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", waypoint.log());
    let address = world.pod("waypoint").unwrap().ip(Family::V4);
    assert_eq!(
        answer.body,
        address.to_string(),
        "it is the waypoint that calls"
    );
}
