//! Routes and grants: what is read, and which field is said to be wrong.

use insta::assert_snapshot;

use super::{complaint, read_text};
use crate::config::objects::read;
use crate::config::objects::route_parts::Route;

const PARENT: &str = "parentRefs: [{group: '', kind: Service, name: web}]";

fn route(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
         metadata: {{name: r, namespace: shop}}\nspec: {{{spec}}}\n"
    )
}

#[test]
fn errors_lead_to_the_field() {
    let backends = |count: usize| {
        let list = vec!["{name: b, port: 80}"; count].join(", ");
        format!("rules: [{{backendRefs: [{list}]}}]")
    };
    let matches = vec!["{}"; 64].join(", ");
    let rule = |rule: &str| format!("rules: [{{{rule}}}]");
    let http = [
        "parentRefs: 1".to_owned(),
        "parentRefs: [{group: '', kind: Service}]".to_owned(),
        format!("{PARENT}, rules: 1"),
        format!("{PARENT}, {}", backends(17)),
        format!(
            "{PARENT}, rules: [{{matches: [{matches}]}}, {{matches: [{matches}]}}, {{matches: [{{}}]}}]"
        ),
        format!(
            "{PARENT}, {}",
            rule("matches: [{headers: [{name: 'a b', value: x}]}]")
        ),
        format!(
            "{PARENT}, {}",
            rule("matches: [{headers: [{name: a, value: ' x'}]}]")
        ),
        format!(
            "{PARENT}, {}",
            rule("matches: [{queryParams: [{name: a, value: ''}]}]")
        ),
        format!("{PARENT}, {}", rule("matches: [{path: {value: 1}}]")),
        format!("{PARENT}, {}", rule("filters: [{}]")),
        format!("{PARENT}, {}", rule("backendRefs: [{port: 80}]")),
        format!("{PARENT}, {}", rule("backendRefs: [{name: b, port: 0}]")),
        format!(
            "{PARENT}, {}",
            rule("backendRefs: [{name: b, port: 70000}]")
        ),
        format!(
            "{PARENT}, {}",
            rule("backendRefs: [{name: b, weight: 1000001}]")
        ),
        format!("{PARENT}, {}", rule("backendRefs: [{name: b, weight: -1}]")),
        format!("{PARENT}, {}", rule("timeouts: {request: 1.5s}")),
        format!(
            "{PARENT}, {}",
            rule("timeouts: {request: 1s, backendRequest: 2s}")
        ),
        format!(
            "{PARENT}, {}",
            rule("timeouts: {request: 0s, backendRequest: 2s}")
        ),
        format!("{PARENT}, {}", rule("retry: {codes: [200]}")),
        format!("{PARENT}, {}", rule("retry: {attempts: 0}")),
        format!("{PARENT}, {}", rule("name: A")),
        format!("{PARENT}, {}", rule("matches: [{unknown: 1}], unknown: 1")),
    ];
    let mut said: Vec<String> = http
        .iter()
        .map(|spec| complaint(&route("HTTPRoute", spec)))
        .collect();
    said.push(complaint(&route(
        "TCPRoute",
        &format!("{PARENT}, rules: [{{}}]"),
    )));
    said.push(complaint(&route(
        "ReferenceGrant",
        "from: [{group: '', kind: X}], to: []",
    )));
    assert_snapshot!(said.join("\n"));
}

#[test]
fn of_a_route_that_is_for_no_service_only_the_parents_are_read() {
    let foreign = "parentRefs: [{name: gateway}], hostnames: 1, rules: [{filters: 7}]";
    assert_eq!(
        complaint(&route("HTTPRoute", foreign)),
        "read HTTPRoute shop/r"
    );
    let object = read_text(&route("HTTPRoute", foreign)).expect("read");
    assert_eq!(Route::of(&object).expect("a route").parents().len(), 1);
}

#[test]
fn a_route_is_read_back_from_its_document() {
    let backends = "backendRefs: [{name: b, namespace: c, port: 80, weight: 3, filters: [{type: CORS, cors: {allowOrigins: ['*']}}]}]";
    let http = format!(
        "{PARENT}, rules: [{{name: a, matches: [{{path: {{type: Exact, value: /a}}, method: GET, headers: [{{name: X, value: v}}], \
         queryParams: [{{type: RegularExpression, name: q, value: z}}]}}], timeouts: {{request: 1m30s, backendRequest: 0s}}, \
         retry: {{codes: [503], attempts: 2, backoff: 100ms}}, sessionPersistence: {{type: Header, absoluteTimeout: 1h}}, \
         filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /x}}}}}}, \
         {{type: RequestMirror, requestMirror: {{backendRef: {{name: m, port: 1}}, fraction: {{numerator: 1}}}}}}], {backends}}}]"
    );
    let grpc =
        format!("{PARENT}, rules: [{{matches: [{{method: {{service: a.B}}}}], {backends}}}]");
    let stream =
        format!("{PARENT}, hostnames: ['*.a'], rules: [{{backendRefs: [{{name: b, port: 1}}]}}]");
    let grant = "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: '', kind: Service, name: b}]";
    let texts = [
        ("HTTPRoute", &*http),
        ("GRPCRoute", &*grpc),
        ("TLSRoute", &*stream),
        ("TCPRoute", &*stream),
        ("ReferenceGrant", grant),
    ];
    for (kind, spec) in texts {
        let object = read_text(&route(kind, spec)).expect("an object");
        let document = object.document().expect("a document");
        assert_eq!(read(document).expect("the same object"), object);
    }
}
