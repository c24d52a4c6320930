use super::*;

const WAYPOINT: Waypoint<'static> = Waypoint {
    namespace: "shop",
    name: "waypoint",
};

fn rules(namespace: &str, since: &str, scope: TelemetryScope, says: &str) -> TelemetryRules {
    let rule = match says {
        "off" => AccessLogRule {
            disabled: true,
            filter: None,
        },
        "on" => AccessLogRule::default(),
        filter => AccessLogRule {
            disabled: false,
            filter: Some(filter.into()),
        },
    };
    TelemetryRules {
        namespace: namespace.into(),
        name: since.into(),
        since: since.into(),
        scope,
        access_log: vec![rule],
        tracing: Vec::new(),
        metrics: Vec::new(),
        client_identity: None,
    }
}

fn cart() -> ServiceName {
    ServiceName::new("shop", "cart.shop.svc.cluster.local")
}

/// `on`, `off`, or the filter.
fn outcome(rules: &[TelemetryRules], service: Option<&ServiceName>) -> String {
    let found = AccessLogging::of(&MeshTelemetry::default(), rules, &WAYPOINT, service);
    match (found.enabled, found.filter) {
        (false, _) => "off".to_owned(),
        (true, None) => "on".to_owned(),
        (true, Some(filter)) => String::from(&*filter),
    }
}

#[test]
fn the_narrowest_scope_has_the_last_word() {
    let gateway = |name: &str| TelemetryScope::Targets(vec![TelemetryTarget::Gateway(name.into())]);
    let service = TelemetryScope::Targets(vec![TelemetryTarget::Service(cart())]);
    let mut all = vec![rules("shop", "9", service, "a")];
    assert_eq!(outcome(&all, Some(&cart())), "a");
    assert_eq!(outcome(&all, None), "on");
    all.push(rules("root", "8", TelemetryScope::Mesh, "off"));
    assert_eq!(outcome(&all, None), "off");
    all.push(rules("shop", "7", TelemetryScope::Namespace, "b"));
    all.push(rules("other", "6", TelemetryScope::Namespace, "c"));
    assert_eq!(outcome(&all, None), "b");
    all.push(rules("shop", "5", gateway("waypoint"), "d"));
    all.push(rules("shop", "4", gateway("another"), "e"));
    all.push(rules("other", "3", gateway("waypoint"), "f"));
    assert_eq!(outcome(&all, None), "d");
    // Bound to this and that: the younger.
    assert_eq!(outcome(&all, Some(&cart())), "a");
    let other = ServiceName::new("shop", "other.shop.svc.cluster.local");
    assert_eq!(outcome(&all, Some(&other)), "d");
}

#[test]
fn of_several_without_targets_the_oldest_counts() {
    let all = [
        rules("root", "3", TelemetryScope::Mesh, "a"),
        rules("root", "2", TelemetryScope::Mesh, "b"),
    ];
    assert_eq!(outcome(&all, None), "b");
    let all = [
        rules("shop", "2", TelemetryScope::Namespace, "off"),
        rules("shop", "3", TelemetryScope::Namespace, "a"),
    ];
    assert_eq!(outcome(&all, None), "off");
}

#[test]
fn a_log_that_the_mesh_has_off_can_be_turned_on() {
    let mesh = MeshTelemetry {
        access_log: false,
        ..MeshTelemetry::default()
    };
    let of = |rules: &[TelemetryRules]| AccessLogging::of(&mesh, rules, &WAYPOINT, None).enabled;
    assert!(!of(&[]));
    assert!(of(&[rules("shop", "1", TelemetryScope::Namespace, "on")]));
    let silent = TelemetryRules {
        access_log: Vec::new(),
        ..rules("shop", "1", TelemetryScope::Namespace, "on")
    };
    assert!(!of(&[silent]));
}

#[test]
fn what_a_rule_about_traces_leaves_open_stays() {
    let tracing = |scope, sampling, unreported| TelemetryRules {
        access_log: Vec::new(),
        tracing: vec![TracingRule {
            sampling,
            unreported,
            ..TracingRule::default()
        }],
        ..rules("shop", "1", scope, "on")
    };
    let of = |rules: &[TelemetryRules]| {
        let tracing = Tracing::of(rules, &WAYPOINT, Some(&cart()));
        (tracing.sampling, tracing.unreported)
    };
    assert_eq!(of(&[]), (None, false));
    let service = || TelemetryScope::Targets(vec![TelemetryTarget::Service(cart())]);
    let all = [
        tracing(TelemetryScope::Mesh, Some(5), Some(true)),
        tracing(TelemetryScope::Namespace, Some(7), None),
    ];
    assert_eq!(of(&all), (Some(7), true));
    let all = [
        tracing(TelemetryScope::Mesh, Some(5), Some(true)),
        tracing(service(), None, Some(false)),
    ];
    assert_eq!(of(&all), (Some(5), false));
}

#[test]
fn what_is_said_of_series_adds_up_and_the_last_word_counts() {
    let says = |scope, since: &str, metrics: &[MetricsRule]| TelemetryRules {
        access_log: Vec::new(),
        metrics: metrics.to_vec(),
        ..rules("shop", since, scope, "on")
    };
    let rule = |metric, disabled, tags: &[(&str, Option<&str>)]| MetricsRule {
        metrics: vec![metric],
        disabled,
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).into(), value.map(Into::into)))
            .collect(),
    };
    let service = TelemetryScope::Targets(vec![TelemetryTarget::Service(cart())]);
    let (count, size) = (Metric::RequestCount, Metric::RequestSize);
    let all = [
        says(
            service,
            "1",
            &[
                rule(size, Some(false), &[]),
                rule(count, None, &[("a", None)]),
            ],
        ),
        says(
            TelemetryScope::Namespace,
            "2",
            &[
                rule(size, Some(true), &[]),
                rule(count, None, &[("a", Some("x")), ("b", Some("y"))]),
            ],
        ),
    ];
    let of = |service| Metrics::of(&all, &WAYPOINT, service).0;
    let (base, own) = (of(None), of(Some(&cart())));
    assert!(base[&size].disabled && !own[&size].disabled);
    let tags = |shape: &MetricShape| -> Vec<String> {
        let tags = shape.tags.iter();
        tags.map(|(name, value)| format!("{name}={value:?}"))
            .collect()
    };
    assert_eq!(tags(&base[&count]), ["a=Some(\"x\")", "b=Some(\"y\")"]);
    assert_eq!(tags(&own[&count]), ["a=None", "b=Some(\"y\")"]);
}

#[test]
fn applications_are_told_of_clients_where_somebody_asks() {
    let gateway = |name: &str| TelemetryScope::Targets(vec![TelemetryTarget::Gateway(name.into())]);
    let asks = |name: &str, asks| TelemetryRules {
        client_identity: Some(asks),
        ..rules("shop", name, gateway(name), "on")
    };
    let of = |rules: &[TelemetryRules]| client_identity(rules, &WAYPOINT);
    assert!(!of(&[]));
    assert!(!of(&[asks("other", true)]));
    assert!(of(&[asks("waypoint", true), asks("other", false)]));
    assert!(!of(&[asks("waypoint", false)]));
}
