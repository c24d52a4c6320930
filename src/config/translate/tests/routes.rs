//! Routes of services as waypoints get them.

mod precedence;
mod usable;
mod virtual_service;

use ambit_model::{BackendTarget, HttpMatch, HttpRule, RouteList, ServiceName, ServiceRoutes};
use insta::assert_snapshot;

use crate::config::fixture::Folder;

/// Services `a`, `b` and `c` of namespace `shop`, and `d` of `other`; the waypoints of two.
const SERVICES: &str = "\
apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: w, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: w, namespace: other}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80, appProtocol: x}, {name: grpc, port: 81, appProtocol: x}, {port: 53, protocol: UDP}]}
---\napiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: shop}\nspec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}
---\napiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: shop}\nspec: {clusterIP: None, ports: [{port: 80}]}
---\napiVersion: v1\nkind: Service\nmetadata: {name: d, namespace: other, labels: {ambit.mesh/use-waypoint: w}}
spec: {clusterIP: 10.96.0.4, ports: [{port: 80}]}
---\napiVersion: v1\nkind: Service\nmetadata: {name: e, namespace: shop}\nspec: {type: ExternalName}
";
/// A reference to the service that most routes here are for.
const A: &str = "{group: '', kind: Service, name: a, namespace: shop}";

fn folder(routes: &[String]) -> Folder {
    let mut folder = Folder::of(SERVICES);
    folder.write("routes.yaml", &routes.join("---\n"));
    folder
}

fn route(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("a namespace");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

/// An `HTTPRoute` for service `a`.
fn http(name: &str, rules: &str) -> String {
    route(
        "HTTPRoute",
        name,
        &format!("parentRefs: [{A}], rules: [{rules}]"),
    )
}

fn routes<'a>(folder: &'a Folder, service: &str) -> Option<&'a ServiceRoutes> {
    let (namespace, name) = service.split_once('/').expect("a namespace");
    let hostname = format!("{name}.{namespace}.svc.cluster.local");
    let name = ServiceName::new(namespace, hostname);
    folder.configuration.mesh().routes(&name).map(AsRef::as_ref)
}

/// All routes of a service, a line for each match.
fn shown(folder: &Folder, service: &str) -> String {
    let mut lines = String::new();
    for (port, of_port) in routes(folder, service)
        .into_iter()
        .flat_map(|all| &all.ports)
    {
        let producer = of_port.producer.iter().map(|list| ("all", list));
        let consumers = of_port.consumers.iter().map(|(from, list)| (&**from, list));
        for (from, list) in producer.chain(consumers) {
            for line in lines_of(list) {
                lines += &format!("{port} {from}: {line}\n");
            }
        }
    }
    lines
}

fn lines_of(list: &RouteList) -> Vec<String> {
    match list {
        RouteList::Http(http) => {
            let rule = |rule: u32| &http.rules[rule as usize];
            let matches = http.matches.iter();
            matches
                .map(|one| format!("{} -> {}", when(&one.when), then(rule(one.rule))))
                .collect()
        }
        RouteList::Tls(routes) => routes
            .iter()
            .map(|one| format!("{:?} -> {}", one.server_names, one.name))
            .collect(),
        RouteList::Tcp(route) => vec![format!("connections -> {}", route.name)],
    }
}

fn when(given: &HttpMatch) -> String {
    let fields = [&given.headers, &given.query].map(|fields| {
        let fields = fields
            .iter()
            .map(|field| format!("{}: {:?}", field.name, field.value));
        fields.collect::<Vec<_>>().join(", ")
    });
    let method = given
        .method
        .as_ref()
        .map(|method| format!("{method:?} "))
        .unwrap_or_default();
    format!("{method}{:?} [{}] [{}]", given.path, fields[0], fields[1])
}

fn then(rule: &HttpRule) -> String {
    let backends = rule.backends.iter().map(|one| match &one.backend.target {
        BackendTarget::Service { name, port, .. } => {
            format!("{} {name}:{port}", one.backend.weight)
        }
        BackendTarget::Invalid { why } => format!("{} ({why})", one.backend.weight),
    });
    format!("{} {:?}", rule.name, backends.collect::<Vec<_>>())
}

#[test]
fn matches_go_from_the_narrowest_to_the_widest() {
    let rules = "\
        {matches: [{}], backendRefs: [{name: b, port: 80}]}, \
        {name: named, matches: [{path: {value: /v2/}}, {path: {type: Exact, value: /v2}}], backendRefs: [{name: b, port: 80, weight: 7}]}, \
        {matches: [{path: {type: RegularExpression, value: '/v[0-9]+'}}, {path: {value: /v2}, method: GET}], backendRefs: [{name: a, port: 80}]}, \
        {matches: [{headers: [{name: Version, value: two}, {name: VERSION, value: three}], queryParams: [{name: Q, type: RegularExpression, value: 'a|b'}]}]}";
    let folder = folder(&[http("shop/r", rules), http("shop/empty", "")]);
    assert_snapshot!(shown(&folder, "shop/a"));
    assert_eq!(routes(&folder, "shop/b"), None);
}

#[test]
fn calls_are_matched_by_service_and_method() {
    let rules = "\
        {matches: [{}], backendRefs: [{name: b, port: 80}]}, \
        {matches: [{method: {service: shop.Cart}}, {method: {method: Get}}, {method: {service: shop.Cart, method: Get}}]}, \
        {matches: [{method: {type: RegularExpression, service: 'a|b', method: 'G.*'}, headers: [{name: X, value: v}]}]}, \
        {matches: [{method: {type: RegularExpression, service: 'a)|(b'}}]}, \
        {matches: [{method: {service: 'a/b'}}]}";
    let grpc = route(
        "GRPCRoute",
        "shop/g",
        &format!("parentRefs: [{A}], rules: [{rules}]"),
    );
    let folder = folder(&[grpc]);
    assert_snapshot!(format!("{}{}", shown(&folder, "shop/a"), folder.problems()));
}

#[test]
fn a_parent_is_a_service_by_all_or_one_of_its_ports() {
    let to = |parent: &str| {
        let spec =
            format!("parentRefs: [{parent}], rules: [{{backendRefs: [{{name: b, port: 80}}]}}]");
        folder(&[route("HTTPRoute", "shop/r", &spec)])
    };
    let cases = [
        "{group: '', kind: Service, name: a}",
        "{group: '', kind: Service, name: a, port: 81}",
        "{group: '', kind: Service, name: a, sectionName: http}",
        "{group: '', kind: Service, name: a, sectionName: http, port: 81}",
        "{group: '', kind: Service, name: a, port: 53}",
        "{group: '', kind: Service, name: c}",
        "{group: '', kind: Service, name: e}",
        "{group: '', kind: Service, name: nowhere}",
        "{kind: Service, name: a}",
        "{name: a}",
        "{group: '', kind: Service, name: d, namespace: other}",
    ];
    let all = cases.map(|parent| {
        let folder = to(parent);
        let routed = format!("{}{}", shown(&folder, "shop/a"), shown(&folder, "other/d"));
        format!("{parent}\n{routed}{}", folder.problems())
    });
    assert_snapshot!(all.join("\n"));
}

#[test]
fn host_names_of_requests_are_ignored_and_said_to_be() {
    let rules = "rules: [{backendRefs: [{name: b, port: 80}]}]";
    let spec = format!("parentRefs: [{A}], hostnames: [x.org], {rules}");
    let hosted = folder(&[route("HTTPRoute", "shop/r", &spec)]);
    let plain = folder(&[http("shop/r", "{backendRefs: [{name: b, port: 80}]}")]);
    assert_eq!(routes(&hosted, "shop/a"), routes(&plain, "shop/a"));
    assert!(hosted.problems().contains("spec.hostnames: ignored"));
    assert_eq!(plain.problems(), "");
}

#[test]
fn a_consumers_routes_stand_in_for_the_producers_for_its_own_clients() {
    let own = "{backendRefs: [{name: a, namespace: shop, port: 80}]}";
    let folder = folder(&[
        http("shop/producer", "{backendRefs: [{name: b, port: 80}]}"),
        http("team/consumer", own),
    ]);
    assert_snapshot!(format!("{}{}", shown(&folder, "shop/a"), folder.problems()));
}

#[test]
fn of_several_kinds_on_one_port_the_most_specific_counts() {
    let spec = |port: &str| {
        let parent = A.replace('}', &format!("{port}}}"));
        format!("parentRefs: [{parent}], rules: [{{backendRefs: [{{name: b, port: 80}}]}}]")
    };
    let kinds = ["TCPRoute", "TLSRoute", "HTTPRoute", "GRPCRoute"];
    let all = (1..=kinds.len()).map(|count| {
        let given = kinds.iter().take(count);
        let given: Vec<String> = given
            .map(|kind| {
                route(
                    kind,
                    "shop/r",
                    &spec(if *kind == "GRPCRoute" {
                        ", port: 81"
                    } else {
                        ""
                    }),
                )
            })
            .collect();
        let folder = folder(&given);
        format!("{}{}", shown(&folder, "shop/a"), folder.problems())
    });
    assert_snapshot!(all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn server_names_are_tried_from_the_narrowest_to_the_widest() {
    let rules = "rules: [{backendRefs: [{name: b, port: 80}]}]";
    let tls = |name: &str, hosts: &str| {
        route(
            "TLSRoute",
            name,
            &format!("parentRefs: [{A}], hostnames: [{hosts}], {rules}"),
        )
    };
    let folder = folder(&[
        tls("shop/any", ""),
        tls("shop/wide", "'*.example.com', '*.a.example.com'"),
        tls("shop/exact", "b.a.example.com, x.org"),
        tls("shop/wrong", "10.0.0.1"),
    ]);
    assert_snapshot!(format!("{}{}", shown(&folder, "shop/a"), folder.problems()));
}

#[test]
fn a_backend_elsewhere_needs_a_grant_there() {
    let rule = "{backendRefs: [{name: d, namespace: other, port: 80}]}";
    let grant = |from: &str, to: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: other}}\n\
             spec: {{from: [{{group: gateway.networking.k8s.io, kind: {from}}}], to: [{{group: '', kind: Service{to}}}]}}\n"
        )
    };
    let mut folder = folder(&[http("shop/r", rule)]);
    let is_there = |folder: &Folder| !shown(folder, "shop/a").contains("nothing lets");
    assert!(!is_there(&folder));
    let cases = [
        ("HTTPRoute, namespace: shop", "", true),
        ("HTTPRoute, namespace: shop", ", name: d", true),
        ("HTTPRoute, namespace: shop", ", name: x", false),
        ("HTTPRoute, namespace: team", "", false),
        ("GRPCRoute, namespace: shop", "", false),
    ];
    for (from, to, granted) in cases {
        folder.write("grant.yaml", &grant(from, to));
        assert_eq!(is_there(&folder), granted, "{from} {to}");
    }
    folder.write("grant.yaml", &grant("HTTPRoute, namespace: shop", ""));
    assert!(is_there(&folder));
    folder.delete("grant.yaml");
    assert!(!is_there(&folder), "taken back");
}

#[test]
fn filters_become_changes() {
    let backends = "backendRefs: [{name: b, port: 80}]";
    let cases = [
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: a}, {name: x-a, value: b}], add: [{name: B, value: c}], remove: [D]}}]",
        "filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: x.org, port: 8443, statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]",
        "filters: [{type: URLRewrite, urlRewrite: {hostname: x.org, path: {type: ReplaceFullPath, replaceFullPath: /new}}}]",
        "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 5}}, {type: RequestMirror, requestMirror: {backendRef: {name: nowhere, port: 80}, fraction: {numerator: 1, denominator: 3}}}]",
        "filters: [{type: CORS, cors: {allowOrigins: ['https://*.x.org:8443'], allowCredentials: true, allowMethods: [GET], allowHeaders: ['*'], exposeHeaders: [X]}}]",
        "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X, value: v}]}}], backendRefs: [{name: b, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Z]}}]}]",
        "timeouts: {request: 10s, backendRequest: 0s}, retry: {codes: [503], backoff: 100ms}, sessionPersistence: {cookieConfig: {lifetimeType: Permanent}, absoluteTimeout: 1h}",
    ];
    let all = cases.map(|rule| {
        let folder = folder(&[http("shop/r", &format!("{{{rule}}}"))]);
        let Some(RouteList::Http(list)) =
            &routes(&folder, "shop/a").expect("routes").ports[&80].producer
        else {
            panic!("no list for {rule}");
        };
        let text = format!("{:?}", list.rules[0]);
        format!("{rule}\n  {text}\n{}", folder.problems())
    });
    assert_snapshot!(all.join("\n"));
    assert!(
        routes(
            &folder(&[http("shop/r", &format!("{{{backends}}}"))]),
            "shop/a"
        )
        .is_some()
    );
}

#[test]
fn a_rule_that_is_wrong_is_answered_with_500_or_left_out_and_said_to_be() {
    let backends = "backendRefs: [{name: b, port: 80}]";
    let cases = [
        "filters: [{type: ExtensionRef, extensionRef: {group: x, kind: Y, name: z}}]",
        "filters: [{type: ExternalAuth}]",
        "filters: [{type: FromTheFuture}]",
        "filters: [{type: CORS}]",
        "filters: [{type: CORS, cors: {allowOrigins: ['x.org']}}]",
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {}}, {type: RequestHeaderModifier, requestHeaderModifier: {}}]",
        "filters: [{type: RequestRedirect, requestRedirect: {}}]",
        "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}], matches: [{path: {type: Exact, value: /a}}]",
        "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 101}}]",
        "matches: [{path: {type: Sideways, value: /}}]",
        "matches: [{path: {value: a}}]",
        "matches: [{path: {value: /a/../b}}]",
        "matches: [{path: {type: RegularExpression, value: '(a{1000}){1000}'}}]",
        "matches: [{headers: [{name: a, type: RegularExpression, value: '['}]}]",
        "matches: [{method: BREW}]",
        "sessionPersistence: {type: Tattoo}",
    ];
    let all = cases.map(|rule| {
        let folder = folder(&[http("shop/r", &format!("{{{rule}, {backends}}}"))]);
        format!(
            "{rule}\n{}{}",
            shown(&folder, "shop/a").replace("81 all", "  81 all"),
            folder.problems()
        )
    });
    assert_snapshot!(all.join("\n"));
}

/// Waypoints read a connection as its port says, whatever routes there are.
#[test]
fn a_route_has_no_say_on_a_port_that_says_that_it_is_for_something_else() {
    const PORTS: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: p, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}\nspec: {clusterIP: 10.96.0.9, \
         ports: [{name: http, port: 80}, {name: x, port: 81, appProtocol: kubernetes.io/h2c}, {name: tls, port: 82}, \
         {name: tcp-y, port: 83}, {name: w, port: 84}]}\n";
    for (kind, has_say) in [
        ("HTTPRoute", [true, true, false, false, true]),
        ("GRPCRoute", [true, true, false, false, true]),
        ("TLSRoute", [false, false, true, true, true]),
        ("TCPRoute", [false, false, true, true, true]),
    ] {
        for (port, has_say) in (80..).zip(has_say) {
            let spec = format!(
                "parentRefs: [{{group: '', kind: Service, name: p, port: {port}}}], rules: [{{backendRefs: [{{name: p, port: {port}}}]}}]"
            );
            let folder = folder(&[PORTS.to_owned(), route(kind, "shop/r", &spec)]);
            let problems = folder.problems();
            let said = format!(
                "spec.parentRefs[0]: port {port} of Service shop/p says that it is for something else than {kind}s are"
            );
            assert_eq!(
                problems.contains(&said),
                !has_say,
                "{kind} {port}: {problems}"
            );
            let routed = shown(&folder, "shop/p").contains(&format!("{port}"));
            assert_eq!(
                routed,
                has_say,
                "{kind} {port}: {}",
                shown(&folder, "shop/p")
            );
        }
    }
}
