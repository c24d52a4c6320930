//! An endpoint that joins others begins with little.

use ambit_e2e::scripted::Scripted;

use super::{apply, await_endpoints, endpoints, rule};
use crate::fronted::Fronted;

#[test]
fn an_endpoint_that_joins_warms_up() {
    let fronted = Fronted::start(&["joins"]);
    let _first = Scripted::saying(&fronted.pod("server"), 8080, "server").unwrap();
    let joins = Scripted::saying(&fronted.pod("joins"), 8080, "joins").unwrap();
    let text = |warms: &str| {
        rule(&format!(
            "  host: server\n  trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN{warms}}}}}\n"
        ))
    };
    let warms = text(", warmup: {duration: 300s}");
    apply(&fronted, &warms, |traffic| {
        !traffic["whole"]["any"]["warm_up"].is_null()
    });
    assert_eq!(fronted.get("/first", "").body, "server");
    let both = endpoints(&fronted, &["server", "joins"]);
    apply(&fronted, &format!("{both}{warms}"), |_| true);
    await_endpoints(&fronted, 2);
    let share = |path: &str| {
        let url = format!("http://server{path}");
        let report = fronted.run("h2load", &["--h1", "-n2000", "-c4", "-t1", &url]);
        assert!(report.contains("2000 2xx"), "{report}");
        joins.heard_at(path).len()
    };
    // A tenth of a share beside a whole one is 182 of them; some seconds make little more of it.
    let cold = share("/cold");
    assert!((110..400).contains(&cold), "{cold}");
    // Without warming up it gets its half.
    apply(&fronted, &format!("{both}{}", text("")), |traffic| {
        traffic["whole"]["any"]["warm_up"].is_null()
    });
    assert_eq!(share("/warm"), 1000);

    // It goes and joins again, and older rules have another name for it.
    let one = endpoints(&fronted, &["server"]);
    let warms = text(", warmupDurationSecs: 300s");
    apply(&fronted, &format!("{one}{warms}"), |traffic| {
        !traffic["whole"]["any"]["warm_up"].is_null()
    });
    await_endpoints(&fronted, 1);
    apply(&fronted, &format!("{both}{warms}"), |_| true);
    await_endpoints(&fronted, 2);
    let cold = share("/cold/again");
    assert!((110..400).contains(&cold), "{cold}");
}
