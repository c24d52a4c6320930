//! What single fields come to, and what is said of those that are not followed.

use super::*;

/// What is said of an entry with these fields.
fn said(spec: &str) -> String {
    of(spec).problems()
}

#[test]
fn what_ports_speak() {
    for (protocol, expected) in [
        ("HTTP", AppProtocol::Http11),
        ("GRPC-WEB", AppProtocol::Http2),
        ("HTTP2", AppProtocol::Http2),
        ("GRPC", AppProtocol::Grpc),
        ("HTTPS", AppProtocol::Tls),
        ("TLS", AppProtocol::Tls),
        ("TCP", AppProtocol::Tcp),
        ("MONGO", AppProtocol::Tcp),
        ("MYSQL", AppProtocol::Tcp),
        ("redis", AppProtocol::Tcp),
        ("''", AppProtocol::Unknown),
        ("", AppProtocol::Unknown),
    ] {
        let protocol = match protocol {
            "" => String::new(),
            said => format!(", protocol: {said}"),
        };
        let port = format!("ports: [{{number: 80, name: p{protocol}}}]");
        let spec = format!("{port}, hosts: [a.example], resolution: DNS");
        let folder = Folder::of(&entry("e", "", &spec));
        let ports = &service(&folder, "a.example").unwrap().ports;
        assert_eq!(ports[0].app_protocol, expected, "{protocol}");
    }
}

#[test]
fn servers_at_one_address_are_several() {
    let folder = of("hosts: [a.example], resolution: STATIC, endpoints: [\
         {address: 192.0.2.1, ports: {tls: 1}, locality: r/z/s, weight: 3}, \
         {address: 192.0.2.1, ports: {tls: 2}, locality: r}]");
    let servers = servers(&folder);
    let name = ServiceName::new("shop", "a.example");
    let shown: Vec<_> = servers
        .iter()
        .map(|(uid, server)| {
            let place = &server.locality;
            let place = [&place.region, &place.zone, &place.subzone].map(AsRef::as_ref);
            let ports = server.services[&name].clone();
            (uid.as_str(), ports, place, server.weight())
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "shop/e/192.0.2.1",
                vec![mapping(443, 1)],
                ["r", "z", "s"],
                3
            ),
            (
                "shop/e/192.0.2.1/2",
                vec![mapping(443, 2)],
                ["r", "", ""],
                1
            ),
        ]
    );
}

#[test]
fn where_servers_are_selected_the_host_itself_is_none() {
    let spec = "hosts: [a.example], resolution: DNS";
    assert_eq!(servers(&of(spec)).len(), 1);
    let selected = format!("{spec}, workloadSelector: {{labels: {{app: db}}}}");
    assert!(servers(&of(&selected)).is_empty());
}

#[test]
fn the_address_of_a_kubernetes_service_is_no_server_and_stands_for_no_host() {
    let web = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n\
               spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n";
    let spec = "hosts: [a.example], resolution: STATIC, addresses: [10.96.0.1, 10.96.0.1/31], \
                endpoints: [{address: 10.96.0.1}, {address: 192.0.2.1}]";
    let text = entry("e", "", &format!("{PORT}, {spec}"));
    let folder = Folder::of(&format!("{text}{web}"));
    assert_eq!(
        servers(&folder).keys().collect::<Vec<_>>(),
        ["shop/e/192.0.2.1"]
    );
    assert_eq!(vips(&folder, "a.example"), ["10.96.0.0/31"]);
    let problems = folder.problems();
    for what in [
        "spec.addresses[0]: is the address of Service shop/web",
        "spec.endpoints[0].address: is the address of Service shop/web",
    ] {
        assert!(problems.contains(what), "{problems}");
    }
}

#[test]
fn a_block_that_begins_with_the_address_of_a_pod_stands_for_the_host() {
    let mut folder = of("hosts: [a.example], addresses: [10.0.0.0, 10.0.0.0/24]");
    folder.write("pod.yaml", &pod("other", "10.0.0.0"));
    assert_eq!(vips(&folder, "a.example"), ["10.0.0.0/24"]);
}

#[test]
fn a_short_name_is_for_its_namespace_whomever_it_is_exported_to() {
    for (export, expected) in [
        ("[., other]", vec!["shop".into()]),
        ("['*']", vec!["shop".into()]),
        ("[other]", Vec::new()),
    ] {
        let spec = format!("hosts: [payments], resolution: DNS, exportTo: {export}");
        let folder = of(&spec);
        let visibility = &service(&folder, "payments").unwrap().visibility;
        assert_eq!(*visibility, Visibility::Namespaces(expected), "{export}");
        let problems = folder.problems();
        assert!(problems.contains("called in short"), "{export}: {problems}");
    }
    assert_eq!(
        said("hosts: [payments], resolution: DNS, exportTo: [.]"),
        ""
    );
}

#[test]
fn what_is_not_followed_is_said() {
    let server = |more: &str| {
        format!("hosts: [a.example], resolution: STATIC, endpoints: [{{address: 192.0.2.1{more}}}]")
    };
    for (spec, expected) in [
        (server(""), ""),
        (server(", network: ''"), ""),
        (
            server(", network: net-1"),
            "spec.endpoints[0].network: is not followed",
        ),
        (
            server(", serviceAccount: a"),
            "spec.endpoints[0].serviceAccount: is not followed",
        ),
        (
            format!("{}, location: MESH_INTERNAL", server("")),
            "spec.location: MESH_INTERNAL",
        ),
        (format!("{}, location: MESH_EXTERNAL", server("")), ""),
        (
            "hosts: [a.example], resolution: DNS, location: MESH_INTERNAL".to_owned(),
            "spec.location: MESH_INTERNAL",
        ),
        (
            "hosts: [a.example], addresses: [192.0.2.9], location: MESH_INTERNAL".to_owned(),
            "spec.location: MESH_INTERNAL",
        ),
        (
            "hosts: [a.example], resolution: STATIC, location: MESH_INTERNAL, \
             workloadSelector: {labels: {app: db}}"
                .to_owned(),
            "",
        ),
        ("hosts: [a.example], resolution: DNS".to_owned(), ""),
        (
            "hosts: [a.example], resolution: DNS_ROUND_ROBIN".to_owned(),
            "spec.resolution: DNS_ROUND_ROBIN: each address",
        ),
        (
            "hosts: [a.example], resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.example}]"
                .to_owned(),
            "spec.resolution: DNS_ROUND_ROBIN: each address",
        ),
        (
            "hosts: [a.example], resolution: DNS_ROUND_ROBIN, endpoints: [{address: 192.0.2.1}]"
                .to_owned(),
            "",
        ),
        (
            format!("{}, subjectAltNames: [a]", server("")),
            "spec.subjectAltNames: is not looked at",
        ),
    ] {
        let problems = said(&spec);
        assert_eq!(
            problems.is_empty(),
            expected.is_empty(),
            "{spec}: {problems}"
        );
        assert!(problems.contains(expected), "{spec}: {problems}");
    }
}

#[test]
fn what_is_of_the_mesh_and_a_pod_needs_no_word() {
    let spec = "hosts: [a.example], resolution: STATIC, location: MESH_INTERNAL";
    for (second, is_said) in [("", false), (", {address: 192.0.2.1}", true)] {
        let mut folder = of(&format!(
            "{spec}, endpoints: [{{address: 10.0.0.7}}{second}]"
        ));
        folder.write("pod.yaml", &pod("shop", "10.0.0.7"));
        let problems = folder.problems();
        let told = problems.contains("spec.location: MESH_INTERNAL");
        assert_eq!(told, is_said, "{problems}");
    }
}

#[test]
fn what_is_of_the_mesh_and_a_workload_entry_is_said() {
    let spec = "hosts: [a.example], resolution: STATIC, location: MESH_INTERNAL, \
                workloadSelector: {labels: {app: db}}";
    for (address, is_said) in [("10.0.0.7", false), ("192.0.2.1", true)] {
        let mut folder = of(spec);
        folder.write("pod.yaml", &pod("shop", "10.0.0.7"));
        let entry = format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: vm, namespace: shop}}\nspec: {{address: {address}, labels: {{app: db}}}}\n"
        );
        folder.write("vm.yaml", &entry);
        let problems = folder.problems();
        let told = problems.contains("spec.location: MESH_INTERNAL");
        assert_eq!(told, is_said, "{problems}");
    }
}

#[test]
fn ports_of_a_star_on_which_nobody_says_the_host_are_said() {
    let bound = ", labels: {istio.io/use-waypoint: w}";
    for (protocol, is_said) in [
        ("HTTP", false),
        ("GRPC", false),
        ("TLS", false),
        ("HTTPS", false),
        ("TCP", true),
        ("MONGO", true),
        ("MYSQL", true),
        ("REDIS", true),
        ("''", false),
    ] {
        let ports = format!(
            "ports: [{{number: 443, name: tls, protocol: TLS}}, {{number: 80, name: p, protocol: {protocol}}}]"
        );
        let spec = format!("{ports}, hosts: ['*.example.com'], resolution: DYNAMIC_DNS");
        let folder = Folder::of(&format!("{}---\n{GATEWAY}", entry("e", bound, &spec)));
        let problems = folder.problems();
        let what = "spec.ports: has a `*` and a port of neither requests nor TLS";
        assert_eq!(problems.contains(what), is_said, "{protocol}: {problems}");
    }
}
