//! VirtualServices of services as waypoints get them.

mod connections;
mod delegates;
mod edges;
mod fields;

use super::*;

/// A VirtualService with this spec.
fn virtual_service(name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("a namespace");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

/// The same, made in that year.
fn of_year(year: u16, name: &str, spec: &str) -> String {
    let age = format!(", creationTimestamp: '{year}-01-01T00:00:00Z'}}\nspec");
    virtual_service(name, spec).replacen("}\nspec", &age, 1)
}

/// For service `a`, all requests to service `b`.
fn to_b(hosts: &str) -> String {
    format!(
        "hosts: [{hosts}], http: [{{route: [{{destination: {{host: b.shop.svc.cluster.local}}}}]}}]"
    )
}

/// Names of the rules of each list of a service, a line for each list.
fn lists(folder: &Folder, service: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (port, of_port) in routes(folder, service)
        .into_iter()
        .flat_map(|all| &all.ports)
    {
        let producer = of_port.producer.iter().map(|list| ("all", list));
        let consumers = of_port.consumers.iter().map(|(from, list)| (&**from, list));
        for (from, list) in producer.chain(consumers) {
            let names: Vec<String> = match list {
                RouteList::Http(http) => http
                    .rules
                    .iter()
                    .map(|rule| rule.name.to_string())
                    .collect(),
                RouteList::Tls(routes) => {
                    routes.iter().map(|route| route.name.to_string()).collect()
                }
                RouteList::Tcp(route) => vec![route.name.to_string()],
            };
            lines.push(format!("{port} {from}: {}", names.join(" ")));
        }
    }
    lines
}

#[test]
fn several_for_one_host_are_put_together_the_oldest_first() {
    let folder = folder(&[
        of_year(2026, "shop/young", &to_b("a")),
        of_year(2024, "shop/old", &to_b("a.shop.svc.cluster.local")),
        of_year(2025, "shop/z", &to_b("b, a")),
        of_year(2025, "shop/m", &to_b("a")),
        of_year(2020, "shop/wild", &to_b("'*.shop.svc.cluster.local'")),
    ]);
    let all = "VirtualService/shop/old/0 VirtualService/shop/m/0 VirtualService/shop/z/0 \
               VirtualService/shop/young/0";
    assert_eq!(
        lists(&folder, "shop/a"),
        [format!("80 all: {all}"), format!("81 all: {all}")]
    );
    // The one that names it in full counts; where nobody does, the wildcard.
    assert_eq!(
        lists(&folder, "shop/b"),
        ["80 all: VirtualService/shop/z/0"]
    );
    let problems = folder.problems();
    let never = "never reached on port 80: VirtualService shop/old comes first and takes all";
    assert_eq!(problems.matches(never).count(), 3, "{problems}");
}

#[test]
fn a_wildcard_is_for_the_services_that_are_called_so() {
    let mut folder = folder(&[
        virtual_service("shop/long", &to_b("'*.shop.svc.cluster.local'")),
        virtual_service("shop/short", &to_b("'*'")),
        virtual_service("shop/none", &to_b("'*.elsewhere.svc.cluster.local'")),
    ]);
    assert_eq!(
        lists(&folder, "shop/a")[0],
        "80 all: VirtualService/shop/long/0"
    );
    // Of another namespace's service, only for the own clients.
    assert_eq!(
        lists(&folder, "other/d"),
        ["80 shop: VirtualService/shop/short/0"]
    );
    assert!(
        folder
            .problems()
            .contains("no service of the cluster is called `*.elsewhere.svc.cluster.local`")
    );
    folder.delete("routes.yaml");
    assert!(lists(&folder, "shop/a").is_empty());
}

#[test]
fn exports_are_for_the_clients_of_namespaces() {
    let with = |export: &str| format!("{}, exportTo: [{export}]", to_b("a.shop.svc.cluster.local"));
    let for_80 = |objects: &[(&str, &str)]| -> Vec<String> {
        let objects = objects
            .iter()
            .map(|(name, export)| virtual_service(name, &with(export)));
        let lists = lists(&folder(&objects.collect::<Vec<_>>()), "shop/a");
        lists
            .into_iter()
            .filter(|line| line.starts_with("80"))
            .collect()
    };
    assert_eq!(
        for_80(&[("shop/v", "'*'")]),
        ["80 all: VirtualService/shop/v/0"]
    );
    assert_eq!(
        for_80(&[("shop/v", ".")]),
        ["80 shop: VirtualService/shop/v/0"]
    );
    assert_eq!(
        for_80(&[("shop/v", "p, q")]),
        [
            "80 p: VirtualService/shop/v/0",
            "80 q: VirtualService/shop/v/0"
        ]
    );
    assert!(for_80(&[("shop/v", "'~'")]).is_empty());
    // Somebody else's service: whatever is said, only the own clients.
    for export in ["'*'", ".", "other, shop"] {
        assert_eq!(
            for_80(&[("other/v", export)]),
            ["80 other: VirtualService/other/v/0"]
        );
    }
    assert!(for_80(&[("other/v", "shop")]).is_empty());
    assert_eq!(
        for_80(&[("istio-system/v", "'*'")]),
        ["80 all: VirtualService/istio-system/v/0"]
    );
    // What is for some clients alone comes before what is for all.
    assert_eq!(
        for_80(&[("shop/a", "'*'"), ("shop/b", "x")]),
        [
            "80 all: VirtualService/shop/a/0",
            "80 x: VirtualService/shop/b/0 VirtualService/shop/a/0"
        ]
    );
}

#[test]
fn exports_that_do_not_hold_as_they_are_written_are_said() {
    let said = |name: &str, export: &str| {
        let spec = format!("{}, exportTo: [{export}]", to_b("a.shop.svc.cluster.local"));
        folder(&[virtual_service(name, &spec)]).problems()
    };
    for (name, export, expected) in [
        ("shop/v", "'*'", ""),
        ("shop/v", "x", ""),
        ("shop/v", "'~'", "exported nowhere"),
        ("other/v", ".", ""),
        ("other/v", "other", ""),
        ("other/v", "'~'", "exported nowhere"),
        ("other/v", "'*'", "for clients of namespace other alone"),
        ("other/v", "., shop", "for clients of namespace other alone"),
        ("other/v", "shop", "for clients of namespace other alone"),
        ("istio-system/v", "'*'", ""),
    ] {
        let problems = said(name, export);
        assert_eq!(problems.is_empty(), expected.is_empty(), "{problems}");
        assert!(problems.contains(expected), "{name} {export}: {problems}");
    }
}

#[test]
fn one_that_names_a_host_twice_names_it_as_precisely_as_it_does_once() {
    let folder = folder(&[
        of_year(2026, "shop/both", &to_b("'*.shop.svc.cluster.local', a")),
        of_year(2020, "shop/wild", &to_b("'*.shop.svc.cluster.local'")),
    ]);
    assert_eq!(
        lists(&folder, "shop/a")[0],
        "80 all: VirtualService/shop/both/0"
    );
    assert_eq!(
        lists(&folder, "shop/b"),
        ["80 all: VirtualService/shop/wild/0 VirtualService/shop/both/0"]
    );
}

#[test]
fn routes_of_the_gateway_api_go_first_and_both_say_so() {
    let of_port = |namespace: &str| {
        let parent = "{group: '', kind: Service, name: a, namespace: shop, port: 80}";
        let spec = format!("parentRefs: [{parent}], rules: [{{}}]");
        route("HTTPRoute", &format!("{namespace}/r"), &spec)
    };
    let folder = folder(&[virtual_service("shop/v", &to_b("a")), of_port("shop")]);
    assert_eq!(
        lists(&folder, "shop/a"),
        [
            "80 all: HTTPRoute/shop/r/0",
            "81 all: VirtualService/shop/v/0"
        ]
    );
    let problems = folder.problems();
    assert!(
        problems.contains("on port 80 of Service shop/a HTTPRoute shop/r counts instead"),
        "{problems}"
    );
    // One for the clients of a namespace is for those alone.
    let objects = [virtual_service("shop/v", &to_b("a")), of_port("other")];
    let folder = self::folder(&objects);
    assert_eq!(
        lists(&folder, "shop/a"),
        [
            "80 all: VirtualService/shop/v/0",
            "80 other: HTTPRoute/other/r/0",
            "81 all: VirtualService/shop/v/0"
        ]
    );
}

#[test]
fn rules_are_for_the_ports_that_speak_so() {
    let services = "\
apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}, {name: tls, port: 443}, {name: tcp, port: 9000}, {name: p, port: 1}, {name: q, port: 2}, {name: r, port: 3}]}
";
    let to = "route: [{destination: {host: s}}]";
    let mut folder = Folder::of(services);
    folder.write(
        "v.yaml",
        &virtual_service(
            "shop/v",
            &format!(
                "hosts: [s], \
                 http: [{{match: [{{port: 80}}, {{port: 1}}, {{gateways: [edge]}}], {to}}}], \
                 tls: [{{match: [{{port: 443, sniHosts: [a.example]}}], {to}}}, {{match: [{{port: 2, sniHosts: ['*.b.example']}}], {to}}}], \
                 tcp: [{{match: [{{port: 9000}}], {to}}}, {{match: [{{port: 9000}}], {to}}}]"
            ),
        ),
    );
    assert_eq!(
        lists(&folder, "shop/s"),
        [
            "1 all: VirtualService/shop/v/0",
            "2 all: VirtualService/shop/v/tls/1",
            "80 all: VirtualService/shop/v/0",
            "443 all: VirtualService/shop/v/tls/0",
            "9000 all: VirtualService/shop/v/tcp/0",
        ]
    );
    let problems = folder.problems();
    assert!(
        problems.contains("spec.tcp[1]: never reached"),
        "{problems}"
    );
}

#[test]
fn delegates_say_what_becomes_of_what_both_are_for() {
    let root = "hosts: [a], http: [\
        {match: [{uri: {prefix: /v}, headers: {x: {exact: one}}}], timeout: 3s, delegate: {name: d, namespace: other}}, \
        {match: [{uri: {exact: /gone}}], delegate: {name: nobody}}, \
        {match: [{uri: {exact: /own}}], delegate: {name: own}}, \
        {delegate: {name: hidden, namespace: other}}]";
    let rules = "http: [\
        {name: narrow, match: [{uri: {prefix: /v/1}}, {uri: {exact: /w}}], timeout: 1s, route: [{destination: {host: d}}]}, \
        {match: [{uri: {exact: /w}}], route: [{destination: {host: d}}]}, \
        {route: [{destination: {host: d}}]}]";
    let folder = folder(&[
        virtual_service("shop/root", root),
        virtual_service("other/d", rules),
        virtual_service("shop/own", &to_b("b")),
        virtual_service("other/hidden", &format!("{rules}, exportTo: [.]")),
    ]);
    let all = routes(&folder, "shop/a").unwrap();
    let Some(RouteList::Http(http)) = &all.ports[&80].producer else {
        panic!("no list for requests");
    };
    let shown: Vec<String> = http
        .matches
        .iter()
        .map(|one| {
            let rule = &http.rules[one.rule as usize];
            let to = rule.backends.len();
            format!("{:?} {} {:?} {to}", one.when.path, rule.name, rule.timeout)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Some(Prefix(\"/v/1\")) VirtualService/other/d/narrow Some(1s) 1",
            "Some(Prefix(\"/v\")) VirtualService/other/d/2 Some(3s) 1",
            "Some(Exact(\"/gone\")) VirtualService/shop/root/1 None 0",
            "Some(Exact(\"/own\")) VirtualService/shop/root/2 None 0",
            "None VirtualService/shop/root/3 None 0",
        ]
    );
    let named = &http.matches[0].when.headers[0].name;
    assert_eq!(&**named, "x");
    let problems = folder.problems();
    for said in [
        "spec.http[0].match: never holds together with spec.http[1] of VirtualService other/d",
        "VirtualService shop/nobody is not there",
        "VirtualService shop/own has hosts of its own",
        "VirtualService other/hidden is not exported to namespace shop",
    ] {
        assert!(problems.contains(said), "{said}: {problems}");
    }
}

#[test]
fn what_is_not_for_the_mesh_or_for_no_service_is_said() {
    let folder = folder(&[
        virtual_service(
            "shop/edge",
            &format!("{}, gateways: [edge, mesh]", to_b("b")),
        ),
        virtual_service("shop/out", &format!("{}, gateways: [edge]", to_b("a"))),
        virtual_service("shop/lost", &to_b("nobody, example.com")),
        virtual_service(
            "shop/alone",
            "http: [{route: [{destination: {host: a, port: {number: 80}}}]}]",
        ),
    ]);
    assert!(lists(&folder, "shop/a").is_empty());
    assert_eq!(
        lists(&folder, "shop/b"),
        ["80 all: VirtualService/shop/edge/0"]
    );
    assert_snapshot!(folder.problems());
}
