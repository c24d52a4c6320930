//! Errors that are made on purpose, as contract line M31 has them.

use std::time::{Duration, Instant};

use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::{assert_near, virtual_service};
use crate::fronted::Fronted;

const RULES: &str = "
  hosts: [server]
  http:
    - match: [{uri: {prefix: /abort}}]
      fault:
        abort:
          httpStatus: 418
          percentage: {value: 10}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /delay}}]
      fault:
        delay:
          fixedDelay: 0.05s
          percentage: {value: 25}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /both}}]
      timeout: 1s
      fault:
        delay: {fixedDelay: 2s, percentage: {value: 100}}
        abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /late}}]
      timeout: 1s
      fault: {delay: {fixedDelay: 1500ms, percentage: {value: 100}}}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /older/abort}}]
      fault: {abort: {httpStatus: 418, percent: 30}}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /older/delay}}]
      fault: {delay: {fixedDelay: 0.05s, percent: 100}}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /wrong/abort}}]
      fault: {abort: {http2Error: PROTOCOL_ERROR, percentage: {value: 100}}}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /wrong/delay}}]
      fault: {delay: {exponentialDelay: 1s, percentage: {value: 100}}}
      route: [{destination: {host: one}}]
    - route: [{destination: {host: one}}]
";

#[test]
fn a_share_of_requests_waits_or_is_aborted_on_purpose_and_the_log_says_so() {
    let fronted = Fronted::start(&["one"]);
    let one = Scripted::saying(&fronted.pod("one"), 8080, "one").unwrap();
    let text = virtual_service("faults", RULES);
    fronted.route(&text, "VirtualService/shop/faults/0");

    let args = ["--h1", "-n4000", "-c8", "-t1", "http://server/abort"];
    let report = fronted.run("h2load", &args);
    let reached = one.heard_at("/abort").len();
    assert_near(4000 - reached, 4000, 0.1);
    assert!(report.contains(&format!("{reached} 2xx")), "{report}");
    let flagged = |path: &str, flags: &str| {
        let lines = fronted.waypoint.access_log().into_iter();
        let found = lines.filter(|line| line["path"] == path && line["response_flags"] == flags);
        found.count()
    };
    let all = wait_until("all lines", SPREAD, || {
        flagged("/abort", "FI") == 4000 - reached
    });
    all.unwrap_or_else(|error| panic!("{} lines: {error:#}", flagged("/abort", "FI")));

    let args = ["--h1", "-n2000", "-c16", "-t1", "http://server/delay"];
    let report = fronted.run("h2load", &args);
    assert!(report.contains("2000 2xx"), "{report}");
    assert_eq!(one.heard_at("/delay").len(), 2000);
    let counted = || flagged("/delay", "DI") + flagged("/delay", "-");
    wait_until("all lines", SPREAD, || counted() == 2000).unwrap();
    assert_near(flagged("/delay", "DI"), 2000, 0.25);

    // First it waits, and then it is aborted; the rule's time begins after that.
    let took = |path: &str| {
        let began = Instant::now();
        (fronted.get(path, ""), began.elapsed())
    };
    let (answer, after) = took("/both");
    assert_eq!(answer.status, 503);
    assert!(after >= Duration::from_secs(2), "{after:?}");
    let line = fronted.logged("/both");
    let fields = ["response_flags", "reason", "route"].map(|name| line.field(name));
    assert_eq!(
        fields,
        ["DI,FI", "fault_injected", "VirtualService/shop/faults/2"]
    );
    assert!(one.heard_at("/both").is_empty());
    let (answer, after) = took("/late");
    assert_eq!(answer.status, 200);
    assert!(after >= Duration::from_millis(1500), "{after:?}");
    assert_eq!(fronted.logged("/late").field("response_flags"), "DI");

    // As older objects say how many.
    let args = ["--h1", "-n1000", "-c8", "-t1", "http://server/older/abort"];
    fronted.run("h2load", &args);
    let reached = one.heard_at("/older/abort").len();
    assert_near(1000 - reached, 1000, 0.3);
    assert_eq!(fronted.get("/older/delay", "").status, 200);
    assert_eq!(fronted.logged("/older/delay").field("response_flags"), "DI");

    // What cannot be made is not left out.
    for path in ["/wrong/abort", "/wrong/delay"] {
        assert_eq!(fronted.get(path, "").status, 500, "{path}");
        assert!(one.heard_at(path).is_empty());
    }

    let metrics = fronted.waypoint.metrics().unwrap();
    let injected = metrics.lines().any(|line| {
        line.starts_with("istio_requests_total") && line.contains("response_flags=\"FI\"")
    });
    assert!(injected, "{metrics}");
}
