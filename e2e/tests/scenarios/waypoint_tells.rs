//! What a waypoint tells where somebody asks: applications who called, and Prometheus in other labels.

use ambit_e2e::mesh::{series_of, sum_of};
use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, SPREAD, identity};

use crate::fronted::Fronted;
use crate::support::SOON;

const CLIENT_CERT: &str = "x-forwarded-client-cert";

#[test]
fn applications_are_told_who_called_where_their_namespace_asks() {
    let fronted = Fronted::start(&[]);
    let server = Scripted::saying(&fronted.pod("server"), 8080, "hello").unwrap();
    let mut number = 0;
    // What the application is told of a client that claims to be somebody else.
    let mut told = || {
        number += 1;
        let path = format!("/{number}");
        let claims = "X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\n";
        assert_eq!(fronted.get(&path, claims).status, 200);
        server.heard_at(&path)[0].header(CLIENT_CERT)
    };
    assert_eq!(told(), None);
    let asks = |value: &str| {
        let configuration = &fronted.world.mesh.configuration;
        let annotation = format!(
            "name: {NAMESPACE}\n  annotations:\n    \
             ambit.mesh/xfcc-include-client-identity: '{value}'\n"
        );
        let old = ["true", "false"].map(|old| annotation.replace(value, old));
        let change = |text: &str| match old.iter().find(|old| text.contains(&**old)) {
            Some(old) => text.replacen(old, &annotation, 1),
            None => text.replacen(&format!("name: {NAMESPACE}\n"), &annotation, 1),
        };
        configuration.edit("cluster", change).unwrap();
    };
    asks("true");
    let expected = format!("By={};URI={}", identity("waypoint"), identity("client"));
    wait_until("the client's identity", SPREAD, || {
        told().as_deref() == Some(&expected)
    })
    .unwrap();
    asks("false");
    wait_until("nothing of the client", SPREAD, || told().is_none()).unwrap();
}

#[test]
fn series_have_the_labels_that_telemetries_ask_for() {
    let fronted = Fronted::start(&[]);
    let _server = Scripted::saying(&fronted.pod("server"), 8080, "hello").unwrap();
    let telemetry = format!(
        "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\n\
         metadata: {{name: series, namespace: {NAMESPACE}}}\nspec:\n  metrics:\n  \
         - providers: [{{name: prometheus}}]\n    overrides:\n    \
         - match: {{metric: REQUEST_DURATION, mode: CLIENT}}\n      disabled: true\n    \
         - match: {{metric: REQUEST_COUNT, mode: SERVER}}\n      tagOverrides:\n        \
         tenant: {{value: \"request.headers['x-tenant']\"}}\n        \
         kind: {{value: \"response.code >= 400 ? 'bad' : 'good'\"}}\n        \
         source_principal: {{operation: REMOVE}}\n    \
         - match: {{metric: REQUEST_SIZE}}\n      disabled: true\n"
    );
    let configuration = &fronted.world.mesh.configuration;
    configuration.apply("telemetry", &telemetry).unwrap();
    let ask = || assert_eq!(fronted.get("/", "X-Tenant: blue\r\n").status, 200);
    let page = || fronted.waypoint.metrics().unwrap();
    wait_until("a label of ours", SPREAD, || {
        ask();
        sum_of(&page(), "istio_requests_total", &["tenant=\"blue\""]) > 0.0
    })
    .unwrap();
    let sizes = sum_of(&page(), "istio_request_bytes_count", &[]);
    let before = sum_of(&page(), "istio_request_duration_milliseconds_count", &[]);
    for _ in 0..5 {
        ask();
    }
    let all = wait_until("five more", SOON, || {
        sum_of(&page(), "istio_request_duration_milliseconds_count", &[]) >= before + 5.0
    });
    all.unwrap();
    let page = page();
    let sizes_now = sum_of(&page, "istio_request_bytes_count", &[]);
    assert!((sizes_now - sizes).abs() < 1e-9, "{page}");
    let told = series_of(&page, "istio_requests_total");
    let mut ours = told
        .iter()
        .filter(|(labels, _)| labels.contains_key("tenant"));
    let (labels, _) = ours.next().unwrap();
    assert_eq!(labels["kind"], "good");
    assert!(!labels.contains_key("source_principal"), "{labels:?}");
    assert_eq!(labels["source_workload"], "client");
    assert!(ours.next().is_none(), "{told:#?}");
}
