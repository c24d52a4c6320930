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

/// The listener, whose lines have this format; `server` and `down` are ports.
pub(super) fn config(dir: &Path, format: &Value, (server, down): (u16, u16)) -> String {
    let rule = |of: &str, prefix: &str, route: Value| json!({"name": format!("VirtualService/shop/server/{of}"), "match": {"prefix": prefix}, "route": route});
    let to = |service: &str, more: Value| {
        let mut route = json!({"cluster": name(service)});
        let route_members = route.as_object_mut().unwrap();
        route_members.extend(more.as_object().unwrap().clone());
        route
    };
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
        rule("slow", "/slow", to("server", json!({"timeout": "0.3s"}))),
        rule(
            "trying",
            "/trying",
            to(
                "server",
                json!({"retry_policy":
            {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.2s"}}),
            ),
        ),
        rule(
            "moved",
            "/old",
            to("server", json!({"prefix_rewrite": "/new"})),
        ),
        rule("down", "/down", to("down", json!({}))),
        rule("down-again", "/again", to("down", again("connect-failure"))),
        rule(
            "broken-again",
            "/broken/again",
            to("server", again("reset")),
        ),
        rule("failing", "/failing", to("server", again("5xx"))),
        fault(
            json!({"abort": {"http_status": 418, "percentage": whole}}),
            rule("aborted", "/aborted", to("server", json!({}))),
        ),
        fault(
            json!({"delay": {"fixed_delay": "0.1s", "percentage": whole}}),
            rule("delayed", "/delayed", to("server", json!({}))),
        ),
        json!({"name": "VirtualService/shop/server/said", "match": {"prefix": "/said"},
            "direct_response": {"status": 202, "body": {"inline_string": "tea"}}}),
        json!({"name": "VirtualService/shop/server/elsewhere", "match": {"prefix": "/elsewhere"},
            "redirect": {"path_redirect": "/there"}}),
        rule("ok", "/ok", to("server", json!({}))),
    ];
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
        "http_filters": [filter("fault", "HTTPFault"), filter("router", "Router")],
    }});
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": LISTENER}});
    let config = json!({"static_resources": {
        "listeners": [{"name": "http", "address": address, "filter_chains": [{"filters": [manager]}]}],
        "clusters": [cluster("server", Some(server)), cluster("down", Some(down)), cluster("empty", None)],
    }});
    config.to_string()
}
