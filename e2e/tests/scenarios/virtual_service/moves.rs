//! Routes that lead elsewhere, under load: to services that the waypoint had nothing to do with, and to subsets that are
//! defined at the same time.

use ambit_e2e::scripted::Scripted;

use crate::fronted::{Fronted, rule, virtual_service};
use crate::requests::{Plan, Requests, Use};

const LOAD: Plan = Plan {
    clients: &[(Use::Kept, 6), (Use::Once, 6)],
    rate: 600,
    path: "/",
};
const BACKENDS: [&str; 5] = ["one", "two", "three", "four", "five"];
/// Requests that each route is there for.
const STRETCH: u64 = 60;

/// Requests go to a subset of this backend, which no rule has named before.
fn routed(round: usize, backend: &str) -> String {
    let to = format!("route: [{{destination: {{host: {backend}, subset: of-{round}}}}}]");
    let routes = virtual_service(
        "server",
        "server",
        &rule(&format!("round-{round}"), "/", &to),
    );
    let subsets = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {backend}, namespace: shop}}\nspec:\n  host: {backend}\n  \
         subsets: [{{name: of-{round}, labels: {{app: {backend}}}}}]\n"
    );
    [routes, subsets].concat()
}

#[test]
fn a_route_that_moves_fails_no_request() {
    let fronted = Fronted::start(&BACKENDS);
    let pods = BACKENDS.map(|name| (name, fronted.pod(name)));
    let _servers = pods.map(|(name, pod)| Scripted::saying(&pod, 8080, name).unwrap());
    let move_to = |round: usize, backend: &str| {
        let rule = format!("VirtualService/shop/server/round-{round}");
        fronted.route(&routed(round, backend), &rule);
        assert_eq!(fronted.get("/", "").body, backend);
    };
    move_to(0, BACKENDS[0]);
    let requests = Requests::start(&fronted.pod("client"), fronted.at(80), LOAD);
    // The last ones are known from before, and what led there is no more.
    for round in 1..=8 {
        requests.go_on_for(STRETCH);
        move_to(round, BACKENDS[round % BACKENDS.len()]);
    }
    requests.go_on_for(STRETCH);
    let (count, failed) = requests.stop();
    assert!(failed.is_empty(), "of {count} requests: {failed:#?}");
}
