//! Istio's DestinationRule, written as its users write it and seen through a real waypoint.

mod balancing;
mod connections;
mod ejections;
mod hashes;
mod lifetimes;
mod localities;
mod outliers;
mod overflow;
mod refusing;
mod retries;
mod scopes;
mod servers;
mod warmup;

use ambit_e2e::mesh::sum_of;
use ambit_e2e::team;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use crate::fronted::Fronted;

/// What the series of the service are known by.
const CLUSTER: &str = "cluster_name=\"outbound|80||server.shop.svc.cluster.local\"";

/// The team's rule (contract lines M9 to M11) as it stands there, but for the service's name and
/// namespace.
fn contract() -> String {
    let object = team::object(team::DESTINATION_RULES, "payment-service");
    let object = object.replace("payment-service", "server");
    format!(
        "---\n{}",
        object.replace("\nmetadata:\n", "\nmetadata:\n  namespace: shop\n")
    )
}

/// A DestinationRule of namespace `shop`, with a spec given as YAML.
pub(crate) fn rule(spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1beta1\nkind: DestinationRule\n\
         metadata: {{name: server, namespace: shop}}\nspec:\n{spec}"
    )
}

/// That these pods are the endpoints of the service.
pub(crate) fn endpoints(fronted: &Fronted, pods: &[&str]) -> String {
    let each = pods.iter().map(|name| {
        let address = fronted.pod(name).v4;
        format!(
            "  - addresses: [{address}]\n    conditions: {{ready: true}}\n    \
             targetRef: {{kind: Pod, name: {name}, namespace: shop}}\n"
        )
    });
    let each: String = each.collect();
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: server-1, \
         namespace: shop, labels: {{kubernetes.io/service-name: server}}}}\naddressType: IPv4\n\
         endpoints:\n{each}ports: [{{name: p80, port: 8080}}]\n"
    )
}

/// Writes objects, and waits until the waypoint has what they say of the service.
pub(crate) fn apply(fronted: &Fronted, text: &str, is_known: impl Fn(&serde_json::Value) -> bool) {
    fronted
        .world
        .mesh
        .configuration
        .apply("rules", text)
        .unwrap();
    let known = || {
        let dump = fronted.waypoint.config_dump().unwrap_or_default();
        let services = dump["services"].as_array().cloned().unwrap_or_default();
        let mut of_name = services.iter().filter(|one| one["short_name"] == "server");
        of_name
            .next()
            .is_some_and(|service| is_known(&service["traffic"]))
    };
    wait_until("the waypoint to know of the rule", SPREAD, known).unwrap();
}

/// The value of a series of the service.
fn series(fronted: &Fronted, name: &str) -> f64 {
    let page = fronted.waypoint.metrics().unwrap();
    sum_of(&page, name, &[CLUSTER])
}

/// Waits until a series of the service has this value.
fn await_series(fronted: &Fronted, name: &str, value: f64) {
    let has = || (series(fronted, name) - value).abs() < f64::EPSILON;
    let reached = wait_until(&format!("{name} to be {value}"), SPREAD, has);
    reached.unwrap_or_else(|error| panic!("{error:#}: {}", series(fronted, name)));
}

/// Waits until the service has so many endpoints at the waypoint.
pub(crate) fn await_endpoints(fronted: &Fronted, count: usize) {
    let count = f64::from(u32::try_from(count).unwrap());
    await_series(fronted, "envoy_cluster_membership_healthy", count);
}
