//! Service entries as services and workloads.

mod edges;

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, LoadBalancingMode, PortMapping, Service, ServiceName, TunnelProtocol, Visibility,
    Workload,
};

use super::workload;
use crate::config::fixture::Folder;

fn entry(name: &str, metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {name}, namespace: shop{metadata}}}\nspec: {{{spec}}}\n"
    )
}

const PORT: &str = "ports: [{number: 443, name: tls, protocol: TLS}]";

fn of(spec: &str) -> Folder {
    Folder::of(&entry("e", "", &format!("{PORT}, {spec}")))
}

fn service<'a>(folder: &'a Folder, host: &str) -> Option<&'a Arc<Service>> {
    let name = ServiceName::new("shop", host);
    folder.configuration.mesh().service(&name)
}

fn vips(folder: &Folder, host: &str) -> Vec<String> {
    let service = service(folder, host).unwrap();
    let vips = service.vips.iter();
    vips.map(|(address, length)| format!("{}/{length}", address.address))
        .collect()
}

/// Outside workloads by the end of their names.
fn servers(folder: &Folder) -> BTreeMap<String, Arc<Workload>> {
    let all = folder.configuration.mesh().workloads();
    let outside = all.filter_map(|workload| {
        let (_, name) = workload.uid.as_str().split_once("/ServiceEntry/")?;
        Some((name.to_owned(), Arc::clone(workload)))
    });
    outside.collect()
}

fn mapping(service_port: u16, target_port: u16) -> PortMapping {
    PortMapping {
        service_port,
        target_port,
    }
}

#[test]
fn static_endpoints_are_reached_in_the_clear_by_their_ports() {
    let folder = Folder::of(&entry(
        "e",
        "",
        "hosts: [db.example.com, db2.example.com], resolution: STATIC, addresses: [192.0.2.100],
         ports: [{number: 80, name: web, protocol: HTTP, targetPort: 8080}, {number: 443, name: tls, protocol: HTTPS}],
         endpoints: [{address: 192.0.2.1, ports: {web: 8081}, locality: eu/eu-1, weight: 3}, {address: '2001:db8::1'}]",
    ));
    assert_eq!(folder.problems(), "");
    for host in ["db.example.com", "db2.example.com"] {
        assert_eq!(vips(&folder, host), ["192.0.2.100/32"]);
        let service = service(&folder, host).unwrap();
        let ports: Vec<_> = service
            .ports
            .iter()
            .map(|p| (p.service_port, p.target_port, p.app_protocol))
            .collect();
        assert_eq!(
            ports,
            [
                (80, 8080, AppProtocol::Http11),
                (443, 443, AppProtocol::Tls)
            ]
        );
        assert!(!service.canonical && !service.dynamic);
        assert_eq!(service.load_balancing.mode, LoadBalancingMode::Unspecified);
    }
    let servers = servers(&folder);
    assert_eq!(
        servers.keys().collect::<Vec<_>>(),
        ["shop/e/192.0.2.1", "shop/e/2001:db8::1"]
    );
    let first = &servers["shop/e/192.0.2.1"];
    assert_eq!(first.protocol, TunnelProtocol::None);
    assert_eq!(
        (
            &*first.service_account,
            first.weight(),
            &*first.locality.zone
        ),
        ("", 3, "eu-1")
    );
    assert_eq!(first.services.len(), 2);
    assert_eq!(
        first.services[&ServiceName::new("shop", "db.example.com")],
        [mapping(80, 8081), mapping(443, 443)]
    );
    let second = &servers["shop/e/2001:db8::1"];
    assert_eq!(
        second.services[&ServiceName::new("shop", "db.example.com")],
        [mapping(80, 8080), mapping(443, 443)]
    );
}

#[test]
fn names_are_left_to_be_resolved() {
    let folder = of("hosts: [api.example.com], resolution: DNS");
    let alone = servers(&folder);
    let alone = &alone["shop/e/api.example.com"];
    assert_eq!(
        (&*alone.hostname, alone.addresses.len()),
        ("api.example.com", 0)
    );
    let folder = of(
        "hosts: [api.example.com], resolution: DNS, endpoints: [{address: a.example.com}, {address: 192.0.2.1}]",
    );
    let servers = servers(&folder);
    assert_eq!(&*servers["shop/e/a.example.com"].hostname, "a.example.com");
    assert_eq!(&*servers["shop/e/192.0.2.1"].hostname, "");
    assert_eq!(servers["shop/e/192.0.2.1"].addresses.len(), 1);
}

#[test]
fn without_resolution_the_address_is_the_clients() {
    let folder = of("hosts: [net.example.com], addresses: [192.0.2.0/24, 2001:db8::/64]");
    assert_eq!(
        vips(&folder, "net.example.com"),
        ["192.0.2.0/24", "2001:db8::/64"]
    );
    assert_eq!(
        service(&folder, "net.example.com")
            .unwrap()
            .load_balancing
            .mode,
        LoadBalancingMode::Passthrough
    );
    assert!(servers(&folder).is_empty());
    // Without addresses there is a name to ask for.
    let folder = of("hosts: [api.example.com]");
    assert_eq!(
        service(&folder, "api.example.com")
            .unwrap()
            .load_balancing
            .mode,
        LoadBalancingMode::Unspecified
    );
    assert_eq!(
        &*servers(&folder)["shop/e/api.example.com"].hostname,
        "api.example.com"
    );
}

#[test]
fn names_of_the_cluster_are_not_for_other_namespaces_to_give() {
    for (host, is_own) in [
        ("api.example.com", true),
        ("*.example.com", true),
        ("*.svc.cluster.local", false),
        ("*.cluster.local", false),
        ("*.local", false),
        ("*.other.svc.cluster.local", false),
        ("db-0.db.other.svc.cluster.local", false),
        ("absent.other.svc.cluster.local", false),
        ("absent.othershop.svc.cluster.local", false),
        ("payments.other.svc", false),
        ("*.svc", false),
        ("payments.shop.svc", true),
        ("db-0.db.shop.svc.cluster.local", true),
        ("*.shop.svc.cluster.local", true),
        ("a.pod.cluster.local", false),
        ("evilcluster.local", true),
    ] {
        let server = "resolution: STATIC, endpoints: [{address: 192.0.2.1}]";
        let folder = of(&format!("hosts: ['{host}'], {server}"));
        assert_eq!(service(&folder, host).is_some(), is_own, "{host}");
        let is_told = folder.problems().contains("of another namespace");
        let is_read = !folder.problems().contains("is not a host name");
        assert!(
            is_told != is_own || !is_read,
            "{host}: {}",
            folder.problems()
        );
    }
}

#[test]
fn hosts_with_a_star_are_for_waypoints() {
    for resolution in ["DYNAMIC_DNS", "NONE"] {
        let spec = format!("hosts: ['*.example.com'], resolution: {resolution}");
        let mut folder = of(&spec);
        let found = service(&folder, "*.example.com").unwrap();
        assert!(found.dynamic && found.waypoint.is_none(), "{resolution}");
        // Nothing stands for it, so that it is left as it is.
        assert!(vips(&folder, "*.example.com").is_empty());
        assert!(servers(&folder).is_empty());
        assert!(
            folder.problems().contains("no waypoint stands before it"),
            "{}",
            folder.problems()
        );
        let bound = entry(
            "e",
            ", labels: {istio.io/use-waypoint: w}",
            &format!("{PORT}, {spec}"),
        );
        folder.write("all.yaml", &bound);
        folder.write("gateway.yaml", GATEWAY);
        assert!(
            service(&folder, "*.example.com")
                .unwrap()
                .waypoint
                .is_some()
        );
        assert_eq!(vips(&folder, "*.example.com").len(), 1);
        assert!(
            !folder.problems().contains("no waypoint"),
            "{}",
            folder.problems()
        );
    }
    let folder = of("hosts: ['*.example.com'], addresses: [192.0.2.0/24]");
    assert!(!service(&folder, "*.example.com").unwrap().dynamic);
}

const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";

#[test]
fn entries_are_bound_to_waypoints_by_their_label_or_the_namespaces() {
    let mut folder = of("hosts: [api.example.com], resolution: DNS");
    let waypoint = |folder: &Folder| service(folder, "api.example.com").unwrap().waypoint.clone();
    assert_eq!(waypoint(&folder), None);
    folder.write("gateway.yaml", GATEWAY);
    folder.write(
        "ns.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/use-waypoint: w}}\n",
    );
    assert!(waypoint(&folder).is_some());
    let off = entry(
        "e",
        ", labels: {istio.io/use-waypoint: none}",
        &format!("{PORT}, hosts: [api.example.com], resolution: DNS"),
    );
    folder.write("all.yaml", &off);
    assert_eq!(waypoint(&folder), None);
    let own = off.replace("none", "w");
    folder.write("all.yaml", &own);
    folder.delete("ns.yaml");
    assert!(waypoint(&folder).is_some());
    folder.write("gateway.yaml", &GATEWAY.replace("HBONE", "HTTP"));
    assert!(
        waypoint(&folder).is_some(),
        "a binding that cannot be served refuses"
    );
}

#[test]
fn whom_it_is_exported_to() {
    for (export, expected) in [
        ("", Visibility::Everyone),
        (", exportTo: ['*']", Visibility::Everyone),
        (
            ", exportTo: [.]",
            Visibility::Namespaces(vec!["shop".into()]),
        ),
        (
            ", exportTo: [b, ., a, b]",
            Visibility::Namespaces(vec!["a".into(), "b".into(), "shop".into()]),
        ),
        (", exportTo: ['~']", Visibility::Namespaces(Vec::new())),
    ] {
        let folder = of(&format!(
            "hosts: [api.example.com], resolution: DNS{export}"
        ));
        assert_eq!(
            service(&folder, "api.example.com").unwrap().visibility,
            expected,
            "{export}"
        );
    }
}

#[test]
fn a_host_without_addresses_is_given_one_that_stays() {
    let mut folder = of("hosts: [a.example.com, '*.b.example.com'], resolution: NONE");
    let first = [
        vips(&folder, "a.example.com"),
        vips(&folder, "*.b.example.com"),
    ];
    assert!(
        first
            .iter()
            .flatten()
            .all(|vip| vip.starts_with("240.240.") && vip.ends_with("/32")),
        "{first:?}"
    );
    assert_ne!(first[0], first[1]);
    folder.delete("all.yaml");
    assert_eq!(folder.configuration.mesh().services().count(), 0);
    folder.write(
        "all.yaml",
        &entry(
            "other",
            "",
            &format!("{PORT}, hosts: [a.example.com], resolution: DNS"),
        ),
    );
    assert_eq!(vips(&folder, "a.example.com"), first[0]);
    let off = ", labels: {networking.istio.io/enable-autoallocate-ip: 'false'}";
    folder.write(
        "all.yaml",
        &entry(
            "e",
            off,
            &format!("{PORT}, hosts: [a.example.com], resolution: DNS"),
        ),
    );
    assert!(vips(&folder, "a.example.com").is_empty());
}

fn pod(namespace: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: db-0, namespace: {namespace}, labels: {{app: db}}}}\n\
         status: {{podIP: {address}}}\n"
    )
}

#[test]
fn pods_of_the_namespace_join_as_themselves() {
    let db = ServiceName::new("shop", "db.example.com");
    for spec in [
        "workloadSelector: {labels: {app: db}}",
        "endpoints: [{address: 10.0.0.1}]",
    ] {
        let mut folder = of(&format!(
            "hosts: [db.example.com], resolution: STATIC, {spec}"
        ));
        let outside = servers(&folder).len();
        folder.set_captured("shop.db-0", true);
        folder.write("pod.yaml", &pod("shop", "10.0.0.1"));
        let joined = workload(&folder, "shop", "db-0");
        assert_eq!(joined.services[&db], [mapping(443, 443)], "{spec}");
        assert_eq!(joined.protocol, TunnelProtocol::Hbone);
        assert!(servers(&folder).is_empty(), "{spec}");
        folder.delete("pod.yaml");
        assert_eq!(servers(&folder).len(), outside);
        folder.write("pod.yaml", &pod("shop", "10.0.0.1"));
        folder.delete("all.yaml");
        assert!(workload(&folder, "shop", "db-0").services.is_empty());
    }
}

#[test]
fn a_pod_of_another_namespace_is_neither_joined_nor_reached_around() {
    let mut folder =
        of("hosts: [db.example.com], resolution: STATIC, endpoints: [{address: 10.0.0.1}]");
    assert_eq!(servers(&folder).len(), 1);
    folder.write("pod.yaml", &pod("other", "10.0.0.1"));
    assert!(workload(&folder, "other", "db-0").services.is_empty());
    assert!(servers(&folder).is_empty());
    assert!(
        folder
            .problems()
            .contains("Pod other/db-0: nothing is sent there"),
        "{}",
        folder.problems()
    );
}

#[test]
fn an_address_of_a_pod_stands_for_no_host() {
    let mut folder = of("hosts: [x.example.com], addresses: [10.0.0.1, 10.0.0.0/24]");
    assert_eq!(
        vips(&folder, "x.example.com"),
        ["10.0.0.1/32", "10.0.0.0/24"]
    );
    folder.write("pod.yaml", &pod("other", "10.0.0.1"));
    assert_eq!(vips(&folder, "x.example.com"), ["10.0.0.0/24"]);
    assert!(
        folder.problems().contains("does not stand for the hosts"),
        "{}",
        folder.problems()
    );
}

#[test]
fn workload_entries_are_servers_of_entries_that_select_them() {
    let mut folder =
        of("hosts: [db.example.com], resolution: STATIC, workloadSelector: {labels: {app: db}}");
    let vm = |labels: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: vm, namespace: shop}}\n\
             spec: {{address: 192.0.2.9, labels: {{{labels}}}, ports: {{tls: 8443}}, weight: 2}}\n"
        )
    };
    folder.write("vm.yaml", &vm("app: other"));
    assert!(servers(&folder).is_empty());
    assert!(
        folder.problems().contains("it serves nothing"),
        "{}",
        folder.problems()
    );
    folder.write("vm.yaml", &vm("app: db"));
    assert_eq!(folder.problems(), "");
    let found = servers(&folder);
    let db = ServiceName::new("shop", "db.example.com");
    assert_eq!(
        found["shop/e/192.0.2.9"].services[&db],
        [mapping(443, 8443)]
    );
    folder.delete("vm.yaml");
    assert!(servers(&folder).is_empty());
}

#[test]
fn of_two_entries_of_a_host_the_older_counts_and_the_other_is_told() {
    let with = |name: &str, second: u8| {
        let since = format!(", creationTimestamp: '2026-01-01T00:00:0{second}Z'");
        entry(
            name,
            &since,
            &format!("{PORT}, hosts: [api.example.com], addresses: [192.0.2.{second}]"),
        )
    };
    let mut folder = Folder::of(&with("a", 2));
    assert_eq!(vips(&folder, "api.example.com"), ["192.0.2.2/32"]);
    folder.write("b.yaml", &with("b", 1));
    assert_eq!(vips(&folder, "api.example.com"), ["192.0.2.1/32"]);
    let problems = folder.problems();
    assert!(problems.contains("ServiceEntry shop/b has"), "{problems}");
    folder.delete("b.yaml");
    assert_eq!(vips(&folder, "api.example.com"), ["192.0.2.2/32"]);
    folder.write("b.yaml", &with("b", 2));
    assert_eq!(folder.configuration.mesh().services().count(), 1);
    folder.delete("all.yaml");
    assert_eq!(vips(&folder, "api.example.com"), ["192.0.2.2/32"]);
}

#[test]
fn a_kubernetes_service_has_its_own_name() {
    let mut folder = of("hosts: [web.shop.svc.cluster.local], addresses: [192.0.2.1]");
    let host = "web.shop.svc.cluster.local";
    assert_eq!(vips(&folder, host), ["192.0.2.1/32"]);
    let web = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n";
    folder.write("web.yaml", web);
    assert_eq!(vips(&folder, host), ["10.96.0.1/32"]);
    assert!(
        folder
            .problems()
            .contains("is the name of Service shop/web"),
        "{}",
        folder.problems()
    );
    folder.write(
        "all.yaml",
        &entry("e", "", &format!("{PORT}, hosts: [other.example.com]")),
    );
    assert_eq!(vips(&folder, host), ["10.96.0.1/32"]);
    folder.write(
        "all.yaml",
        &entry(
            "e",
            "",
            &format!("{PORT}, hosts: [{host}], addresses: [192.0.2.1]"),
        ),
    );
    folder.delete("web.yaml");
    assert_eq!(vips(&folder, host), ["192.0.2.1/32"]);
    // One whose name only begins so is nobody's.
    folder.write("web.yaml", web);
    folder.write(
        "all.yaml",
        &entry(
            "e",
            "",
            &format!("{PORT}, hosts: [web.example.com], resolution: DNS"),
        ),
    );
    assert!(service(&folder, "web.example.com").is_some());
}

fn of_prod(kind: &str, name: &str) -> String {
    match kind {
        "Namespace" => format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"),
        _ => format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: prod}}\n\
             spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}\n"
        ),
    }
}

#[test]
fn a_service_has_the_names_that_it_is_called_by_in_short() {
    let mut folder = of("hosts: [payments.prod, db-0.db.prod], resolution: DNS");
    assert_eq!(folder.problems(), "");
    folder.write("payments.yaml", &of_prod("Service", "payments"));
    assert!(service(&folder, "payments.prod").is_none());
    assert!(service(&folder, "db-0.db.prod").is_some());
    let problems = folder.problems();
    assert!(
        problems.contains("is the name of Service prod/payments"),
        "{problems}"
    );
    folder.delete("payments.yaml");
    assert!(service(&folder, "payments.prod").is_some());
    // Also in the namespace of both.
    let own = entry(
        "e",
        "",
        &format!("{PORT}, hosts: [web, web.shop], resolution: DNS"),
    );
    folder.write("all.yaml", &own);
    assert!(service(&folder, "web").is_some() && service(&folder, "web.shop").is_some());
    let web = of_prod("Service", "web").replace("prod", "shop");
    folder.write("web.yaml", &web);
    assert!(service(&folder, "web").is_none() && service(&folder, "web.shop").is_none());
}

#[test]
fn a_name_that_may_be_short_for_a_service_elsewhere_is_for_the_entrys_namespace() {
    let hosts = "payments, payments.prod, '*.prod', db-0.db.prod, a.example.com";
    let server = "resolution: STATIC, endpoints: [{address: 192.0.2.1}]";
    let mut folder = of(&format!("hosts: [{hosts}], {server}"));
    let own = Visibility::Namespaces(vec!["shop".into()]);
    let are_own = |folder: &Folder| {
        let hosts = [
            "payments",
            "payments.prod",
            "*.prod",
            "db-0.db.prod",
            "a.example.com",
        ];
        hosts.map(|host| service(folder, host).unwrap().visibility == own)
    };
    assert_eq!(are_own(&folder), [true, false, false, false, false]);
    folder.write("prod.yaml", &of_prod("Namespace", "prod"));
    assert_eq!(are_own(&folder), [true, true, true, false, false]);
    folder.write("db.yaml", &of_prod("Service", "db"));
    assert_eq!(are_own(&folder), [true, true, true, true, false]);
    let problems = folder.problems();
    assert!(problems.contains("called in short"), "{problems}");
    folder.delete("prod.yaml");
    folder.delete("db.yaml");
    assert_eq!(are_own(&folder), [true, false, false, false, false]);
    // Names of its own namespace are for all.
    folder.write("shop.yaml", &of_prod("Namespace", "shop"));
    let of_shop = entry(
        "e",
        "",
        &format!("{PORT}, hosts: [payments.shop], resolution: DNS"),
    );
    folder.write("all.yaml", &of_shop);
    let visibility = &service(&folder, "payments.shop").unwrap().visibility;
    assert_eq!(*visibility, Visibility::Everyone);
    assert_eq!(folder.problems(), "");
}

#[test]
fn policies_and_tokens_are_bound_to_entries_behind_waypoints() {
    let bound = ", labels: {istio.io/use-waypoint: w}";
    let text = entry(
        "e",
        bound,
        &format!("{PORT}, hosts: [a.example.com, b.example.com], resolution: DNS"),
    );
    let mut folder = Folder::of(&format!("{text}---\n{GATEWAY}"));
    folder.write("policy.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n\
        spec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e}], action: DENY, rules: [{}]}\n");
    folder.write("tokens.yaml", "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: t, namespace: shop}\n\
        spec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e}], jwtRules: [{issuer: i, jwks: '{\"keys\": []}'}]}\n");
    let policy = super::policy(&folder, "shop", "p").unwrap();
    let told = format!("{policy:?}");
    assert!(
        told.contains("a.example.com") && told.contains("b.example.com"),
        "{told}"
    );
    let authentications = &service(&folder, "a.example.com").unwrap().authentications;
    assert_eq!(super::names(authentications), ["shop/t"]);
    folder.write(
        "all.yaml",
        &format!(
            "{}---\n{GATEWAY}",
            text.replace("b.example.com", "c.example.com")
        ),
    );
    let told = format!("{:?}", super::policy(&folder, "shop", "p").unwrap());
    assert!(
        told.contains("c.example.com") && !told.contains("b.example.com"),
        "{told}"
    );
}

fn istio(kind: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

#[test]
fn destination_rules_are_for_hosts_by_name_and_by_wildcard() {
    let mut folder = of("hosts: [api.example.com, '*.example.com'], resolution: NONE");
    let told = |folder: &Folder, host: &str| {
        let traffic = service(folder, host).unwrap().traffic.clone();
        traffic
            .map(|traffic| format!("{traffic:?}"))
            .unwrap_or_default()
    };
    assert_eq!(told(&folder, "api.example.com"), "");
    let policy = "trafficPolicy: {connectionPool: {http: {http2MaxRequests: 7}}}";
    folder.write(
        "rule.yaml",
        &istio(
            "DestinationRule",
            "shop",
            &format!("host: api.example.com, {policy}"),
        ),
    );
    assert!(told(&folder, "api.example.com").contains('7'));
    assert_eq!(told(&folder, "*.example.com"), "");
    assert!(
        !folder.problems().contains("no service of the cluster"),
        "{}",
        folder.problems()
    );
    folder.write(
        "rule.yaml",
        &istio(
            "DestinationRule",
            "shop",
            &format!("host: '*.example.com', {policy}"),
        ),
    );
    assert!(told(&folder, "api.example.com").contains('7'));
    assert!(told(&folder, "*.example.com").contains('7'));
    folder.write(
        "rule.yaml",
        &istio(
            "DestinationRule",
            "other",
            &format!("host: api.example.com, {policy}"),
        ),
    );
    assert_eq!(told(&folder, "api.example.com"), "");
    assert!(
        folder.problems().contains("it has no effect"),
        "{}",
        folder.problems()
    );
    folder.write(
        "rule.yaml",
        &istio(
            "DestinationRule",
            "shop",
            &format!("host: gone.example.com, {policy}"),
        ),
    );
    assert!(
        folder.problems().contains("no host of a ServiceEntry"),
        "{}",
        folder.problems()
    );
}

#[test]
fn virtual_services_are_for_hosts_and_lead_to_them() {
    let http = "ports: [{number: 80, name: web, protocol: HTTP}]";
    let mut folder = Folder::of(&entry(
        "e",
        "",
        &format!("{http}, hosts: [api.example.com], resolution: DNS"),
    ));
    folder.write("vs.yaml", &istio(
        "VirtualService",
        "shop",
        "hosts: [api.example.com], http: [{timeout: 3s, route: [{destination: {host: api.example.com}}]}]",
    ));
    let name = ServiceName::new("shop", "api.example.com");
    let routes = folder
        .configuration
        .mesh()
        .routes(&name)
        .map(|routes| format!("{routes:?}"));
    let routes = routes.unwrap_or_default();
    assert!(
        routes.contains("3s") && !routes.contains("Invalid"),
        "{routes}"
    );
    assert!(
        !folder.problems().contains("no service of the cluster"),
        "{}",
        folder.problems()
    );
    folder.delete("all.yaml");
    assert!(folder.configuration.mesh().routes(&name).is_none());
    assert!(
        folder.problems().contains("no service of the cluster"),
        "{}",
        folder.problems()
    );
    // From a service of the cluster outwards.
    folder.write("web.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}\n");
    folder.write(
        "vs.yaml",
        &istio(
            "VirtualService",
            "shop",
            "hosts: [web], http: [{route: [{destination: {host: api.example.com}}]}]",
        ),
    );
    let web = ServiceName::new("shop", "web.shop.svc.cluster.local");
    let leads = |folder: &Folder| {
        let routes = folder.configuration.mesh().routes(&web).unwrap();
        routes.targets().any(|target| *target == name)
    };
    assert!(!leads(&folder));
    let exported = |to: &str| {
        entry(
            "e",
            "",
            &format!("{http}, hosts: [api.example.com], resolution: DNS{to}"),
        )
    };
    folder.write("all.yaml", &exported(""));
    assert!(leads(&folder));
    let elsewhere = exported(", exportTo: [.]").replace("namespace: shop", "namespace: other");
    folder.write("all.yaml", &elsewhere);
    assert!(
        !leads(&folder),
        "it is for the clients of another namespace"
    );
}

#[test]
fn kinds_that_are_for_sidecars_say_what_takes_their_place() {
    for (kind, instead) in [("Sidecar", "exportTo"), ("EnvoyFilter", "Telemetry")] {
        let folder = Folder::of(&istio(kind, "shop", "{}").replace("spec: {{}}", "spec: {}"));
        let problems = folder.problems();
        assert!(
            problems.contains("for sidecars") && problems.contains(instead),
            "{problems}"
        );
    }
}
