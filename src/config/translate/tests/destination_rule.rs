//! Destination rules of services as waypoints get them.

mod fields;
mod secrets;

use std::time::Duration;

use ambit_model::{
    Balancing, HttpVersion, Keepalive, LocalityPolicy, OutlierPolicy, TrafficPolicy,
};

use super::{behind_waypoint, service, workload};
use crate::config::fixture::Folder;
use crate::config::problem::Severity;

/// Service `web` behind a waypoint of its namespace, with a pod.
const WEB: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}, {name: http-b, port: 81}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, uid: u0, labels: {app: web, version: v1, tier: x}}
status: {podIPs: [{ip: 10.244.0.9}]}
";

/// A rule made in that year.
fn rule(year: u16, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("a namespace");
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: '{year}-01-01T00:00:00Z'}}\n\
         spec: {{{spec}}}\n"
    )
}

fn folder(rules: &[String]) -> Folder {
    Folder::of(&format!("{WEB}{}", rules.concat()))
}

fn simple(algorithm: &str) -> String {
    format!(
        "host: web.shop.svc.cluster.local, trafficPolicy: {{loadBalancer: {{simple: {algorithm}}}}}"
    )
}

/// What holds on port 80.
fn policy(folder: &Folder) -> Option<&TrafficPolicy> {
    let traffic = service(folder, "web.shop").traffic.as_deref()?;
    Some(traffic.whole.on(80))
}

fn balancing(folder: &Folder) -> Option<Balancing> {
    policy(folder)?.balancing.clone()
}

/// What is said of an object, in lines.
fn said(folder: &Folder, name: &str) -> String {
    let problems = folder.configuration.problems();
    let of = problems
        .iter()
        .filter(|problem| problem.object.ends_with(name));
    of.map(|problem| {
        format!(
            "{} {}: {}\n",
            problem.severity == Severity::Error,
            problem.field,
            problem.what
        )
    })
    .collect()
}

#[test]
fn the_teams_values_hold_as_they_are_written() {
    let spec = "host: web, trafficPolicy: {\
        connectionPool: {tcp: {maxConnections: 100, connectTimeout: 5s}, http: {h2UpgradePolicy: DEFAULT, \
        http1MaxPendingRequests: 50, http2MaxRequests: 100, maxRequestsPerConnection: 10, maxRetries: 3}}, \
        outlierDetection: {consecutive5xxErrors: 3, interval: 10s, baseEjectionTime: 30s, \
        maxEjectionPercent: 50, minHealthPercent: 30}, loadBalancer: {simple: LEAST_REQUEST}}";
    let folder = folder(&[rule(2026, "shop/r", spec)]);
    let policy = policy(&folder).unwrap();
    assert_eq!(policy.balancing, Some(Balancing::LeastRequest));
    let bounds = &policy.connections;
    let numbers = [
        bounds.connections,
        bounds.pending,
        bounds.requests,
        bounds.requests_each,
        bounds.retries,
    ];
    assert_eq!(numbers, [100, 50, 100, 10, 3].map(Some));
    assert_eq!(bounds.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(bounds.http, HttpVersion::OfPort);
    let expected = OutlierPolicy {
        consecutive_5xx: 3,
        max_ejection_percent: 50,
        min_health_percent: 30,
        ..OutlierPolicy::default()
    };
    assert_eq!(policy.outliers, Some(expected));
    // With detection, Istio goes by locality.
    assert_eq!(policy.locality, Some(LocalityPolicy::default()));
    assert_eq!(said(&folder, "shop/r"), "");
}

#[test]
fn bounds_of_connections_hold_as_they_are_written() {
    let bounds = |tcp: &str| {
        let spec = format!("host: web, trafficPolicy: {{connectionPool: {{tcp: {{{tcp}}}}}}}");
        let folder = folder(&[rule(2026, "shop/r", &spec)]);
        assert!(!said(&folder, "shop/r").contains("true"));
        policy(&folder).unwrap().connections.clone()
    };
    let seconds = |count| Some(Duration::from_secs(count));
    let all = bounds(
        "tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}, maxConnectionDuration: 1h, idleTimeout: 30s",
    );
    let keepalive = Keepalive {
        probes: Some(3),
        time: seconds(7200),
        interval: seconds(75),
    };
    assert_eq!(all.keepalive, Some(keepalive));
    assert_eq!((all.lifetime, all.silence), (seconds(3600), seconds(30)));
    // That of requests is another one.
    assert_eq!(all.idle_timeout, None);
    let never = bounds("idleTimeout: 0s, tcpKeepalive: {}");
    assert_eq!((never.silence, never.lifetime), (seconds(0), None));
    assert_eq!(never.keepalive, Some(Keepalive::default()));
}

#[test]
fn a_port_takes_the_place_of_the_policy_and_a_subset_goes_over_it_field_by_field() {
    let spec = "host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}, outlierDetection: {consecutive5xxErrors: 7}, \
        portLevelSettings: [{port: {number: 81}, connectionPool: {tcp: {maxConnections: 5}}}, \
        {port: {number: 81}, connectionPool: {tcp: {maxConnections: 6}}}]}, \
        subsets: [{name: v1, labels: {version: v1}}, \
        {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, \
        portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]}}]";
    let folder = folder(&[rule(2026, "shop/r", spec)]);
    let traffic = service(&folder, "web.shop").traffic.as_deref().unwrap();
    let shown = |policy: &TrafficPolicy| {
        let errors = policy
            .outliers
            .as_ref()
            .map(|outliers| outliers.consecutive_5xx);
        (
            policy.balancing.clone(),
            errors,
            policy.connections.connections,
        )
    };
    let (random, robin) = (Some(Balancing::Random), Some(Balancing::RoundRobin));
    let whole = &traffic.whole;
    assert_eq!(shown(whole.on(80)), (random.clone(), Some(7), None));
    assert_eq!(shown(whole.on(81)), (None, None, Some(5)));
    let v1 = &traffic.subsets["v1"];
    assert_eq!(v1.policies, *whole);
    assert_eq!(&*v1.labels["version"], "v1");
    let v2 = &traffic.subsets["v2"].policies;
    assert_eq!(shown(&v2.any), (robin.clone(), Some(7), None));
    assert_eq!(shown(v2.on(80)), (None, Some(5), None));
    assert_eq!(shown(v2.on(81)), (robin, None, Some(5)));
    // The labels that subsets ask for travel with the pods, and no others.
    let labels: Vec<&str> = workload(&folder, "shop", "web-0")
        .labels
        .keys()
        .map(AsRef::as_ref)
        .collect();
    assert_eq!(labels, ["version"]);
}

#[test]
fn the_namespace_then_the_precision_then_the_age_decide() {
    let robin = || rule(2020, "ambit-system/root", &simple("ROUND_ROBIN"));
    let wild = rule(
        2021,
        "shop/wild",
        "host: '*.shop.svc.cluster.local', trafficPolicy: {loadBalancer: {simple: RANDOM}}",
    );
    let folder_of = |rules: &[String]| folder(rules);
    assert_eq!(
        balancing(&folder_of(&[robin()])),
        Some(Balancing::RoundRobin)
    );
    let both = folder_of(&[robin(), wild.clone()]);
    assert_eq!(balancing(&both), Some(Balancing::Random));
    assert!(said(&both, "ambit-system/root").contains("DestinationRule shop/wild counts instead"));
    let exact = rule(2022, "shop/exact", &simple("LEAST_REQUEST"));
    let all = folder_of(&[robin(), wild, exact.clone()]);
    assert_eq!(balancing(&all), Some(Balancing::LeastRequest));
    let older = rule(
        2019,
        "shop/older",
        "host: web, subsets: [{name: a}], trafficPolicy: {loadBalancer: {simple: RANDOM}}",
    );
    let two = folder_of(&[exact, older]);
    assert_eq!(balancing(&two), Some(Balancing::Random));
    assert!(
        said(&two, "shop/exact").contains("spec.trafficPolicy: that of DestinationRule shop/older")
    );
    let subsets = &service(&two, "web.shop")
        .traffic
        .as_deref()
        .unwrap()
        .subsets;
    assert!(subsets.contains_key("a"));
}

#[test]
fn what_has_no_effect_is_said() {
    for (name, spec, expected) in [
        ("other/r", simple("RANDOM"), "of namespace other"),
        (
            "shop/r",
            "host: nobody".to_owned(),
            "`nobody` is no service",
        ),
        (
            "shop/r",
            "host: web, exportTo: [other]".to_owned(),
            "not exported to namespace shop",
        ),
        (
            "shop/r",
            "host: web, workloadSelector: {matchLabels: {a: b}}".to_owned(),
            "for some clients alone",
        ),
        (
            "shop/r",
            "host: web, trafficPolicy: {tls: {mode: SIMPLE}}".to_owned(),
            "true spec.trafficPolicy.tls.mode",
        ),
        (
            "shop/r",
            "host: web, trafficPolicy: {tls: {mode: DISABLE}}".to_owned(),
            "false spec.trafficPolicy.tls.mode",
        ),
        (
            "shop/r",
            "host: api.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: MUTUAL, credentialName: c}}]}"
                .to_owned(),
            "true spec.trafficPolicy.portLevelSettings[0].tls.credentialName: the control plane reads no Secrets",
        ),
        ("shop/r", simple("PASSTHROUGH"), "followed as LEAST_REQUEST"),
        (
            "shop/r",
            "host: web, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {time: 1s}}}}"
                .to_owned(),
            "tcpKeepalive: holds for endpoints that take no tunnels",
        ),
        (
            "shop/r",
            "host: api.example.com, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {interval: 10h}}}}"
                .to_owned(),
            "false spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.interval",
        ),
        (
            "shop/r",
            "host: web, trafficPolicy: {proxyProtocol: {version: V1}}".to_owned(),
            "true spec.trafficPolicy.proxyProtocol",
        ),
    ] {
        let folder = folder(&[rule(2026, name, &spec)]);
        let said = said(&folder, name);
        assert!(said.contains(expected), "{spec}: {said}");
    }
    let fine = folder(&[rule(
        2026,
        "shop/r",
        "host: web, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}",
    )]);
    assert_eq!(said(&fine, "shop/r"), "");
}

#[test]
fn a_rule_that_goes_takes_what_it_said_with_it() {
    let mut folder = folder(&[]);
    assert_eq!(policy(&folder), None);
    let text = rule(
        2026,
        "shop/r",
        "host: web, subsets: [{name: v1, labels: {version: v1}}]",
    );
    let changes = folder.write("rule.yaml", &text);
    // The service, and the pod that has a label now.
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(policy(&folder).is_some());
    let text = rule(
        2026,
        "shop/r",
        "host: web, subsets: [{name: v2, labels: {version: v2}}]",
    );
    assert_eq!(folder.write("rule.yaml", &text).len(), 1);
    assert_eq!(folder.write("rule.yaml", "").len(), 2);
    assert_eq!(policy(&folder), None);
}

#[test]
fn a_rule_for_a_host_outside_of_the_mesh_holds_there_with_its_tls() {
    const ENTRY: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}
spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}
";
    let mut folder = Folder::of(&format!("{WEB}---{ENTRY}"));
    let tls = |folder: &Folder| {
        let mut services = folder
            .configuration
            .mesh()
            .services_by_host("api.example.com");
        let traffic = services.next().expect("the host").traffic.clone();
        let tls = traffic.as_deref()?.whole.on(80).tls.clone()?;
        tls.sni.clone()
    };
    assert_eq!(tls(&folder), None);
    for (host, sni) in [
        ("api.example.com", "a.example.com"),
        ("'*.example.com'", "b.example.com"),
    ] {
        let spec = format!("host: {host}, trafficPolicy: {{tls: {{mode: SIMPLE, sni: {sni}}}}}");
        folder.write("rule.yaml", &rule(2026, "shop/r", &spec));
        assert_eq!(tls(&folder).as_deref(), Some(sni), "{host}");
    }
    let other = "host: www.example.com, trafficPolicy: {tls: {mode: SIMPLE, sni: c.example.com}}";
    folder.write("rule.yaml", &rule(2026, "shop/r", other));
    assert_eq!(tls(&folder), None);
}

/// A host that is bound to the waypoint.
fn host(name: &str, host: &str, more: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {name}, namespace: shop, labels: {{ambit.mesh/use-waypoint: w}}}}\n\
         spec: {{hosts: ['{host}'], ports: [{{number: 80, name: http, protocol: HTTP}}], {more}}}\n"
    )
}

#[test]
fn what_chooses_among_endpoints_is_not_followed_where_clients_name_them() {
    const NAMED: &str = "the host that a client names is gone to, at any of its addresses";
    const KEPT: &str = "the address that a client asks for is gone to";
    let both = "loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {interval: 1s}, \
        connectionPool: {tcp: {maxConnections: 7}}";
    let by_port = &format!("portLevelSettings: [{{port: {{number: 80}}, {both}}}]");
    let passed = "loadBalancer: {simple: PASSTHROUGH}";
    let random = "loadBalancer: {simple: RANDOM}";
    let and_more = "loadBalancer: {simple: PASSTHROUGH, localityLbSetting: {enabled: true}}";
    let (many, one) = ("*.example.com", "api.example.com");
    let block = "resolution: NONE, addresses: [192.0.2.7]";
    let of_port = "portLevelSettings[0].";
    let all = &["loadBalancer", "outlierDetection"][..];
    let first = &all[..1];
    // The host, the rule's, its policy; where and what is said of the first.
    for (given, more, ruled, policy, under, fields, why) in [
        (many, "resolution: NONE", many, both, "", all, NAMED),
        (many, "resolution: DYNAMIC_DNS", many, both, "", all, NAMED),
        (many, "resolution: NONE", many, by_port, of_port, all, NAMED),
        (many, "resolution: NONE", many, passed, "", first, NAMED),
        (many, "resolution: NONE", many, random, "", &[], NAMED),
        (one, block, one, both, "", all, KEPT),
        (one, block, many, both, "", all, KEPT),
        (one, block, one, passed, "", &[], KEPT),
        (one, block, one, and_more, "", first, KEPT),
        (one, block, one, random, "", first, KEPT),
        (one, "resolution: DNS", one, both, "", &[], ""),
        (one, "resolution: NONE", one, both, "", &[], ""),
        (
            many,
            "resolution: STATIC, endpoints: [{address: 192.0.2.7}]",
            many,
            both,
            "",
            &[],
            "",
        ),
    ] {
        let spec = format!("host: '{ruled}', trafficPolicy: {{{policy}}}");
        let folder = folder(&[host("partner", given, more), rule(2026, "shop/r", &spec)]);
        let line = |field: &&str| {
            format!("false spec.trafficPolicy.{under}{field}: not followed for `{given}`: {why}\n")
        };
        let expected: String = fields.iter().map(line).collect();
        assert_eq!(
            said(&folder, "shop/r"),
            expected,
            "{given} {more} {ruled} {policy}"
        );
    }
}

#[test]
fn labels_of_subsets_are_not_followed_where_clients_name_the_endpoints() {
    let subsets = "subsets: [{name: all}, {name: v1, labels: {version: v1}}]";
    for (given, more, expected) in [
        ("*.example.com", "resolution: NONE", 1),
        (
            "a.example.com",
            "resolution: NONE, addresses: [192.0.2.7]",
            1,
        ),
        ("a.example.com", "resolution: DNS", 0),
    ] {
        let spec = format!("host: '{given}', {subsets}");
        let folder = folder(&[host("partner", given, more), rule(2026, "shop/r", &spec)]);
        let told = said(&folder, "shop/r");
        let line = format!("false spec.subsets[1].labels: not followed for `{given}`: ");
        assert_eq!(
            told.matches(&line).count(),
            expected,
            "{given} {more}: {told}"
        );
        assert!(!told.contains("subsets[0].labels"), "{told}");
    }
}

#[test]
fn a_rule_for_many_hosts_says_of_each_what_is_not_followed_there() {
    let spec = "host: '*.com', trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}";
    let hosts = [
        host("a", "*.a.com", "resolution: NONE"),
        host("b", "*.b.com", "resolution: NONE"),
        host("c", "c.com", "resolution: DNS"),
    ];
    let given = [&hosts[..], &[rule(2026, "shop/r", spec)]].concat();
    let told = said(&folder(&given), "shop/r");
    for part in ["`*.a.com`", "`*.b.com`", "followed as LEAST_REQUEST"] {
        assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
    }
    // Where a more precise rule decides, nothing is said.
    let precise = "host: '*.a.com', trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}";
    let given = [given, vec![rule(2026, "shop/p", precise)]].concat();
    let told = said(&folder(&given), "shop/r");
    assert!(
        !told.contains("`*.a.com`") && told.contains("`*.b.com`"),
        "{told}"
    );
}
