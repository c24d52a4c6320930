//! Services, their ports and how their endpoints are picked.

use ambit_model::{AppProtocol, IpFamilies, LoadBalancingMode};
use insta::assert_debug_snapshot;

use super::{service, workload};
use crate::config::fixture::Folder;

fn with_spec(spec: &str) -> Folder {
    with(&format!(
        "metadata: {{name: web, namespace: shop}}\nspec: {{{spec}}}"
    ))
}

fn with(fields: &str) -> Folder {
    Folder::of(&format!("apiVersion: v1\nkind: Service\n{fields}\n"))
}

#[test]
fn a_service_keeps_its_addresses_and_ports() {
    let folder = with_spec(
        "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00:10:96::1'], ipFamilies: [IPv4, IPv6],\
         ports: [{name: http, port: 80, targetPort: 8080}, {name: grpc-web, port: 81, targetPort: web},\
         {name: dns, port: 53, protocol: UDP}, {port: 6379, appProtocol: redis}]",
    );
    assert_debug_snapshot!(service(&folder, "web.shop"));
}

#[test]
fn headless_services_have_no_address_and_external_names_are_none() {
    for headless in [
        "clusterIP: None",
        "clusterIP: None, clusterIPs: [None]",
        "clusterIP: ''",
    ] {
        assert!(
            service(&with_spec(headless), "web.shop").vips.is_empty(),
            "{headless}"
        );
    }
    let external = with_spec("type: ExternalName, externalName: example.com");
    assert_eq!(external.configuration.mesh().service_count(), 0);
}

#[test]
fn the_application_protocol_is_told_by_field_or_name() {
    let cases = [
        ("name: http", AppProtocol::Http11),
        ("name: http-web", AppProtocol::Http11),
        ("name: HTTP2-web", AppProtocol::Http2),
        ("name: httpx", AppProtocol::Unknown),
        ("name: grpc", AppProtocol::Grpc),
        ("name: tls-x", AppProtocol::Tls),
        ("name: https", AppProtocol::Tls),
        ("name: redis", AppProtocol::Tcp),
        ("name: web, appProtocol: http", AppProtocol::Http11),
        (
            "name: http, appProtocol: kubernetes.io/h2c",
            AppProtocol::Http2,
        ),
        (
            "name: http, appProtocol: example.com/own",
            AppProtocol::Unknown,
        ),
        ("appProtocol: tcp", AppProtocol::Tcp),
        ("appProtocol: grpc-web", AppProtocol::Grpc),
    ];
    for (port, protocol) in cases {
        let folder = with_spec(&format!("ports: [{{port: 80, {port}}}]"));
        assert_eq!(
            service(&folder, "web.shop").ports[0].app_protocol,
            protocol,
            "{port}"
        );
    }
}

#[test]
fn session_affinity_is_by_the_clients_address_or_not_at_all() {
    let sticky = |spec: &str| {
        let folder = with_spec(spec);
        service(&folder, "web.shop").load_balancing.session_affinity
    };
    assert!(sticky(
        "sessionAffinity: ClientIP, internalTrafficPolicy: Local"
    ));
    assert!(sticky("sessionAffinity: ClientIP"));
    assert!(!sticky("sessionAffinity: None") && !sticky(""));
}

#[test]
fn traffic_policies_become_preferences() {
    use LoadBalancingMode::{Failover, Strict, Unspecified};
    let balancing = |spec: &str| {
        let folder = with_spec(spec);
        let balancing = service(&folder, "web.shop").load_balancing.clone();
        (
            balancing.mode,
            balancing.routing_preference,
            balancing.allow_unhealthy,
        )
    };
    assert_eq!(balancing(""), (Unspecified, vec![], false));
    assert_eq!(
        balancing("publishNotReadyAddresses: true"),
        (Unspecified, vec![], true)
    );
    assert_eq!(
        balancing("internalTrafficPolicy: Cluster"),
        (Unspecified, vec![], false)
    );
    assert_eq!(
        balancing("internalTrafficPolicy: Local"),
        (Strict, vec![4], false)
    );
    assert_eq!(
        balancing("trafficDistribution: PreferClose"),
        (Failover, vec![6, 1, 2, 3], false)
    );
    assert_eq!(
        balancing("trafficDistribution: PreferSameZone"),
        (Failover, vec![6, 1, 2, 3], false)
    );
    assert_eq!(
        balancing("trafficDistribution: PreferSameNode"),
        (Failover, vec![6, 1, 2, 3, 4], false)
    );
    let both = "internalTrafficPolicy: Local, trafficDistribution: PreferClose";
    assert_eq!(balancing(both), (Strict, vec![4], false));
    let annotated = with(
        "metadata: {name: web, namespace: shop, annotations: {networking.istio.io/traffic-distribution: PreferClose}}",
    );
    assert_eq!(
        service(&annotated, "web.shop").load_balancing.mode,
        Failover
    );
}

#[test]
fn families_are_those_asked_for() {
    let families = |spec: &str| service(&with_spec(spec), "web.shop").ip_families;
    assert_eq!(families(""), IpFamilies::Automatic);
    assert_eq!(families("ipFamilies: [IPv4]"), IpFamilies::Ipv4Only);
    assert_eq!(families("ipFamilies: [IPv6]"), IpFamilies::Ipv6Only);
    assert_eq!(families("ipFamilies: [IPv6, IPv4]"), IpFamilies::Dual);
}

#[test]
fn labels_bind_to_waypoints() {
    let bound = |namespace: &str, labels: &str| {
        let folder = Folder::of(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{{namespace}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop, labels: {{{labels}}}}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop, labels: {{{labels}}}}}\nstatus: {{podIP: 10.0.0.1}}\n"
        ));
        let waypoint = service(&folder, "web.shop").waypoint.clone();
        assert_eq!(workload(&folder, "shop", "web").waypoint, waypoint);
        waypoint.map_or_else(String::new, |waypoint| format!("{waypoint:?}"))
    };
    assert_eq!(bound("", ""), "");
    let cases = [
        bound("istio.io/use-waypoint: w", ""),
        bound(
            "istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: gateways",
            "",
        ),
        bound(
            "ambit.mesh/use-waypoint: ours, istio.io/use-waypoint: theirs",
            "",
        ),
        bound("istio.io/use-waypoint: w", "ambit.mesh/use-waypoint: own"),
    ];
    assert_debug_snapshot!(cases);
    assert_eq!(
        bound("istio.io/use-waypoint: w", "istio.io/use-waypoint: none"),
        ""
    );
}
