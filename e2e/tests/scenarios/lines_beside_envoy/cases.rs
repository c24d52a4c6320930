//! What is asked for, what is done about it, and where the lines of that differ.

use ambit_e2e::scripted::{Deed, Heard, Then};

use crate::fronted::{rule, rule_to, virtual_service};

/// The rules, as in [`super::envoy::config`].
pub(super) fn routes() -> String {
    let once = "retries: {attempts: 0}";
    let slow = "timeout: 300ms, retries: {attempts: 0}";
    let trying = "retries: {attempts: 1, perTryTimeout: 200ms, retryOn: 5xx}";
    let again = |on: &str| format!("retries: {{attempts: 1, retryOn: {on}}}");
    let fault = |what: &str| format!("fault: {{{what}, percentage: {{value: 100}}}}}}");
    let rules = [
        rule_to("empty", "/empty", "empty", once),
        rule_to("slow", "/slow", "web", slow),
        rule_to("trying", "/trying", "web", trying),
        rule_to("moved", "/old", "web", "rewrite: {uri: /new}"),
        rule_to("down", "/down", "down", once),
        rule_to("down-again", "/again", "down", &again("connect-failure")),
        rule_to("broken-again", "/broken/again", "web", &again("reset")),
        rule_to("failing", "/failing", "web", &again("5xx")),
        rule_to(
            "aborted",
            "/aborted",
            "web",
            &fault("abort: {httpStatus: 418"),
        ),
        rule_to(
            "delayed",
            "/delayed",
            "web",
            &fault("delay: {fixedDelay: 100ms"),
        ),
        rule(
            "said",
            "/said",
            "directResponse: {status: 202, body: {string: tea}}",
        ),
        rule("elsewhere", "/elsewhere", "redirect: {uri: /there}"),
        rule_to("pool", "/pool", "pool", once),
        rule_to("grpc-slow", "/grpc/slow", "grpc", slow),
        rule_to("grpc-trying", "/grpc/trying", "grpc", trying),
        rule_to("grpc", "/grpc", "grpc", once),
        rule_to("ok", "/ok", "web", once),
    ];
    virtual_service("server", "server", &rules.concat())
}

/// One policy denies some paths, and another one allows no others than all but these.
pub(super) const POLICIES: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: '', name: server}]
  action: DENY
  rules: [{to: [{operation: {paths: [/ok/closed*]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: open, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: '', name: server}]
  action: ALLOW
  rules: [{to: [{operation: {notPaths: [/ok/unmatched*]}}]}]
";

/// What a request begins with, and what follows the usual headers; or, by HTTP/2, `h2` or `grpc` with a path,
/// and arguments of curl.
pub(super) type Case = (&'static str, &'static str);

pub(super) const CASES: [Case; 59] = [
    ("GET /ok/plain", "\r\n"),
    (
        "GET /ok/a/../b?q=1",
        "X-A: a \"quote\", a \\ and <&'/>\r\n\r\n",
    ),
    ("POST /ok/body", "Content-Length: 5\r\n\r\nhello"),
    (
        "POST /ok/chunks",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("HEAD /ok/head", "\r\n"),
    ("GET /ok/chunked", "\r\n"),
    ("GET /ok/missing", "\r\n"),
    ("GET /ok/wrong", "\r\n"),
    ("GET /ok/none", "\r\n"),
    ("GET /ok/broken", "\r\n"),
    ("GET /old/place?q=1", "\r\n"),
    ("GET /nowhere", "\r\n"),
    ("GET /empty", "\r\n"),
    ("GET /down", "\r\n"),
    ("GET /again", "\r\n"),
    ("GET /broken/again", "\r\n"),
    ("GET /failing", "\r\n"),
    ("GET /slow", "\r\n"),
    ("GET /trying", "\r\n"),
    ("GET /aborted", "\r\n"),
    ("GET /delayed", "\r\n"),
    ("GET /said", "\r\n"),
    ("GET /elsewhere", "\r\n"),
    ("GET /ok/cut", "\r\n"),
    ("GET /ok/cut/chunks", "\r\n"),
    ("GET /ok/garbage", "\r\n"),
    ("GET /ok/closed", "\r\n"),
    ("GET /ok/unmatched", "\r\n"),
    ("h2 /ok/plain?q=1", "-H X-A:a"),
    ("h2 /ok/body", "-d hello"),
    ("h2 /ok/head", "-I"),
    ("h2 /ok/chunked", ""),
    ("h2 /ok/missing", ""),
    ("h2 /ok/broken", ""),
    ("h2 /ok/cut", ""),
    ("h2 /ok/closed", ""),
    ("h2 /ok/unmatched", ""),
    ("h2 /ok/leaves", "-m 0.5"),
    ("h2 /old/place?q=1", ""),
    ("h2 /nowhere", ""),
    ("h2 /empty", ""),
    ("h2 /slow", ""),
    ("h2 /trying", ""),
    ("h2 /said", ""),
    ("grpc /grpc/well", ""),
    ("grpc /grpc/wrong", ""),
    ("grpc /grpc/at-once", ""),
    ("grpc /grpc/missing", ""),
    ("grpc /grpc/silent", ""),
    ("grpc /grpc/cut", ""),
    ("grpc /grpc/slow", ""),
    ("grpc /grpc/trying", ""),
    ("grpc /grpc/leaves", "-m 0.5"),
    ("grpc /ok/closed", ""),
    ("grpc /ok/unmatched", ""),
    ("grpc /nowhere", ""),
    ("grpc /empty", ""),
    ("grpc /down", ""),
    ("grpc /aborted", ""),
];

/// Requests that are left when they have come to the server, one after the other.
pub(super) const LEFT: [&str; 2] = ["/ok/left", "/pool/held"];

/// What is asked for while the last of these is under way.
pub(super) const MEANWHILE: [Case; 3] = [
    ("GET /pool/over", "\r\n"),
    ("h2 /pool/over", ""),
    ("grpc /pool/over", ""),
];

/// What the server does, in both places.
pub(super) fn answer(heard: &Heard, _before: usize) -> Deed {
    let said = "X-Said: this\r\nContent-Type: text/plain\r\n";
    match heard.path() {
        "/slow" | "/trying" | "/ok/left" | "/ok/leaves" | "/pool/held" => Deed::new("", Then::Hang),
        "/ok/broken" | "/broken/again" => Deed::new("", Then::Close),
        "/ok/garbage" => Deed::new("what is this?\r\n\r\n", Then::Close),
        "/ok/cut" => Deed::new(
            format!("HTTP/1.1 200 Said\r\n{said}Content-Length: 9\r\n\r\nhalf"),
            Then::Close,
        ),
        "/ok/cut/chunks" => Deed::new(
            format!("HTTP/1.1 200 Said\r\n{said}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            Then::Close,
        ),
        "/ok/missing" => Deed::with(404, said, "missing"),
        "/ok/wrong" => Deed::with(500, said, "wrong"),
        "/failing" => Deed::with(503, said, "failing"),
        "/ok/none" => Deed::new("HTTP/1.1 204 None\r\n\r\n", Then::ServeOn),
        "/ok/head" => Deed::new(
            format!("HTTP/1.1 200 Said\r\n{said}Content-Length: 5\r\n\r\n"),
            Then::ServeOn,
        ),
        "/ok/chunked" => Deed::new(
            format!(
                "HTTP/1.1 200 Said\r\n{said}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ),
            Then::ServeOn,
        ),
        _ => Deed::with(200, said, "hello"),
    }
}

/// What the server of gRPC does: blocks of nginx, which asks the other one where that is to hang or to break
/// off.
pub(super) fn calls() -> String {
    let says = |status: u16| {
        format!("add_trailer grpc-status {status}; add_trailer x-sum 5; return 200 hello;")
    };
    let asks = |path: &str| format!("proxy_pass http://127.0.0.1:8080{path};");
    let each = [
        ("well", says(0)),
        ("wrong", says(9)),
        (
            "at-once",
            "add_header grpc-status 5; return 200;".to_owned(),
        ),
        ("missing", "return 503;".to_owned()),
        ("silent", "return 200 hello;".to_owned()),
        ("cut", asks("/ok/cut")),
        ("slow", asks("/slow")),
        ("leaves", asks("/slow")),
        ("trying", asks("/trying")),
    ];
    let each = each.map(|(path, what)| format!("location /grpc/{path} {{ {what} }}\n"));
    let each = each.concat();
    format!("server {{ listen 9001 http2; default_type application/grpc;\n{each}}}")
}

/// Where the lines differ: the request, or its path where it does not matter how it came; the operator,
/// Envoy's value and ours. Each is checked as it stands.
pub(super) const DIFFERENT: [(&str, &str, &str, &str); 22] = [
    // Bodies of own answers.
    ("GET /ok/broken", SENT, "95", "15"),
    ("h2 /ok/broken", SENT, "95", "15"),
    ("GET /ok/garbage", SENT, "87", "15"),
    ("GET /nowhere", SENT, "0", "9"),
    ("h2 /nowhere", SENT, "0", "9"),
    ("GET /nowhere", TYPE, "null", "\"text/plain\""),
    ("h2 /nowhere", TYPE, "null", "\"text/plain\""),
    ("GET /empty", SENT, "19", "12"),
    ("h2 /empty", SENT, "19", "12"),
    ("GET /down", SENT, "98", "13"),
    ("GET /again", SENT, "121", "13"),
    ("GET /broken/again", SENT, "118", "15"),
    ("GET /slow", SENT, "24", "8"),
    ("h2 /slow", SENT, "24", "8"),
    ("GET /trying", SENT, "24", "8"),
    ("h2 /trying", SENT, "24", "8"),
    ("GET /aborted", SENT, "18", "15"),
    ("GET /pool/over", SENT, "81", "17"),
    ("h2 /pool/over", SENT, "81", "17"),
    // A tunnel says why in other words.
    ("/down", DETAILS, THEIR_REFUSAL, OUR_REFUSAL),
    ("GET /again", DETAILS, THEIR_REFUSAL, OUR_REFUSAL),
    // What is too much is given no endpoint.
    ("/pool/over", "UPSTREAM_HOST", "true", "false"),
];
const SENT: &str = "BYTES_SENT";
const TYPE: &str = "RESP(CONTENT-TYPE)";
const DETAILS: &str = "RESPONSE_CODE_DETAILS";
const THEIR_REFUSAL: &str = "\"upstream_reset_before_response_started{remote_connection_failure|\
                             delayed_connect_error:_Connection_refused}\"";
const OUR_REFUSAL: &str =
    "\"upstream_reset_before_response_started{remote_connection_failure|peer_refused}\"";
