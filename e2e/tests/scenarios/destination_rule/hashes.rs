//! Requests that belong together go to one endpoint: by a parameter of the query, by the client's
//! address, and by a ring of a size of its own; and the algorithms that keep to nothing.

use ambit_e2e::keepalive::Connection;
use ambit_e2e::scripted::Scripted;

use super::{apply, await_endpoints, endpoints, rule};
use crate::fronted::Fronted;

const PODS: [&str; 3] = ["one", "two", "three"];

#[test]
fn requests_that_belong_together_go_to_one_endpoint() {
    let fronted = Fronted::start(&PODS);
    let servers = PODS.map(|name| Scripted::saying(&fronted.pod(name), 8080, name).unwrap());
    let balanced = |policy: &str, known: &str| {
        let text = rule(&format!(
            "  host: server\n  trafficPolicy: {{loadBalancer: {policy}}}\n"
        ));
        let slice = endpoints(&fronted, &PODS);
        apply(&fronted, &format!("{slice}{text}"), |traffic| {
            traffic["whole"]["any"]["balancing"]
                .to_string()
                .contains(known)
        });
        await_endpoints(&fronted, 3);
    };
    let shares = |path: &str| servers.each_ref().map(|server| server.heard_at(path).len());

    // The size of a ring, as rules say it now and as older ones do.
    for (ring, size) in [
        ("ringHash: {minimumRingSize: 2048}", "2048"),
        ("minimumRingSize: 512", "512"),
    ] {
        let by_query = format!("{{consistentHash: {{httpQueryParameterName: cart, {ring}}}}}");
        balanced(&by_query, size);
        let mut seen = std::collections::BTreeSet::new();
        for cart in 0..12 {
            let path = format!("/cart?cart={cart}&other={cart}");
            let first = fronted.get(&path, "").body;
            for other in 0..4 {
                let path = format!("/cart?x={other}&cart={cart}");
                assert_eq!(fronted.get(&path, "").body, first, "{path}");
            }
            seen.insert(first);
        }
        assert!(seen.len() > 1, "{seen:?}");
    }

    balanced("{consistentHash: {useSourceIp: true}}", "Source");
    for client in ["client", "one", "two", "three"] {
        let path = format!("/from-{client}");
        for _ in 0..6 {
            let pod = fronted.pod(client);
            let mut connection = Connection::open(pod.namespace(), fronted.at(80)).unwrap();
            assert_eq!(connection.get(&path, "").unwrap().status, 200);
        }
        let mut shares = shares(&path);
        shares.sort_unstable();
        assert_eq!(shares, [0, 0, 6], "{client}");
    }

    balanced("{simple: RANDOM}", "Random");
    let args = ["--h1", "-n3000", "-c8", "-t1", "http://server/random"];
    assert!(fronted.run("h2load", &args).contains("3000 2xx"));
    // 5.4 times the deviation of one in three.
    for share in shares("/random") {
        assert!((860..1140).contains(&share), "{:?}", shares("/random"));
    }
    balanced("{simple: PASSTHROUGH}", "LeastRequest");
    assert_eq!(fronted.get("/passes", "").status, 200);
}
