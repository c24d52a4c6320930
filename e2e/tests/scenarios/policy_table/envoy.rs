//! The table's policies as an Envoy is told of them: for each case a listener of its own, whose filters are
//! those that Istio makes of such policies. Who connects, and where to, is said by a header of the PROXY
//! protocol and by the certificate.

use serde_json::{Map, Value, json};

use super::case::{Case, Policy};
use super::{ISSUER, WORDED};

/// The port of the first case.
pub(super) const FIRST: u16 = 20_000;

const TYPES: &str = "type.googleapis.com/envoy";
const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";

/// All cases; `@TLS@` and `@DIR@` are still to be put in.
pub(super) fn config(cases: &[Case], keys: &str) -> String {
    let listeners = cases.iter().zip(FIRST..);
    let listeners: Vec<Value> = listeners
        .map(|(case, port)| listener(case, port, keys))
        .collect();
    json!({"static_resources": {"listeners": listeners}})
        .to_string()
        .replace(
            "\"@TLS@\"",
            "{@TLS@, validation_context: {trusted_ca: {filename: @DIR@/root.pem}}}",
        )
}

fn listener(case: &Case, port: u16, keys: &str) -> Value {
    let mut filters = vec![tokens(keys)];
    for is_bound in [true, false] {
        let here = |policy: &&Policy| policy.place.is_bound() == is_bound;
        let policies: Vec<&Policy> = case.policies.iter().filter(here).collect();
        filters.extend(judges(&policies));
    }
    filters.push(json!({"name": "router", "typed_config": {"@type": format!("{FILTERS}.http.router.v3.Router")}}));
    let manager = json!({"name": "http", "typed_config": {
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http", "normalize_path": true, "use_remote_address": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200}},
        ]}]},
        "http_filters": filters,
    }});
    json!({
        "name": case.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "listener_filters": [{"name": "proxy", "typed_config":
            {"@type": format!("{FILTERS}.listener.proxy_protocol.v3.ProxyProtocol")}}],
        "filter_chains": [{"filters": [manager], "transport_socket": {"name": "tls", "typed_config": {
            "@type": format!("{TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
            "require_client_certificate": true, "common_tls_context": "@TLS@",
        }}}],
    })
}

/// What Istio makes of a RequestAuthentication.
fn tokens(keys: &str) -> Value {
    let provider = json!({
        "issuer": ISSUER, "local_jwks": {"inline_string": keys}, "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": WORDED},
    });
    let either = json!([{"provider_name": "issuer"}, {"allow_missing": {}}]);
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": format!("{FILTERS}.http.jwt_authn.v3.JwtAuthentication"),
        "providers": {"issuer": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": either}}}],
    }})
}

/// Filters for the policies of one place: what is only told, what refuses, what allows.
fn judges(policies: &[&Policy]) -> Vec<Value> {
    let of = |action: &str, dry_run: bool| -> Vec<&Policy> {
        let meant = |policy: &&&Policy| policy.action == action && policy.dry_run == dry_run;
        policies.iter().filter(meant).copied().collect()
    };
    let mut filters = Vec::new();
    for (action, theirs) in [("AUDIT", "LOG"), ("DENY", "DENY"), ("ALLOW", "ALLOW")] {
        for (field, dry_run) in [("shadow_rules", true), ("rules", false)] {
            let policies = of(action, dry_run);
            if policies.is_empty() {
                continue;
            }
            let rules = policies
                .iter()
                .flat_map(|policy| policy.rules.iter().flatten());
            let rules = rules
                .enumerate()
                .map(|(index, rule)| (index.to_string(), policy(rule)));
            let rules: Map<String, Value> = rules.collect();
            filters.push(
                json!({"name": format!("{action}-{field}"), "typed_config": {
                    "@type": format!("{FILTERS}.http.rbac.v3.RBAC"),
                    field: {"action": theirs, "policies": rules},
                }}),
            );
        }
    }
    filters
}

/// What joins tests: permissions and principals of Envoy have other words for the same.
#[derive(Clone, Copy)]
enum Side {
    Permission,
    Principal,
}

impl Side {
    fn all(self, tests: &[Value]) -> Value {
        match (self, tests.is_empty()) {
            (_, true) => json!({"any": true}),
            (Self::Permission, _) => json!({"and_rules": {"rules": tests}}),
            (Self::Principal, _) => json!({"and_ids": {"ids": tests}}),
        }
    }

    fn one(self, tests: &[Value]) -> Value {
        match self {
            Self::Permission => json!({"or_rules": {"rules": tests}}),
            Self::Principal => json!({"or_ids": {"ids": tests}}),
        }
    }

    fn not(self, test: &Value) -> Value {
        match self {
            Self::Permission => json!({"not_rule": test}),
            Self::Principal => json!({"not_id": test}),
        }
    }

    /// One of the values, or none of them.
    fn field(self, values: &Value, negated: bool, test: impl Fn(&str) -> Value) -> Value {
        let values = values.as_array().unwrap().iter();
        let tests = values.map(|value| test(value.as_str().unwrap()));
        let one = self.one(&tests.collect::<Vec<_>>());
        if negated { self.not(&one) } else { one }
    }
}

/// A rule.
fn policy(rule: &Value) -> Value {
    let entries = |kind: &str, inner: &str, side: Side| -> Vec<Value> {
        let entries = rule[kind].as_array().into_iter().flatten();
        let fields = entries.map(|entry| {
            let fields = entry[inner].as_object().unwrap().iter();
            let fields = fields.map(|(name, values)| named(side, name, values));
            side.all(&fields.collect::<Vec<_>>())
        });
        fields.collect()
    };
    let conditions = |side: Side| {
        let all = rule["when"].as_array().into_iter().flatten();
        let of_side = all.filter(move |condition| {
            let key = condition["key"].as_str().unwrap();
            let is_permission = key.starts_with("destination.") || key.starts_with("connection.");
            is_permission == matches!(side, Side::Permission)
        });
        of_side.map(move |one| condition(side, one))
    };
    let joined = |kind: &str, inner: &str, side: Side| {
        let entries = entries(kind, inner, side);
        let entries = (!entries.is_empty()).then(|| side.one(&entries));
        let all: Vec<Value> = entries.into_iter().chain(conditions(side)).collect();
        side.all(&all)
    };
    json!({
        "permissions": [joined("to", "operation", Side::Permission)],
        "principals": [joined("from", "source", Side::Principal)],
    })
}

/// A field of a source or an operation.
fn named(side: Side, name: &str, values: &Value) -> Value {
    let (name, negated) = match name.strip_prefix("not") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    side.field(values, negated, |value| match &*name {
        "principals" => principal(value),
        "namespaces" => namespace(value),
        "serviceAccounts" => account(value),
        "ipBlocks" => json!({"source_ip": block(value)}),
        "remoteIpBlocks" => json!({"remote_ip": block(value)}),
        "requestPrincipals" => request_principal(value),
        "methods" => header(":method", value),
        "hosts" => {
            let host = format!("(?i){}(:[0-9]+)?", pattern(value));
            json!({"header": {"name": ":authority", "string_match": {"safe_regex": {"regex": host}}}})
        }
        "ports" => json!({"destination_port": value.parse::<u16>().unwrap()}),
        "paths" if value.contains('{') => {
            let template = value.replace("{**}", "**").replace("{*}", "*");
            json!({"uri_template": {"name": "template", "typed_config": {
                "@type": format!("{TYPES}.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"),
                "path_template": template,
            }}})
        }
        "paths" => json!({"url_path": {"path": text(value)}}),
        other => panic!("no field {other}"),
    })
}

/// A condition.
fn condition(side: Side, condition: &Value) -> Value {
    let key = condition["key"].as_str().unwrap();
    let (values, negated) = match condition.get("values") {
        Some(values) => (values, false),
        None => (&condition["notValues"], true),
    };
    let (name, inner) = key.split_once('[').unwrap_or((key, ""));
    let inner: Vec<&str> = inner.trim_end_matches(']').split("][").collect();
    side.field(values, negated, |value| match name {
        "request.headers" => header(inner[0], value),
        "request.auth.principal" => request_principal(value),
        "request.auth.audiences" => claim(&["aud"], value),
        "request.auth.presenter" => claim(&["azp"], value),
        "request.auth.claims" => claim(&inner, value),
        "source.ip" => json!({"source_ip": block(value)}),
        "remote.ip" => json!({"remote_ip": block(value)}),
        "source.principal" => principal(value),
        "source.namespace" => namespace(value),
        "source.serviceAccount" => account(value),
        "destination.ip" => json!({"destination_ip": block(value)}),
        "destination.port" => json!({"destination_port": value.parse::<u16>().unwrap()}),
        "connection.sni" => json!({"requested_server_name": text(value)}),
        other => panic!("no key {other}"),
    })
}

/// A value as Envoy compares texts.
fn text(value: &str) -> Value {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => json!({"safe_regex": {"regex": ".+"}}),
        (Some(suffix), _) => json!({"suffix": suffix}),
        (_, Some(prefix)) => json!({"prefix": prefix}),
        (None, None) => json!({"exact": value}),
    }
}

/// A value as a regular expression.
fn pattern(value: &str) -> String {
    if value == "*" {
        return ".+".to_owned();
    }
    let escaped = value.chars().map(|letter| match letter {
        '*' => ".*".to_owned(),
        letter if letter.is_alphanumeric() => letter.to_string(),
        letter => format!("\\{letter}"),
    });
    escaped.collect()
}

fn header(name: &str, value: &str) -> Value {
    let name = if name.eq_ignore_ascii_case("host") {
        ":authority"
    } else {
        name
    };
    match value {
        "*" => json!({"header": {"name": name, "present_match": true}}),
        value => json!({"header": {"name": name, "string_match": text(value)}}),
    }
}

/// A test of the certificate's name.
fn certificate(name: &Value) -> Value {
    json!({"authenticated": {"principal_name": name}})
}

fn principal(value: &str) -> Value {
    let by_regex = format!("spiffe://{}", pattern(value));
    certificate(&json!({"safe_regex": {"regex": by_regex}}))
}

fn namespace(value: &str) -> Value {
    let by_regex = format!(".*/ns/{}/.*", pattern(value));
    certificate(&json!({"safe_regex": {"regex": by_regex}}))
}

fn account(value: &str) -> Value {
    let (namespace, account) = value.split_once('/').unwrap_or(("shop", value));
    let by_regex = format!(
        "spiffe://.*/ns/{}/sa/{}",
        pattern(namespace),
        pattern(account)
    );
    certificate(&json!({"safe_regex": {"regex": by_regex}}))
}

fn block(value: &str) -> Value {
    let longest = if value.contains(':') { 128 } else { 32 };
    let (address, length) = match value.split_once('/') {
        Some((address, length)) => (address, length.parse().unwrap()),
        None => (value, longest),
    };
    json!({"address_prefix": address, "prefix_len": length})
}

/// A claim: a text, or a list that has it.
fn claim(path: &[&str], value: &str) -> Value {
    let one = said(path, &json!({"string_match": text(value)}));
    let listed = said(
        path,
        &json!({"list_match": {"one_of": {"string_match": text(value)}}}),
    );
    Side::Principal.one(&[one, listed])
}

fn said(path: &[&str], value: &Value) -> Value {
    let path = ["payload"].iter().chain(path);
    let path: Vec<Value> = path.map(|name| json!({"key": name})).collect();
    json!({"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value}})
}

fn request_principal(value: &str) -> Value {
    let (issuer, subject) = match value.rsplit_once('/') {
        Some(parts) => parts,
        None => ("*", value),
    };
    let is = |name, value| said(&[name], &json!({"string_match": text(value)}));
    Side::Principal.all(&[is("iss", issuer), is("sub", subject)])
}
