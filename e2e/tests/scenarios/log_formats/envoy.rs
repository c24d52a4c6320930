//! Envoy's part of it.

use std::path::Path;

use serde_json::{Value, json};

pub(super) const LISTENER: u16 = 10_000;
pub(super) const SERVER: u16 = 9001;
/// Nobody listens there.
pub(super) const NOBODY: u16 = 9;

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// A log that Envoy writes, by its name.
pub(super) fn log(dir: &Path, name: &str, mut format: Value) -> Value {
    // It is no part of Envoy, but of an extension.
    let of_paths = format!("{EXTENSIONS}.formatter.req_without_query.v3.ReqWithoutQuery");
    format["formatters"] = json!([{"name": "paths", "typed_config": {"@type": of_paths}}]);
    json!({"name": name, "typed_config": {
        "@type": format!("{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"),
        "path": dir.join(name), "log_format": format,
    }})
}

/// A cluster of one server on this port, or of none.
fn cluster(name: &str, alternative: &str, port: Option<u16>) -> Value {
    let endpoint = |port| json!({"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}});
    let endpoints: Vec<Value> = port.into_iter().map(endpoint).collect();
    json!({"name": name, "alt_stat_name": alternative, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}})
}

pub(super) fn config(logs: &[Value]) -> String {
    let to = |prefix: &str, cluster: &str, more: Value| {
        let mut route = json!({"cluster": cluster});
        route
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"match": {"prefix": prefix}, "route": route})
    };
    let named = |name: &str, mut route: Value| {
        route["name"] = json!(name);
        route
    };
    let said = json!({"match": {"prefix": "/direct"},
        "direct_response": {"status": 418, "body": {"inline_string": "tea"}}});
    let retries = json!({"retry_policy": {"retry_on": "connect-failure", "num_retries": 2}});
    let routes = [
        named("said", said),
        named("gone", to("/gone", "gone", json!({}))),
        named(
            "rewritten",
            to("/rewrite", "up", json!({"prefix_rewrite": "/new"})),
        ),
        named("to-server", to("/p", "up", json!({}))),
        to("/empty", "empty", json!({})),
        to("/down", "down", json!({})),
        to("/retry", "down", retries),
        to("/slow", "up", json!({"timeout": "0.2s"})),
        to("/close", "up", json!({})),
        to("/grpc", "up", json!({})),
    ];
    let manager = json!({"name": "http", "typed_config": {
        "@type": format!("{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http", "access_log": logs,
        "route_config": {"name": "routes", "validate_clusters": false,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config":
            {"@type": format!("{EXTENSIONS}.filters.http.router.v3.Router")}}],
    }});
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": LISTENER}});
    let config = json!({"static_resources": {
        "listeners": [{"name": "http", "address": address, "filter_chains": [{"filters": [manager]}]}],
        "clusters": [
            cluster("up", "other", Some(SERVER)),
            cluster("down", "down", Some(NOBODY)),
            cluster("empty", "empty", None),
        ],
    }});
    config.to_string()
}
