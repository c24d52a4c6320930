//! What a waypoint tells of its traffic: after so many requests of these kinds its series and its
//! access log say exactly that, and a real Prometheus draws what published dashboards ask for.
//!
//! Labels are given as words, `reporter=destination response_code=200`.

mod connections;
mod prometheus;
mod requests;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use ambit_e2e::clients::connect;
use ambit_e2e::lab::address::Family;
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::mesh::{Options, Waypoint, sum_of};
use ambit_e2e::programs;
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{HTTP, NAMESPACE, SPREAD, WAYPOINT, World, uid};
use ambit_e2e::yaml;
use serde_json::Value;

use crate::support::SOON;

const REQUESTS: &str = "istio_requests_total";
/// Where `empty` is, a service without endpoints.
const EMPTY: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 250), HTTP.0);
/// The page of an application, for Prometheus.
const OWN_PAGE: &str = "application_up 1\n";

/// Pods of these names, by turns on both nodes, all captured but the waypoint and `outsider`. The
/// services of `server`, `greeter` and `outsider` are bound, and so is one without endpoints.
fn world(names: &[&str], arguments: &[&str]) -> (World, Waypoint) {
    let nodes = [1, 2].into_iter().cycle();
    let pods: Vec<(&str, u8)> = names.iter().copied().zip(nodes).collect();
    let bound = yaml::bound_to(WAYPOINT);
    let empty = yaml::service(NAMESPACE, "empty", &bound, &[EMPTY.0.into()], &[HTTP]);
    let servers = ["server", "greeter", "outsider"];
    let options = Options {
        waypoints: vec!["waypoint".to_owned()],
        bound: servers.map(str::to_owned).to_vec(),
        objects: vec![("empty".to_owned(), empty)],
        ..Options::default()
    };
    let world = World::prepare(&pods, &options).unwrap();
    let in_mesh = || names.iter().filter(|name| **name != "outsider");
    for name in in_mesh().filter(|name| **name != "waypoint") {
        world.enrol(name).unwrap();
    }
    for name in in_mesh() {
        let advertised = world.mesh.await_advertised(&uid(name), true, SPREAD);
        advertised.unwrap();
    }
    for name in servers.iter().filter(|name| names.contains(name)) {
        world.await_bound(name, true).unwrap();
    }
    world.await_bound("empty", true).unwrap();
    let waypoint = world.waypoint("waypoint", arguments).unwrap();
    (world, waypoint)
}

/// nginx in the pod of that name, with an answer of each kind.
fn nginx(world: &World, name: &str, listen: &str) -> Program {
    let dir = world.dir(name);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("slow"), vec![b'x'; 400_000]).unwrap();
    fs::write(dir.join("metrics"), OWN_PAGE).unwrap();
    fs::write(dir.join("Greet"), b"\0\0\0\0\x03one\0\0\0\0\x03two").unwrap();
    let servers = format!(
        "server {{ listen 8080 {listen}; root {};\n\
         location /hello {{ return 200 hello; }}\n\
         location /broken {{ return 502 broken; }}\n\
         location /headers {{ return 200 \"$http_x_request_id $http_traceparent $http_b3\"; }}\n\
         location /slow {{ limit_rate 1000; }}\n\
         location /Greet {{ default_type application/grpc; add_trailer grpc-status 0;\n\
         error_page 405 =200 $uri; }} }}",
        dir.display()
    );
    programs::nginx(&world.pod(name).unwrap(), &dir, &servers, HTTP.1).unwrap()
}

/// Where a service is.
fn at(world: &World, service: &str, port: u16) -> SocketAddr {
    world.service(service, Family::V4, port).unwrap()
}

/// Sends the beginning of something.
fn send(from: &Pod, to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(from.namespace(), to).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// The sum of all series of a metric with these labels.
fn sum(page: &str, name: &str, labels: &str) -> f64 {
    let labels: Vec<String> = labels
        .split_whitespace()
        .filter_map(|label| label.split_once('='))
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    sum_of(page, name, &labels)
}

/// Waits until the sum of these series is exactly this.
fn await_sum(waypoint: &Waypoint, name: &str, labels: &str, expected: f64) {
    let mut seen = 0.0;
    let reached = wait_until(&format!("{name} {labels} to be {expected}"), SOON, || {
        seen = sum(&waypoint.metrics().unwrap(), name, labels);
        (seen - expected).abs() < 1e-9
    });
    reached.unwrap_or_else(|error| {
        let (lines, log) = (waypoint.access_log(), waypoint.log());
        panic!("{error:#}: it is {seen}\n{lines:#?}\n{log}")
    });
}

/// Changes the objects of the pods and their services.
fn change(world: &World, change: impl FnOnce(String) -> String) {
    let configuration = &world.mesh.configuration;
    let text = fs::read_to_string(configuration.dir().join("pods.yaml")).unwrap();
    configuration.apply("pods", &change(text)).unwrap();
}

/// Fails unless a line has all of these fields.
fn assert_has(line: &Value, fields: &Value) {
    assert!(has(line, fields), "{line:#} is not\n{fields:#}");
}

/// Waits for a line of the access log with all of these fields.
fn await_line(waypoint: &Waypoint, fields: &Value) -> Value {
    let found = wait_for(&format!("a line with {fields}"), SOON, || {
        let mut lines = waypoint.access_log().into_iter();
        lines.find(|line| has(line, fields))
    });
    found.unwrap_or_else(|error| panic!("{error:#} in {:#?}", waypoint.access_log()))
}

fn has(line: &Value, fields: &Value) -> bool {
    let mut fields = fields.as_object().into_iter().flatten();
    fields.all(|(name, value)| line[name] == *value)
}
