use crate::config::fixture::Folder;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::Severity;
use crate::config::statuses::{Said, Shown};
use crate::config::{Batch, Configuration};

/// A namespace, a service and a waypoint, with these telemetries: name, when it was made, spec.
fn configuration(telemetries: &[(&str, &str, &str)]) -> Configuration {
    let mut text = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"
    .to_owned();
    for (name, since, spec) in telemetries {
        let (namespace, name) = name.split_once('/').unwrap();
        text.push_str(&format!(
            "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, \
             namespace: {namespace}, creationTimestamp: '2026-01-0{since}T00:00:00Z'}}\nspec: {spec}\n"
        ));
    }
    let mut configuration = Configuration::default();
    let batch: Batch = Folder::of(&text).everything();
    drop(configuration.apply(batch));
    configuration
}

/// Reason and message of the condition, of the telemetry of that name.
fn said(configuration: &Configuration, name: &str) -> (bool, &'static str, String) {
    let (namespace, name) = name.split_once('/').unwrap();
    let key = ObjectKey::new(Kind::Telemetry, namespace, name);
    let status = configuration.said_of_telemetry(&key, &Shown::default(), None);
    let condition = status.conditions.into_iter().next().unwrap();
    (condition.status, condition.reason, condition.message)
}

const ERRORS: &str = "{accessLogging: [{filter: {expression: response.code >= 400}}]}";

#[test]
fn what_is_followed_is_accepted_and_told_with_its_scope() {
    let targets = "{targetRefs: [{kind: Service, name: cart}, \
        {group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}], \
        accessLogging: [{disabled: true}]}";
    let configuration = configuration(&[
        ("istio-system/mesh", "1", ERRORS),
        ("shop/all", "1", ERRORS),
        ("shop/some", "1", targets),
    ]);
    for name in ["istio-system/mesh", "shop/all", "shop/some"] {
        let (status, reason, message) = said(&configuration, name);
        assert_eq!((status, reason), (true, "Accepted"), "{message}");
    }
    let rules = configuration.telemetry_rules();
    let scopes: Vec<String> = rules
        .iter()
        .map(|rules| format!("{} {:?}", rules.name, rules.scope))
        .collect();
    assert_eq!(scopes[0], "mesh Mesh");
    assert_eq!(scopes[1], "all Namespace");
    assert!(
        scopes[2].contains("cart.shop.svc.cluster.local")
            && scopes[2].contains("Gateway(\"waypoint\")"),
        "{scopes:?}"
    );
    assert!(rules[2].access_log[0].disabled);
    assert_eq!(
        rules[0].access_log[0].filter.as_deref(),
        Some("response.code >= 400")
    );
    assert!(configuration.telemetry_findings().is_empty());
    let traced = "{tracing: [{randomSamplingPercentage: 12.5, disableSpanReporting: true}]}";
    let configuration = self::configuration(&[("shop/t", "1", traced)]);
    assert!(
        said(&configuration, "shop/t")
            .2
            .contains("Told to waypoints")
    );
    let rule = &configuration.telemetry_rules()[0].tracing[0];
    assert_eq!(
        (rule.sampling, rule.unreported),
        (Some(12_500_000), Some(true))
    );
}

#[test]
fn what_is_not_followed_is_said_with_field_and_remedy() {
    let cases = [
        (
            "{tracing: [{customTags: {a: {header: {name: cookie}}}}]}",
            false,
            "UnsupportedValue",
            "spec.tracing[0].customTags.a.header.name",
        ),
        (
            "{tracing: [{enableIstioTags: true}]}",
            true,
            "AcceptedWithWarnings",
            "spec.tracing[0].enableIstioTags",
        ),
        (
            "{metrics: [{overrides: [{disabled: true}]}]}",
            true,
            "AcceptedWithWarnings",
            "spec.metrics",
        ),
        (
            "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, \
             tagOverrides: {host: {value: request.hots}}}]}]}",
            false,
            "UnsupportedValue",
            "spec.metrics[0].overrides[0].tagOverrides.host.value",
        ),
        (
            "{selector: {matchLabels: {app: a}}, accessLogging: [{}]}",
            false,
            "NotForWaypoints",
            "spec.selector",
        ),
        (
            "{accessLogging: [{filter: {expression: response.kode > 1}}]}",
            false,
            "UnsupportedValue",
            "response.kode",
        ),
        (
            "{accessLogging: [{providers: [{name: als}]}]}",
            false,
            "UnsupportedValue",
            "providers[0].name",
        ),
        (
            "{accessLogging: [{match: {mode: CLIENT}}]}",
            true,
            "AcceptedWithWarnings",
            "match.mode",
        ),
        (
            "{targetRefs: [{kind: Service, name: gone}], accessLogging: [{}]}",
            true,
            "AcceptedWithWarnings",
            "there is no Service shop/gone",
        ),
        (
            "{targetRefs: [{kind: Pod, name: a}], accessLogging: [{}]}",
            false,
            "UnsupportedValue",
            "cannot be referred to",
        ),
    ];
    for (spec, status, reason, told) in cases {
        let configuration = configuration(&[("shop/t", "1", spec)]);
        let (is, why, message) = said(&configuration, "shop/t");
        assert_eq!((is, why), (status, reason), "{spec}: {message}");
        assert!(message.contains(told), "{spec}: {message}");
        assert_eq!(configuration.problems().len(), 1, "{spec}");
    }
}

#[test]
fn of_two_for_the_same_the_younger_is_told_of_the_older() {
    let configuration = configuration(&[
        ("shop/a", "2", ERRORS),
        ("shop/b", "1", ERRORS),
        ("other/c", "3", ERRORS),
    ]);
    assert!(said(&configuration, "shop/b").0);
    assert!(said(&configuration, "other/c").0);
    let (status, reason, message) = said(&configuration, "shop/a");
    assert_eq!((status, reason), (false, "UnsupportedValue"));
    assert!(message.contains("Telemetry shop/b is older"), "{message}");
    let findings = configuration.telemetry_findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].1, Severity::Error);
}

#[test]
fn gateways_and_namespaces_ask_for_the_client_s_identity() {
    let asked = |namespace: &str, gateway: &str| {
        let text = format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: shop{namespace}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: shop{gateway}}}
spec: {{gatewayClassName: ambit-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: other, namespace: shop{gateway}}}
spec: {{gatewayClassName: somebody-else}}
"
        );
        let mut configuration = Configuration::default();
        drop(configuration.apply(Folder::of(&text).everything()));
        let rules = configuration.telemetry_rules();
        assert!(rules.len() < 2, "of our Gateway only: {rules:?}");
        let asked = rules.first().and_then(|rules| rules.client_identity);
        let found = configuration.telemetry_findings();
        (
            asked,
            found.first().map(|(_, _, finding)| finding.to_string()),
        )
    };
    let ours = |value: &str| {
        format!(", annotations: {{ambit.mesh/xfcc-include-client-identity: '{value}'}}")
    };
    let istio = ", labels: {ambient.istio.io/xfcc-include-client-identity: 'true'}";
    assert_eq!(asked("", ""), (None, None));
    assert_eq!(asked(&ours("true"), ""), (Some(true), None));
    assert_eq!(asked(istio, ""), (Some(true), None));
    assert_eq!(asked(istio, &ours("false")), (Some(false), None));
    assert_eq!(asked("", istio), (Some(true), None));
    let (asked, said) = asked("", &ours("yes"));
    assert_eq!(asked, Some(false));
    assert!(said.unwrap().contains("neither true nor false"));
}

#[test]
fn the_report_has_telemetries() {
    let mut configuration = configuration(&[("shop/a", "1", ERRORS)]);
    let key = ObjectKey::new(Kind::Telemetry, "shop", "a");
    let shown = Batch {
        shown: vec![(key.clone(), Some(Shown::default()))],
        ..Batch::default()
    };
    drop(configuration.apply(shown));
    let report = configuration.report();
    let (_, shown, said) = report.statuses.iter().find(|(of, ..)| *of == key).unwrap();
    let Said::Traffic(_) = said else {
        panic!("in another form");
    };
    let status = said.status(shown, "2026-01-01T00:00:00Z");
    assert_eq!(status["conditions"][0]["reason"], "Accepted");
}
