//! What single fields of a traffic policy come to, and whose rules hold.

use ambit_model::{HashKey, HashPolicy, HashTable, RetryShare};

use super::*;

/// The policy of service `web` that this one becomes, which must be followed as it is written.
fn made(policy: &str) -> TrafficPolicy {
    let spec = format!("host: web, trafficPolicy: {{{policy}}}");
    let folder = folder(&[rule(2026, "shop/r", &spec)]);
    assert_eq!(said(&folder, "shop/r"), "", "{policy}");
    super::policy(&folder).expect("a policy").clone()
}

#[test]
fn what_is_hashed_and_how_it_is_looked_up() {
    let header = || HashKey::Header("x-user".into());
    let cookie = HashKey::Cookie {
        name: "c".into(),
        path: "".into(),
        ttl: Some(Duration::ZERO),
        attributes: Vec::new(),
    };
    for (hash, by, table) in [
        ("httpHeaderName: X-User", header(), HashTable::Ring(1024)),
        (
            "httpHeaderName: X-User, maglev: {}",
            header(),
            HashTable::Maglev(65_537),
        ),
        (
            "httpHeaderName: X-User, maglev: {tableSize: 101}",
            header(),
            HashTable::Maglev(101),
        ),
        (
            "httpHeaderName: X-User, minimumRingSize: 64, ringHash: {minimumRingSize: 32}",
            header(),
            HashTable::Ring(32),
        ),
        (
            "httpCookie: {name: c, ttl: 0s}, minimumRingSize: 64",
            cookie,
            HashTable::Ring(64),
        ),
        (
            "useSourceIp: true, ringHash: {minimumRingSize: 0}",
            HashKey::SourceIp,
            HashTable::Ring(1024),
        ),
        (
            "httpQueryParameterName: Q",
            HashKey::Query("Q".into()),
            HashTable::Ring(1024),
        ),
    ] {
        let made = made(&format!("loadBalancer: {{consistentHash: {{{hash}}}}}"));
        let expected = Balancing::Hash(HashPolicy { by, table });
        assert_eq!(made.balancing, Some(expected), "{hash}");
    }
    // Nothing to hash: chance, and that is said.
    let spec = "host: web, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: false}}}";
    let folder = folder(&[rule(2026, "shop/r", spec)]);
    assert_eq!(balancing(&folder), Some(Balancing::Random));
    assert!(said(&folder, "shop/r").contains("picked by chance"));
}

#[test]
fn endpoints_warm_up_as_long_as_the_newer_field_says() {
    let warm_up = |more: &str| made(&format!("loadBalancer: {{{more}}}")).warm_up;
    let seconds = |count| Some(Duration::from_secs(count));
    assert_eq!(warm_up("warmupDurationSecs: 5s"), seconds(5));
    assert_eq!(
        warm_up("simple: RANDOM, warmup: {duration: 7s}"),
        seconds(7)
    );
    assert_eq!(
        warm_up("warmupDurationSecs: 5s, warmup: {duration: 7s}"),
        seconds(7)
    );
    assert_eq!(warm_up("simple: RANDOM"), None);
}

#[test]
fn localities_count_unless_they_are_switched_off() {
    let locality = |more: &str| made(more).locality;
    let setting = |more: &str| format!("loadBalancer: {{localityLbSetting: {{{more}}}}}");
    let failover = "failover: [{from: a, to: b}]";
    let on = locality(&setting(failover)).unwrap();
    assert!(!on.disabled && on.failover.len() == 1);
    let off = locality(&setting(&format!("{failover}, enabled: false"))).unwrap();
    assert!(off.disabled);
    assert_eq!(locality("loadBalancer: {simple: RANDOM}"), None);
    // What is said of localities goes before what detection brings along.
    let both = format!("{}, outlierDetection: {{}}", setting("enabled: false"));
    assert!(locality(&both).unwrap().disabled);
}

#[test]
fn numbers_of_0_are_as_if_nobody_had_said_them() {
    let bounds = made(
        "connectionPool: {tcp: {maxConnections: 0}, http: {http1MaxPendingRequests: 0, http2MaxRequests: 0, \
         maxRequestsPerConnection: 0, maxRetries: 0, maxConcurrentStreams: 0, idleTimeout: 0s}}",
    )
    .connections;
    assert_eq!(bounds, ambit_model::ConnectionPolicy::default());
    let streams =
        made("connectionPool: {http: {http2MaxRequests: 9, maxConcurrentStreams: 4}}").connections;
    assert_eq!((streams.requests, streams.streams_each), (Some(9), Some(4)));
    let outliers = |more: &str| {
        made(&format!("outlierDetection: {{{more}}}"))
            .outliers
            .unwrap()
    };
    let zeros = "maxEjectionPercent: 0, consecutiveLocalOriginFailures: 0";
    assert_eq!(outliers(zeros), OutlierPolicy::default());
    // Detection by this kind of answer is switched off by 0.
    let never = outliers("consecutive5xxErrors: 0, consecutiveGatewayErrors: 0");
    assert_eq!((never.consecutive_5xx, never.consecutive_gateway), (0, 0));
    let origin =
        outliers("splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2");
    assert!(origin.split_local_origin && origin.consecutive_local_origin == 2);
}

#[test]
fn the_old_number_of_errors_counts_where_there_is_no_new_one() {
    for (given, expected) in [
        ("consecutiveErrors: 7", 7),
        ("consecutiveErrors: 7, consecutiveGatewayErrors: 3", 3),
        ("consecutiveErrors: 7, consecutiveGatewayErrors: 0", 0),
        (
            "consecutiveErrors: 0",
            OutlierPolicy::default().consecutive_gateway,
        ),
    ] {
        let spec = format!("host: web, trafficPolicy: {{outlierDetection: {{{given}}}}}");
        let folder = folder(&[rule(2026, "shop/r", &spec)]);
        let told = said(&folder, "shop/r");
        let field = "spec.trafficPolicy.outlierDetection.consecutiveErrors: an old form";
        assert!(told.contains(field), "{given}: {told}");
        let outliers = &policy(&folder).expect("a policy").outliers;
        let wanted = OutlierPolicy {
            consecutive_gateway: expected,
            ..OutlierPolicy::default()
        };
        assert_eq!(*outliers, Some(wanted), "{given}");
    }
}

#[test]
fn the_budget_of_retries_is_the_services_on_every_port() {
    let share = |policy: &str| made(policy).connections.retry_share;
    let of = |percent, minimum| Some(RetryShare { percent, minimum });
    assert_eq!(share("retryBudget: {}"), of(20, 3));
    assert_eq!(
        share("retryBudget: {percent: 12.5, minRetryConcurrency: 0}"),
        of(13, 0)
    );
    assert_eq!(share("loadBalancer: {simple: RANDOM}"), None);
    let port = "portLevelSettings: [{port: {number: 80}, connectionPool: {http: {maxRetries: 4}}}]";
    let on_port = made(&format!("retryBudget: {{percent: 40}}, {port}")).connections;
    assert_eq!((on_port.retries, on_port.retry_share), (Some(4), of(40, 3)));
}

#[test]
fn the_protocol_towards_endpoints() {
    for (http, expected) in [
        ("useClientProtocol: true", HttpVersion::OfClient),
        ("h2UpgradePolicy: UPGRADE", HttpVersion::Http2),
        ("h2UpgradePolicy: DO_NOT_UPGRADE", HttpVersion::OfPort),
    ] {
        let made = made(&format!("connectionPool: {{http: {{{http}}}}}"));
        assert_eq!(made.connections.http, expected, "{http}");
    }
}

#[test]
fn ports_that_are_not_served_are_nobodys() {
    let spec = "host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}, \
        portLevelSettings: [{port: {number: 81}}, {port: {number: 9}, loadBalancer: {simple: ROUND_ROBIN}}]}";
    let folder = folder(&[rule(2026, "shop/r", spec)]);
    let whole = &service(&folder, "web.shop")
        .traffic
        .as_deref()
        .unwrap()
        .whole;
    assert_eq!(whole.ports.keys().collect::<Vec<_>>(), [&81]);
}

#[test]
fn of_two_subsets_of_one_name_that_of_the_older_rule_holds() {
    let subset = |labels: &str| format!("host: web, subsets: [{{name: a, labels: {{{labels}}}}}]");
    let folder = folder(&[
        rule(2026, "shop/young", &subset("version: v2")),
        rule(2025, "shop/old", &subset("version: v1")),
    ]);
    let traffic = service(&folder, "web.shop").traffic.as_deref().unwrap();
    assert_eq!(&*traffic.subsets["a"].labels["version"], "v1");
    assert!(
        said(&folder, "shop/young")
            .contains("spec.subsets[0]: another object has a subset `a` already")
    );
    assert_eq!(said(&folder, "shop/old"), "");
}

/// Service `web` of namespace `shop`, behind a waypoint of namespace `infra`.
const ELSEWHERE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {ambit.mesh/use-waypoint: w, ambit.mesh/use-waypoint-namespace: infra}}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}
";

#[test]
fn rules_of_the_waypoints_namespace_go_before_those_of_the_services() {
    let with = |rules: &[String]| {
        let objects = format!("{ELSEWHERE}{}", rules.concat());
        Folder::of(&behind_waypoint("infra", &objects))
    };
    let of_service = rule(2020, "shop/r", &simple("RANDOM"));
    let of_waypoint = rule(2026, "infra/r", &simple("ROUND_ROBIN"));
    assert_eq!(
        balancing(&with(std::slice::from_ref(&of_service))),
        Some(Balancing::Random)
    );
    let both = with(&[of_service, of_waypoint]);
    assert_eq!(balancing(&both), Some(Balancing::RoundRobin));
    assert!(said(&both, "shop/r").contains("DestinationRule infra/r counts instead"));
    // Who sends is the waypoint: a rule that is for its own namespace alone does not reach it.
    let private = rule(
        2026,
        "shop/r",
        &format!("{}, exportTo: [.]", simple("RANDOM")),
    );
    let private = with(&[private]);
    assert_eq!(balancing(&private), None);
    assert!(said(&private, "shop/r").contains("not exported to namespace infra"));
    let exported = rule(
        2026,
        "shop/r",
        &format!("{}, exportTo: [infra]", simple("RANDOM")),
    );
    assert_eq!(balancing(&with(&[exported])), Some(Balancing::Random));
}
