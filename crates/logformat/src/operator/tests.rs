//! Every operator: what it writes of an entry of which all is known, and of one of which nothing
//! is. What is absent, and the types in JSON, were compared with Envoy 1.40.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{self, empty, full, text, unmasked};
use crate::{Format, FormatError};

/// Operator, what it writes in a text, and what a JSON reader finds; then the same where nothing is
/// known.
fn table() -> Vec<(&'static str, &'static str, Value, &'static str, Value)> {
    let mut rows = requests();
    rows.extend(connections());
    rows
}

fn requests() -> Vec<(&'static str, &'static str, Value, &'static str, Value)> {
    let absent = |operator, value| (operator, value, json!(value), "-", Value::Null);
    let number = |operator, value: u64, shown| (operator, shown, json!(value), "-", Value::Null);
    let zero = |operator, value: u64, shown| (operator, shown, json!(value), "0", json!(0));
    let always = |operator, value| (operator, value, json!(value), value, json!(value));
    vec![
        always("START_TIME", "2026-11-22T10:01:58.271Z"),
        always("START_TIME()", "2026-11-22T10:01:58.271Z"),
        always("START_TIME(%s)", "1795341718"),
        always("START_TIME(%H (UTC) 5%%)", "10 (UTC) 5%"),
        always("START_TIME_LOCAL", "2026-11-22T10:01:58.271+0000"),
        absent("REQ(:METHOD)", "GET"),
        absent("REQ(:Path)", "/new?x=1"),
        absent("REQ(X-NO?:AUTHORITY)", "shop:80"),
        absent("REQ(HOST)", "shop:80"),
        absent("REQ(X-EMPTY?X-A)", ""),
        absent("REQ(?x-request-id)", "5f3c"),
        absent("REQ(x-request-id?)", "5f3c"),
        absent("REQ(X-A):0", ""),
        absent("REQ(X-A):2", "gr"),
        absent("REQ(X-A):3", "gr"),
        absent("REQ(X-A):4", "grö"),
        absent("REQ(X-A):5", "grö"),
        absent("REQ(X-A):99", "größe"),
        absent("REQUEST_HEADER(USER-AGENT):4", "curl"),
        absent(
            "REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)",
            "/rewrite/q",
        ),
        absent("REQ_WITHOUT_QUERY(:PATH):3", "/ne"),
        absent("PATH", "/rewrite/q?x=1&token=REDACTED"),
        absent("PATH(NQ)", "/rewrite/q"),
        absent("PATH(NQ:PATH)", "/new"),
        absent("PATH(WQ:ORIG):8", "/rewrite"),
        absent("RESP(:STATUS)", "200"),
        absent("RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", "7"),
        absent("RESPONSE_HEADER(SET-COOKIE)", "REDACTED"),
        absent("TRAILER(GRPC-STATUS)", "5"),
        absent("RESPONSE_TRAILER(X?GRPC-STATUS)", "5"),
        absent("PROTOCOL", "HTTP/1.1"),
        absent("PROTOCOL()", "HTTP/1.1"),
        absent("UPSTREAM_PROTOCOL", "HTTP/2"),
        zero("RESPONSE_CODE", 200, "200"),
        absent("RESPONSE_CODE_DETAILS", "via_upstream"),
        absent("RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)", "via upstream"),
        ("RESPONSE_FLAGS", "URX,UF", json!("URX,UF"), "-", json!("-")),
        (
            "RESPONSE_FLAGS_LONG",
            "UpstreamRetryLimitExceeded,UpstreamConnectionFailure",
            json!("UpstreamRetryLimitExceeded,UpstreamConnectionFailure"),
            "-",
            json!("-"),
        ),
        zero("BYTES_RECEIVED", 120, "120"),
        zero("BYTES_SENT", 4000, "4000"),
        zero("DURATION", 42, "42"),
        number("REQUEST_DURATION", 1, "1"),
        number("REQUEST_TX_DURATION", 2, "2"),
        number("RESPONSE_DURATION", 3, "3"),
        number("RESPONSE_TX_DURATION", 4, "4"),
        absent("GRPC_STATUS", "NotFound"),
        absent("GRPC_STATUS(CAMEL_STRING)", "NotFound"),
        absent("GRPC_STATUS(SNAKE_STRING)", "NOT_FOUND"),
        number("GRPC_STATUS(NUMBER)", 5, "5"),
        number("GRPC_STATUS_NUMBER", 5, "5"),
        absent("ROUTE_NAME", "shop/cart"),
        absent("VIRTUAL_CLUSTER_NAME", "vc"),
        absent("TRACE_ID", "4bf92f3577b34da6a3ce929d0e0e4736"),
        absent("SPAN_ID", "00f067aa0ba902b7"),
        absent("STREAM_ID", "5f3c"),
        always("ACCESS_LOG_TYPE", "DownstreamEnd"),
        absent("HOSTNAME", "waypoint-0"),
        // No test has this variable.
        always("ENVIRONMENT(INSTANCE_IP)", "-"),
    ]
}

fn connections() -> Vec<(&'static str, &'static str, Value, &'static str, Value)> {
    let absent = |operator, value| (operator, value, json!(value), "-", Value::Null);
    let number = |operator, value: u64, shown| (operator, shown, json!(value), "-", Value::Null);
    vec![
        absent("CONNECTION_TERMINATION_DETAILS", "too_old"),
        absent("UPSTREAM_HOST", "10.0.0.2:8080"),
        absent(
            "UPSTREAM_CLUSTER",
            "outbound|80||cart.shop.svc.cluster.local",
        ),
        absent("UPSTREAM_CLUSTER_RAW", "raw"),
        absent("UPSTREAM_LOCAL_ADDRESS", "10.0.0.2:5001"),
        absent("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "10.0.0.2"),
        number("UPSTREAM_LOCAL_PORT", 5001, "5001"),
        absent("UPSTREAM_REMOTE_ADDRESS", "10.0.0.2:5002"),
        absent("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(0)", "0.0.0.0/0"),
        number("UPSTREAM_REMOTE_PORT", 5002, "5002"),
        absent(
            "UPSTREAM_TRANSPORT_FAILURE_REASON",
            "delayed_connect_error:_Connection_refused",
        ),
        (
            "UPSTREAM_REQUEST_ATTEMPT_COUNT",
            "3",
            json!(3),
            "0",
            json!(0),
        ),
        absent("DOWNSTREAM_REMOTE_ADDRESS", "10.1.10.23:4000"),
        absent("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "10.1.10.23"),
        absent("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)", "10.1.0.0/16"),
        absent(
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(128)",
            "10.1.10.23/32",
        ),
        number("DOWNSTREAM_REMOTE_PORT", 4000, "4000"),
        absent("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "10.0.0.2:4001"),
        absent("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "10.0.0.2"),
        number("DOWNSTREAM_DIRECT_REMOTE_PORT", 4001, "4001"),
        absent("DOWNSTREAM_LOCAL_ADDRESS", "[2001:db8::1]:80"),
        absent("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "2001:db8::1"),
        absent("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(20)", "2001::/20"),
        number("DOWNSTREAM_LOCAL_PORT", 80, "80"),
        absent(
            "DOWNSTREAM_PEER_URI_SAN",
            "spiffe://cluster.local/ns/shop/sa/web",
        ),
        absent(
            "DOWNSTREAM_LOCAL_URI_SAN",
            "spiffe://cluster.local/ns/shop/sa/waypoint",
        ),
        absent(
            "UPSTREAM_PEER_URI_SAN",
            "spiffe://cluster.local/ns/shop/sa/cart",
        ),
        absent("DOWNSTREAM_TLS_VERSION", "TLSv1.3"),
        absent("REQUESTED_SERVER_NAME", "shop.example"),
        absent("REQUESTED_SERVER_NAME(SNI_ONLY)", "shop.example"),
        absent("REQUESTED_SERVER_NAME(SNI_FIRST:HOST)", "shop.example"),
        absent("REQUESTED_SERVER_NAME(HOST_FIRST)", "shop:80"),
        absent("REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)", "shop.example"),
    ]
}

#[test]
fn an_operator_writes_what_is_known_and_a_dash_or_null_for_what_is_not() {
    for (operator, shown, value, absent_shown, absent) in table() {
        let format = format!("<%{operator}%>");
        assert_eq!(text(&format, &full()), format!("<{shown}>"), "{operator}");
        assert_eq!(
            text(&format, &empty()),
            format!("<{absent_shown}>"),
            "{operator}"
        );
        let format = Format::json(&json!({"a": format!("%{operator}%")})).unwrap();
        assert_eq!(fixtures::json(&format, &full())["a"], value, "{operator}");
        assert_eq!(fixtures::json(&format, &empty())["a"], absent, "{operator}");
        // As part of a text it is a text.
        let format = Format::json(&json!({"a": format!("<%{operator}%>")})).unwrap();
        let found = &fixtures::json(&format, &full())["a"];
        assert_eq!(*found, format!("<{shown}>"), "{operator}");
    }
}

#[test]
fn every_operator_is_in_the_table() {
    let name = |text: &'static str| text.split(['(', ':']).next().unwrap();
    let told: BTreeSet<_> = table().into_iter().map(|row| name(row.0)).collect();
    let known: BTreeSet<_> = known().collect();
    assert_eq!(told, known);
}

#[test]
fn the_host_is_told_where_there_is_no_server_name() {
    let mut facts = full();
    facts.server_name = None;
    let told = |argument| text(&format!("%REQUESTED_SERVER_NAME{argument}%"), &facts);
    assert_eq!(told("(SNI_FIRST)"), "shop:80");
    assert_eq!(told("(HOST_FIRST:HOST)"), "shop:80");
    assert_eq!(told("(SNI_FIRST:ORIG)"), "-");
    assert_eq!(told("(SNI_ONLY)"), "-");
}

#[test]
fn a_grpc_status_without_a_name_is_a_text_of_digits() {
    let mut facts = full();
    facts.grpc = Some(17);
    let format = json!({"camel": "%GRPC_STATUS%", "number": "%GRPC_STATUS_NUMBER%"});
    let line = fixtures::json(&Format::json(&format).unwrap(), &facts);
    assert_eq!(line, json!({"camel": "17", "number": 17}));
    facts.grpc = Some(1);
    let both = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)%";
    assert_eq!(text(both, &facts), "Canceled CANCELLED");
}

#[test]
fn a_path_is_as_it_came_where_nothing_is_masked() {
    assert_eq!(unmasked("%PATH%", &full()), "/rewrite/q?x=1&token=abc");
}

/// Formats that cannot be used, and what is said of them.
const ERRORS: &[(&str, &str)] = &[
    (
        "%",
        "at character 1: `%` begins no operator; a percent sign is written `%%`",
    ),
    (
        "100%",
        "at character 4: `%` begins no operator; a percent sign is written `%%`",
    ),
    (
        "größe % %%",
        "at character 7: `%` begins no operator; a percent sign is written `%%`",
    ),
    (
        "%PROTOCOL%%%DURATION%",
        "at character 21: `%` begins no operator; a percent sign is written `%%`",
    ),
    (
        "%req(a)%",
        "at character 1: `%` begins no operator; a percent sign is written `%%`",
    ),
    (
        "%REPONSE_CODE%",
        "at character 1: unknown operator %REPONSE_CODE%; known are %RESPONSE_CODE%, %RESPONSE_CODE_DETAILS%, %RESPONSE_HEADER%",
    ),
    (
        "%DOWNSTREAM_TLS_CIPHER%",
        "at character 1: unknown operator %DOWNSTREAM_TLS_CIPHER%; known are %DOWNSTREAM_TLS_VERSION%, %DOWNSTREAM_PEER_URI_SAN%, %DOWNSTREAM_LOCAL_PORT%",
    ),
    (
        "%PROTOCOL",
        "at character 1: %PROTOCOL has no end: expected `%`",
    ),
    (
        "%PROTOCOL and",
        "at character 1: %PROTOCOL has no end: expected `%`",
    ),
    ("%REQ(A%", "at character 1: %REQ has no end: expected `)%`"),
    (
        "%REQ(A)",
        "at character 1: %REQ has no end: expected `%` or a length such as `:8%` after `)`",
    ),
    (
        "%REQ(A)x% %REQ(B)%",
        "at character 1: %REQ has no end: expected `%` or a length such as `:8%` after `)`",
    ),
    (
        "%START_TIME(%Y",
        "at character 1: %START_TIME has no end: expected `)%`",
    ),
    (
        "%START_TIME(%Y)",
        "at character 1: %START_TIME has no end: expected `%` or a length such as `:8%` after `)`",
    ),
    (
        "%REQ(A):%",
        "at character 1: operator %REQ% has length ``: expected a number of bytes, such as `:64`",
    ),
    (
        "%REQ(A):x%",
        "at character 1: operator %REQ% has length `x`: expected a number of bytes, such as `:64`",
    ),
    (
        "%REQ(A):-1%",
        "at character 1: operator %REQ% has length `-1`: expected a number of bytes, such as `:64`",
    ),
    (
        "%REQ(A):+3%",
        "at character 1: operator %REQ% has length `+3`: expected a number of bytes, such as `:64`",
    ),
    (
        "%REQ(A):3.5%",
        "at character 1: operator %REQ% has length `3.5`: expected a number of bytes, such as `:64`",
    ),
    (
        "%REQ(A):5",
        "at character 1: operator %REQ% has length `5`: expected a number of bytes, such as `:64`",
    ),
    (
        "%REQ(A):99999999999999999999%",
        "at character 1: operator %REQ% has length `99999999999999999999`: expected a number of bytes, such as `:64`",
    ),
    (
        "%DURATION:2%",
        "at character 1: operator %DURATION% takes no length, not `:2`",
    ),
    (
        "%START_TIME(%Y):3%",
        "at character 1: operator %START_TIME% takes no length, not `:3`",
    ),
    (
        "%UPSTREAM_HOST:3%",
        "at character 1: operator %UPSTREAM_HOST% takes no length, not `:3`",
    ),
    (
        "%PROTOCOL(x)%",
        "at character 1: operator %PROTOCOL% takes no argument, not `(x)`",
    ),
    (
        "%UPSTREAM_HOST(16)%",
        "at character 1: operator %UPSTREAM_HOST% takes no argument, not `(16)`",
    ),
    (
        "%REQ%",
        "at character 1: operator %REQ% has argument ``: expected the name of a header, and after `?` that of another",
    ),
    (
        "%REQ()%",
        "at character 1: operator %REQ% has argument ``: expected the name of a header, and after `?` that of another",
    ),
    (
        "%RESP(?)%",
        "at character 1: operator %RESP% has argument `?`: expected the name of a header, and after `?` that of another",
    ),
    (
        "%REQ(A?B?C)%",
        "at character 1: operator %REQ% has argument `A?B?C`: expected the name of a header, and after `?` that of another",
    ),
    (
        "%TRAILER(a b)%",
        "at character 1: operator %TRAILER% has argument `a b`: expected the name of a header, and after `?` that of another",
    ),
    (
        "%REQ(A\nB)%",
        "at character 1: operator %REQ% has argument `A\nB`: expected the name of a header, and after `?` that of another",
    ),
    (
        "%GRPC_STATUS(x)%",
        "at character 1: operator %GRPC_STATUS% has argument `x`: expected CAMEL_STRING, SNAKE_STRING or NUMBER",
    ),
    (
        "%RESPONSE_CODE_DETAILS(x)%",
        "at character 1: operator %RESPONSE_CODE_DETAILS% has argument `x`: expected ALLOW_WHITESPACES or nothing",
    ),
    (
        "%PATH(x)%",
        "at character 1: operator %PATH% has argument `x`: expected WQ or NQ, and after `:` ORIG, PATH or ORIG_OR_PATH",
    ),
    (
        "%PATH(NQ:x)%",
        "at character 1: operator %PATH% has argument `NQ:x`: expected WQ or NQ, and after `:` ORIG, PATH or ORIG_OR_PATH",
    ),
    (
        "%REQUESTED_SERVER_NAME(x)%",
        "at character 1: operator %REQUESTED_SERVER_NAME% has argument `x`: expected SNI_ONLY, SNI_FIRST or HOST_FIRST, and after `:` ORIG, HOST or ORIG_OR_HOST",
    ),
    (
        "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(129)%",
        "at character 1: operator %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% has argument `129`: expected a number of bits, up to 32 or 128",
    ),
    (
        "%START_TIME(%Y %n)%",
        "at character 1: operator %START_TIME% has `%n` in its format: expected one of %Y %m %d %H %M %S %3f %s %z and others of strftime; a percent sign is written `%%`",
    ),
    (
        "%ENVIRONMENT(AWS_SECRET_ACCESS_KEY)%",
        "at character 1: environment variable AWS_SECRET_ACCESS_KEY is not written to logs; those that are: HOSTNAME, HOST_IP, INSTANCE_IP, NODE_NAME, POD_IP, POD_NAME, POD_NAMESPACE, SERVICE_ACCOUNT",
    ),
    (
        "%ENVIRONMENT%",
        "at character 1: operator %ENVIRONMENT% has argument ``: expected the name of a variable of the environment",
    ),
    (
        "%CEL(request.headers['x'] || (1 > 2))%",
        "at character 1: operator %CEL% is not supported: no expressions are evaluated for a line; write the attributes themselves, such as %REQ(X)%, %RESPONSE_CODE% or %DOWNSTREAM_PEER_URI_SAN%",
    ),
    (
        "%DYNAMIC_METADATA(istio.mixer:status)%",
        "at character 1: operator %DYNAMIC_METADATA% is not supported: there are no filters that keep metadata; use %ROUTE_NAME%, %UPSTREAM_CLUSTER% or a header by %REQ(X)% or %RESP(X)%",
    ),
    (
        "%FILTER_STATE(wasm.upstream_peer:PLAIN)%",
        "at character 1: operator %FILTER_STATE% is not supported: there are no filters that keep state; the peers are told by %DOWNSTREAM_PEER_URI_SAN% and %UPSTREAM_PEER_URI_SAN%",
    ),
];

#[test]
fn an_error_names_the_operator_its_place_and_what_may_be_there() {
    for (format, expected) in ERRORS {
        let error = Format::text(format).expect_err(format).to_string();
        assert_eq!(error, *expected, "{format}");
    }
    let error = Format::text("a %FOO%").unwrap_err().to_string();
    let begin = "at character 3: unknown operator %FOO%; known are %START_TIME%, ";
    assert!(error.starts_with(begin), "{error}");
    assert!(known().all(|name| error.contains(&format!("%{name}%"))));
    let long = "%".repeat((64 << 10) + 2);
    let error: FormatError = Format::text(&long).unwrap_err();
    assert_eq!(error.to_string(), "the format is larger than 64 KiB");
}

#[test]
fn what_is_not_supported_is_not_known() {
    let known: BTreeSet<_> = known().collect();
    for name in UNSUPPORTED.iter().flat_map(|(names, _)| names.iter()) {
        assert!(!known.contains(name), "{name}");
        let error = Format::text(&format!("%{name}%")).unwrap_err();
        assert!(matches!(error.fault, Fault::Unsupported { .. }), "{name}");
    }
}
