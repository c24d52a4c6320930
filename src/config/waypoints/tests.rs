use std::sync::Arc;

use ambit_model::{GatewayAddress, Health, TunnelProtocol};

use super::*;
use crate::config::fixture::Folder;

const NAMESPACES: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {SHOP}}\n---\n\
                          apiVersion: v1\nkind: Namespace\nmetadata: {name: gw, labels: {team: a}}\n---\n";
const OBJECTS: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, labels: {SERVICE}}\n---\n\
                       apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {POD}}\n\
                       status: {podIP: 10.0.0.1}\n";

fn gateway(at: &str, labels: &str, listeners: &str) -> String {
    let (namespace, name) = at.split_once('/').unwrap();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
         spec: {{gatewayClassName: ambit-waypoint, listeners: [{listeners}]}}\n"
    )
}

const MESH: &str = "{name: mesh, port: 15008, protocol: HBONE}";

fn key(namespace: &str, name: &str) -> GatewayKey {
    GatewayKey {
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// What is bound to a waypoint, and what is refused.
fn standing(folder: &Folder, gateway: &GatewayKey) -> String {
    let configuration = &folder.configuration;
    let mesh = configuration.mesh();
    let own = configuration.waypoint_service(gateway);
    let services = mesh.bound_services(&own).count();
    let workloads = mesh.bound_workloads(&own).count();
    let own = Some(GatewayAddress::Service(own, 15008));
    let elsewhere = |waypoint: &Option<GatewayAddress>| waypoint.is_some() && *waypoint != own;
    let refused = mesh.services().filter(|s| elsewhere(&s.waypoint)).count()
        + mesh.workloads().filter(|w| elsewhere(&w.waypoint)).count();
    format!("{services} {workloads} {refused}")
}

fn shop(namespace: &str, service: &str, pod: &str) -> String {
    format!("{NAMESPACES}{OBJECTS}")
        .replace("SHOP", namespace)
        .replace("SERVICE", service)
        .replace("POD", pod)
}

#[test]
fn the_scope_decides_what_is_bound() {
    let cases = [
        ("", "1 0 0"),
        ("ambit.mesh/waypoint-for: service", "1 0 0"),
        ("istio.io/waypoint-for: workload", "0 1 0"),
        ("istio.io/waypoint-for: all", "1 1 0"),
        ("istio.io/waypoint-for: none", "0 0 0"),
        (
            "ambit.mesh/waypoint-for: none, istio.io/waypoint-for: all",
            "0 0 0",
        ),
        ("istio.io/waypoint-for: servce", "1 1 0"),
    ];
    for (labels, expected) in cases {
        let mut folder = Folder::of(&shop("istio.io/use-waypoint: w", "", ""));
        assert_eq!(
            standing(&folder, &key("shop", "w")),
            "1 1 0",
            "no Gateway: all refuses"
        );
        folder.write("w.yaml", &gateway("shop/w", labels, MESH));
        assert_eq!(standing(&folder, &key("shop", "w")), expected, "{labels}");
        folder.delete("w.yaml");
        assert_eq!(standing(&folder, &key("shop", "w")), "1 1 0", "gone again");
    }
}

#[test]
fn the_class_says_what_its_waypoints_are_for_unless_they_do() {
    let class = |labels: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n\
             metadata: {{name: ambit-waypoint, labels: {{{labels}}}}}\n\
             spec: {{controllerName: ambit.mesh/waypoint-controller}}\n"
        )
    };
    let mut folder = Folder::of(&shop("istio.io/use-waypoint: w", "", ""));
    folder.write("w.yaml", &gateway("shop/w", "", MESH));
    folder.write("class.yaml", &class("ambit.mesh/waypoint-for: all"));
    assert_eq!(standing(&folder, &key("shop", "w")), "1 1 0");
    folder.write("class.yaml", &class("ambit.mesh/waypoint-for: workload"));
    assert_eq!(standing(&folder, &key("shop", "w")), "0 1 0");
    let own = gateway("shop/w", "istio.io/waypoint-for: service", MESH);
    folder.write("w.yaml", &own);
    assert_eq!(standing(&folder, &key("shop", "w")), "1 0 0");
}

#[test]
fn own_labels_beat_those_of_the_namespace_and_none_opts_out() {
    let cases = [
        ("istio.io/use-waypoint: none", "", "0 1 0"),
        ("", "ambit.mesh/use-waypoint: none", "1 0 0"),
        ("istio.io/use-waypoint: other", "", "0 1 1"),
    ];
    for (service, pod, expected) in cases {
        let mut folder = Folder::of(&shop("istio.io/use-waypoint: w", service, pod));
        folder.write(
            "w.yaml",
            &gateway("shop/w", "istio.io/waypoint-for: all", MESH),
        );
        assert_eq!(
            standing(&folder, &key("shop", "w")),
            expected,
            "{service}|{pod}"
        );
    }
}

#[test]
fn another_namespace_is_bound_only_where_it_is_admitted() {
    let cases = [
        ("", "0 0 1"),
        (", allowedRoutes: {namespaces: {from: Same}}", "0 0 1"),
        (", allowedRoutes: {namespaces: {from: All}}", "1 0 0"),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: s}}}}",
            "1 0 0",
        ),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: x}}}}",
            "0 0 1",
        ),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: shop}}}}",
            "1 0 0",
        ),
    ];
    let labels = "istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: gw, team: s";
    for (allowed, expected) in cases {
        let mut folder = Folder::of(&shop(labels, "", ""));
        let listener = format!("{{name: mesh, port: 15008, protocol: HBONE{allowed}}}");
        folder.write("w.yaml", &gateway("gw/w", "", &listener));
        assert_eq!(standing(&folder, &key("gw", "w")), expected, "{allowed}");
    }
}

#[test]
fn a_refused_binding_leads_to_no_service() {
    let labels = "istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: gw";
    let mut folder = Folder::of(&shop(labels, "", ""));
    folder.write("w.yaml", &gateway("gw/w", "", MESH));
    let mesh = folder.configuration.mesh();
    let web = mesh
        .service_by_hostname("web.shop.svc.cluster.local")
        .unwrap();
    let Some(GatewayAddress::Service(name, 15008)) = &web.waypoint else {
        panic!("{:?}", web.waypoint);
    };
    assert_eq!(&*name.hostname, "w.gw.not-admitted.invalid");
}

#[test]
fn a_gateway_without_a_listener_for_tunnels_refuses() {
    for listeners in [
        "",
        "{name: mesh, port: 15008, protocol: HTTP}",
        "{name: mesh, port: 80, protocol: HBONE}",
    ] {
        let mut folder = Folder::of(&shop("istio.io/use-waypoint: w", "", ""));
        folder.write("w.yaml", &gateway("shop/w", "", listeners));
        assert_eq!(standing(&folder, &key("shop", "w")), "1 1 0", "{listeners}");
    }
}

/// The pod and the service that are made for a waypoint.
fn made(account: &str, ready: &str) -> String {
    let labels = "labels: {gateway.networking.k8s.io/gateway-name: w}";
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: w, namespace: shop, {labels}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: w-1, namespace: shop, {labels}}}\n\
         spec: {{serviceAccountName: {account}}}\n\
         status: {{podIP: 10.0.0.9, conditions: [{{type: Ready, status: '{ready}'}}]}}\n"
    )
}

/// The pods that are waypoints.
fn pods(folder: &Folder) -> Vec<(Arc<str>, GatewayKey)> {
    let pods = folder.configuration.waypoint_pods();
    pods.map(|(key, _pod, gateway)| (Arc::clone(&key.name), gateway))
        .collect()
}

#[test]
fn a_waypoints_own_pods_take_tunnels_and_are_bound_to_none() {
    let mut folder = Folder::of(&shop("istio.io/use-waypoint: w", "", ""));
    folder.write("made.yaml", &made("w", "True"));
    let pod = |folder: &Folder| {
        let mesh = folder.configuration.mesh();
        let pod = mesh.workload_by_pod("shop", "w-1").unwrap();
        (pod.protocol, pod.waypoint.is_some(), pod.health)
    };
    let bare = (TunnelProtocol::None, true, Health::Healthy);
    assert_eq!(pod(&folder), bare, "a label alone makes no waypoint");
    assert_eq!(pods(&folder), []);
    let all = gateway("shop/w", "istio.io/waypoint-for: all", MESH);
    folder.write("w.yaml", &all);
    assert_eq!(
        pod(&folder),
        (TunnelProtocol::Hbone, false, Health::Healthy)
    );
    assert_eq!(pods(&folder), [("w-1".into(), key("shop", "w"))]);
    assert_eq!(standing(&folder, &key("shop", "w")), "1 1 0", "web, not w");
    folder.write("made.yaml", &made("w", "False"));
    assert_eq!(
        pod(&folder),
        (TunnelProtocol::Hbone, false, Health::Unhealthy)
    );
    folder.write("made.yaml", &made("default", "True"));
    assert_eq!(pod(&folder), (TunnelProtocol::None, false, Health::Healthy));
    assert_eq!(pods(&folder), []);
}

#[test]
fn gateways_of_other_controllers_are_not_ours() {
    let class = |controller: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n\
             metadata: {{name: ambit-waypoint}}\nspec: {{controllerName: {controller}}}\n"
        )
    };
    let mut folder = Folder::of(&shop("istio.io/use-waypoint: w", "", ""));
    folder.write("made.yaml", &made("w", "True"));
    folder.write("w.yaml", &gateway("shop/w", "", MESH));
    folder.write("class.yaml", &class("example.com/other"));
    assert_eq!(pods(&folder), []);
    assert_eq!(
        standing(&folder, &key("shop", "w")),
        "1 0 0",
        "bound all the same"
    );
    folder.write("class.yaml", &class("ambit.mesh/waypoint-controller"));
    assert_eq!(pods(&folder), [("w-1".into(), key("shop", "w"))]);
}

#[test]
fn labels_and_gateways_that_are_wrong_are_told_of_where_they_stand() {
    let wrong = |text: &str| Folder::of(text).problems();
    let all = format!(
        "{}---\n{}",
        shop("istio.io/use-waypoint: w", "", ""),
        gateway("shop/w", "", MESH)
    );
    assert_eq!(wrong(&all), "");
    let missing = shop("istio.io/use-waypoint: w", "ambit.mesh/use-waypoint: x", "");
    let elsewhere = "istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: gw";
    let closed = format!(
        "{}---\n{}",
        shop(elsewhere, "", ""),
        gateway("gw/w", "", MESH)
    );
    let scope = gateway("shop/w", "istio.io/waypoint-for: servce", MESH);
    let bare = gateway("shop/w", "", "");
    let found = [missing, closed, scope, bare].map(|text| wrong(&text));
    insta::assert_snapshot!(found.concat());
}
