//! Envoy, configured to do with requests what the waypoint's VirtualService says.

use std::path::Path;

use serde_json::{Value, json};

pub(super) const LISTENER: u16 = 10_000;
const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// The name that Istio's Envoys give the cluster of a service.
pub(super) fn name(service: &str) -> String {
    format!("outbound|80||{service}.shop.svc.cluster.local")
}

/// A cluster of one server on this port, or of none.
fn cluster(service: &str, port: Option<u16>) -> Value {
    let endpoint = |port| json!({"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}});
    let endpoints: Vec<Value> = port.into_iter().map(endpoint).collect();
    json!({"name": name(service), "type": "STATIC", "connect_timeout": "10s",
        "load_assignment": {"cluster_name": name(service), "endpoints": [{"lb_endpoints": endpoints}]}})
}

/// The clusters, at these ports: one takes one request at once, and one is spoken to in HTTP/2.
fn clusters([server, grpc, nobody]: [u16; 3]) -> [Value; 5] {
    let mut pool = cluster("pool", Some(server));
    pool["circuit_breakers"] = json!({"thresholds": [{"max_requests": 1}]});
    let mut calls = cluster("grpc", Some(grpc));
    let options = format!("{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions");
    calls["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": options,
            "explicit_http_config": {"http2_protocol_options": {}}}});
    let plain = [
        ("web", Some(server)),
        ("down", Some(nobody)),
        ("empty", None),
    ];
    let [one, down, empty] = plain.map(|(name, port)| cluster(name, port));
    [one, down, empty, pool, calls]
}

/// What policies are: one that denies, and one that allows, by their names in Istio.
fn policies() -> [Value; 2] {
    let path = |prefix: &str| json!({"url_path": {"path": {"prefix": prefix}}});
    let closed = ("DENY", "closed", path("/ok/closed"));
    let open = ("ALLOW", "open", json!({"not_rule": path("/ok/unmatched")}));
    [closed, open].map(|(action, name, permission)| {
        let policy = json!({"permissions": [permission], "principals": [{"any": true}]});
        let policies = json!({format!("ns[shop]-policy[{name}]-rule[0]"): policy});
        json!({"name": name, "typed_config": {
            "@type": format!("{EXTENSIONS}.filters.http.rbac.v3.RBAC"),
            "rules": {"action": action, "policies": policies}}})
    })
}

/// The listener, whose lines have this format; of servers at these ports.
pub(super) fn config(dir: &Path, format: &Value, ports: [u16; 3]) -> String {
    let rule = |of: &str, prefix: &str, route: Value| json!({"name": format!("VirtualService/shop/server/{of}"), "match": {"prefix": prefix}, "route": route});
    let to = |service: &str, more: Value| {
        let mut route = json!({"cluster": name(service)});
        let route_members = route.as_object_mut().unwrap();
        route_members.extend(more.as_object().unwrap().clone());
        route
    };
    let trying = json!({"retry_policy":
        {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.2s"}});
    let again = |on: &str| json!({"retry_policy": {"retry_on": on, "num_retries": 1}});
    let fault = |fault: Value, mut rule: Value| {
        let of = format!("{EXTENSIONS}.filters.http.fault.v3.HTTPFault");
        let mut fault = fault;
        fault["@type"] = json!(of);
        rule["typed_per_filter_config"] = json!({"envoy.filters.http.fault": fault});
        rule
    };
    let whole = json!({"numerator": 100, "denominator": "HUNDRED"});
    let routes = [
        rule("empty", "/empty", to("empty", json!({}))),
        rule("slow", "/slow", to("web", json!({"timeout": "0.3s"}))),
        rule("trying", "/trying", to("web", trying.clone())),
        rule(
            "moved",
            "/old",
            to("web", json!({"prefix_rewrite": "/new"})),
        ),
        rule("down", "/down", to("down", json!({}))),
        rule("down-again", "/again", to("down", again("connect-failure"))),
        rule("broken-again", "/broken/again", to("web", again("reset"))),
        rule("failing", "/failing", to("web", again("5xx"))),
        fault(
            json!({"abort": {"http_status": 418, "percentage": whole}}),
            rule("aborted", "/aborted", to("web", json!({}))),
        ),
        fault(
            json!({"delay": {"fixed_delay": "0.1s", "percentage": whole}}),
            rule("delayed", "/delayed", to("web", json!({}))),
        ),
        json!({"name": "VirtualService/shop/server/said", "match": {"prefix": "/said"},
            "direct_response": {"status": 202, "body": {"inline_string": "tea"}}}),
        json!({"name": "VirtualService/shop/server/elsewhere", "match": {"prefix": "/elsewhere"},
            "redirect": {"path_redirect": "/there"}}),
        rule("pool", "/pool", to("pool", json!({}))),
        rule(
            "grpc-slow",
            "/grpc/slow",
            to("grpc", json!({"timeout": "0.3s"})),
        ),
        rule("grpc-trying", "/grpc/trying", to("grpc", trying)),
        rule("grpc", "/grpc", to("grpc", json!({}))),
        rule("ok", "/ok", to("web", json!({}))),
    ];
    let [closed, open] = policies();
    let filter = |name: &str, kind: &str| {
        json!({"name": format!("envoy.filters.http.{name}"), "typed_config":
            {"@type": format!("{EXTENSIONS}.filters.http.{name}.v3.{kind}")}})
    };
    let log = json!({"name": "log", "typed_config": {
        "@type": format!("{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"),
        "path": dir.join("lines"), "log_format": {"json_format": format},
    }});
    let manager = json!({"name": "http", "typed_config": {
        "@type": format!("{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http", "access_log": [log], "normalize_path": true,
        "preserve_external_request_id": true, "generate_request_id": true,
        "route_config": {"name": "routes",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [closed, open, filter("fault", "HTTPFault"), filter("router", "Router")],
    }});
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": LISTENER}});
    let config = json!({"static_resources": {
        "listeners": [{"name": "http", "address": address, "filter_chains": [{"filters": [manager]}]}],
        "clusters": clusters(ports),
    }});
    config.to_string()
}
