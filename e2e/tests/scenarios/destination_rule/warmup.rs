//! An endpoint that joins others begins with little.

use ambit_e2e::scripted::Scripted;

use super::{apply, await_endpoints, endpoints, rule};
use crate::fronted::Fronted;

const PODS: [&str; 3] = ["one", "two", "three"];

#[test]
fn an_endpoint_that_joins_warms_up() {
    let fronted = Fronted::start(&PODS);
    let servers = PODS.map(|name| Scripted::saying(&fronted.pod(name), 8080, name).unwrap());
    let text = |warms: &str| {
        rule(&format!(
            "  host: server\n  trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN{warms}}}}}\n"
        ))
    };
    let warms = text(", warmup: {duration: 300s}");
    let two = endpoints(&fronted, &PODS[..2]);
    apply(&fronted, &format!("{two}{warms}"), |traffic| {
        !traffic["whole"]["any"]["warm_up"].is_null()
    });
    await_endpoints(&fronted, 2);
    assert_eq!(fronted.get("/first", "").status, 200);
    let three = endpoints(&fronted, &PODS);
    apply(&fronted, &format!("{three}{warms}"), |_| true);
    await_endpoints(&fronted, 3);
    let share = |path: &str| {
        let url = format!("http://server{path}");
        let report = fronted.run("h2load", &["--h1", "-n2000", "-c4", "-t1", &url]);
        assert!(report.contains("2000 2xx"), "{report}");
        servers[2].heard_at(path).len()
    };
    // A tenth of a share, beside two whole ones, is 95 of them; some seconds make little more of it.
    let cold = share("/cold");
    assert!((40..250).contains(&cold), "{cold}");
    // Without warming up it gets its third.
    apply(&fronted, &format!("{three}{}", text("")), |traffic| {
        traffic["whole"]["any"]["warm_up"].is_null()
    });
    let warm = share("/warm");
    assert!((600..734).contains(&warm), "{warm}");
}
