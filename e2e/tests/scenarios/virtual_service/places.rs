//! Destinations of requests and of their copies: ports and subsets of a service.

use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;

use super::{is_near, virtual_service};
use crate::destination_rule::{apply, await_endpoints, endpoints, rule};
use crate::fronted::Fronted;
use crate::support::SOON;

const PODS: [&str; 2] = ["one", "two"];

const RULES: &str = "
  hosts: [server]
  http:
    - match: [{uri: {prefix: /port}}]
      route: [{destination: {host: one, port: {number: 9000}}}]
    - match: [{uri: {prefix: /mirror/port}}]
      route: [{destination: {host: one, port: {number: 80}}}]
      mirror: {host: one, port: {number: 9000}}
    - match: [{uri: {prefix: /mirror/subset}}]
      route: [{destination: {host: one, port: {number: 80}}}]
      mirror: {host: server, subset: second, port: {number: 80}}
    - match: [{uri: {prefix: /mirrors}}]
      route: [{destination: {host: one, port: {number: 80}}}]
      mirrors:
        - {destination: {host: two, port: {number: 9000}}}
        - {destination: {host: server, subset: second, port: {number: 80}}, percentage: {value: 100}}
    - match: [{uri: {prefix: /part/one}}]
      route: [{destination: {host: one, port: {number: 80}}}]
      mirror: {host: two, port: {number: 80}}
      mirrorPercent: 30
    - match: [{uri: {prefix: /part/two}}]
      route: [{destination: {host: one, port: {number: 80}}}]
      mirror: {host: two, port: {number: 80}}
      mirror_percent: 30
";

/// A part of the service.
const SUBSETS: &str = "  host: server\n  subsets: [{name: second, labels: {app: two}}]\n";

#[test]
fn requests_and_copies_go_to_ports_and_subsets() {
    let fronted = Fronted::start(&PODS);
    let [one, two] = PODS.map(|name| Scripted::saying(&fronted.pod(name), 8080, name).unwrap());
    let [one_beside, two_beside] =
        PODS.map(|name| Scripted::saying(&fronted.pod(name), 9000, "beside").unwrap());
    let objects = endpoints(&fronted, &PODS) + &rule(SUBSETS);
    apply(&fronted, &objects, |traffic| {
        traffic["subsets"]["second"]["labels"]["app"] == "two"
    });
    await_endpoints(&fronted, 2);
    let text = virtual_service("places", RULES);
    fronted.route(&text, "VirtualService/shop/places/5");

    assert_eq!(fronted.get("/port", "").body, "beside");
    assert_eq!(one_beside.heard_at("/port").len(), 1);
    for path in ["/mirror/port", "/mirror/subset", "/mirrors"] {
        for _ in 0..20 {
            assert_eq!(fronted.get(path, "").body, "one", "{path}");
        }
    }
    // At whom, and how many; the pod that is not of the subset has had the requests alone.
    for (server, path, count) in [
        (&one_beside, "/mirror/port", 20),
        (&two, "/mirror/subset", 20),
        (&two, "/mirrors", 20),
        (&two_beside, "/mirrors", 20),
    ] {
        let copies = || server.heard_at(path).len();
        let came = wait_until("the copies", SOON, || copies() == count);
        came.unwrap_or_else(|error| panic!("{error:#}: {} of {path}", copies()));
        assert_eq!(one.heard_at(path).len(), 20, "{path}");
    }

    // As older objects say how many are copied.
    for path in ["/part/one", "/part/two"] {
        let url = format!("http://server{path}");
        let args = ["--h1", "-n1000", "-c4", "-t1", &url];
        assert!(fronted.run("h2load", &args).contains("1000 2xx"));
        let copies = || two.heard_at(path).len();
        let near = wait_until("a share of copies", SOON, || is_near(copies(), 1000, 0.3));
        near.unwrap_or_else(|error| panic!("{error:#}: {} of {path}", copies()));
    }
}
