//! Rules for connections, and which rules a port takes that does not say what it speaks.

use super::*;

/// Ports of service `s`: TLS, TCP, and two that do not say what they speak.
const S: &str = "\
apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: tls, port: 443}, {name: tcp, port: 9000}, {name: p, port: 1}, {name: q, port: 2}]}
";
const TO: &str = "route: [{destination: {host: s, port: {number: 9000}}}]";

/// The lists of service `s` with these rules, and what is said.
fn made(rules: &str) -> (Vec<String>, String) {
    let mut folder = Folder::of(S);
    let spec = format!("hosts: [s], {rules}");
    folder.write("v.yaml", &virtual_service("shop/v", &spec));
    (lists(&folder, "shop/s"), folder.problems())
}

#[test]
fn a_port_takes_the_rules_for_what_it_speaks() {
    let http = format!("http: [{{{TO}}}]");
    let tls = |port: &str| format!("tls: [{{match: [{{sniHosts: [a.example]{port}}}], {TO}}}]");
    let tcp = |port: &str| format!("tcp: [{{match: [{{{port}}}], {TO}}}]");
    let of = |list: [&str; 4]| -> Vec<String> {
        let ports = [1, 2, 443, 9000].into_iter().zip(list);
        let ports = ports.filter(|(_, rule)| !rule.is_empty());
        ports
            .map(|(port, rule)| format!("{port} all: VirtualService/shop/v/{rule}"))
            .collect()
    };
    for (rules, expected) in [
        (http.clone(), of(["0", "0", "", ""])),
        (tcp(""), of(["tcp/0"; 4])),
        (tls(""), of(["tls/0", "tls/0", "tls/0", ""])),
        (
            format!("{}, {}", tls(""), tcp("")),
            of(["tls/0", "tls/0", "tls/0", "tcp/0"]),
        ),
        (
            format!("{http}, {}, {}", tls(""), tcp("")),
            of(["0", "0", "tls/0", "tcp/0"]),
        ),
        // Rules that name its number decide.
        (
            format!("{http}, {}, {}", tls(", port: 1"), tcp("port: 2")),
            of(["tls/0", "tcp/0", "", ""]),
        ),
        // What is for another port, or other gateways, hides nothing.
        (
            format!("{}, {}", tls(", port: 1"), tcp("")),
            of(["tls/0", "tcp/0", "tcp/0", "tcp/0"]),
        ),
        (
            format!(
                "{http}, {}, {}",
                tls(", port: 1, gateways: [edge]"),
                tcp("port: 443")
            ),
            of(["0", "0", "tcp/0", ""]),
        ),
    ] {
        let (lists, problems) = made(&rules);
        let lists: Vec<String> = lists
            .into_iter()
            .filter(|line| !line.ends_with(": ") && !line.ends_with(": VirtualService"))
            .collect();
        assert_eq!(lists, expected, "{rules}: {problems}");
    }
}

#[test]
fn rules_that_are_for_no_port_are_told_with_their_field() {
    let rule = |kind: &str, given: &str| format!("{kind}: [{{match: [{{{given}}}], {TO}}}]");
    for (rules, field, said) in [
        (
            rule("http", "port: 8080"),
            "spec.http[0].match[0].port",
            "requests are 1, 2;",
        ),
        (
            rule("http", "port: 443"),
            "spec.http[0].match[0].port",
            "requests are 1, 2;",
        ),
        (
            rule("tls", "port: 9000, sniHosts: [a.example]"),
            "spec.tls[0].match[0].port",
            "TLS are 1, 2, 443;",
        ),
        (
            rule("tcp", "port: 7"),
            "spec.tcp[0].match[0].port",
            "connections are 1, 2, 443, 9000;",
        ),
        (
            format!("http: [{{match: [{{port: 7}}, {{port: 8}}], {TO}}}, {{{TO}}}]"),
            "spec.http[0].match",
            "requests are 1, 2;",
        ),
    ] {
        let (_, problems) = made(&rules);
        assert!(
            problems.contains(field) && problems.matches(said).count() == 1,
            "{rules}: {problems}"
        );
    }
    // Of a service that is not there nothing is known; and what is of other gateways is told as that.
    let (_, problems) = made(&rule("http", "port: 7, gateways: [edge]"));
    assert!(!problems.contains("no effect"), "{problems}");
    let mut folder = Folder::new();
    let rules = rule("http", "port: 7");
    let text = virtual_service("shop/v", &format!("hosts: [s], {rules}"));
    folder.write("v.yaml", &text);
    assert!(
        !folder.problems().contains("no effect"),
        "{}",
        folder.problems()
    );
    // One that is for requests where there are none.
    let only_tcp = S.replace("tls, port: 443", "tcp-a, port: 443");
    let only_tcp = only_tcp
        .replace("name: p,", "name: tcp-p,")
        .replace("name: q,", "name: tcp-q,");
    folder.write("s.yaml", &only_tcp);
    folder.write(
        "v.yaml",
        &virtual_service("shop/v", &format!("hosts: [s], http: [{{{TO}}}]")),
    );
    let problems = folder.problems();
    assert!(
        problems.contains("spec.http[0]: has no effect: no port"),
        "{problems}"
    );
}

#[test]
fn connections_that_a_match_cannot_tell_are_refused_and_it_is_named() {
    for (kind, given, field) in [
        (
            "tls",
            "port: 443, sniHosts: [a.example], sourceNamespace: x",
            "sourceNamespace",
        ),
        (
            "tls",
            "port: 443, sniHosts: [a.example], sourceLabels: {a: b}",
            "sourceLabels",
        ),
        (
            "tls",
            "port: 443, sniHosts: [a.example], destinationSubnets: [10.0.0.0/8]",
            "destinationSubnets",
        ),
        ("tls", "port: 443", "sniHosts"),
        ("tls", "port: 443, sniHosts: [10.0.0.1]", "sniHosts[0]"),
        (
            "tls",
            "port: 443, sniHosts: [a.example, 'a b']",
            "sniHosts[1]",
        ),
        ("tcp", "port: 9000, sourceNamespace: x", "sourceNamespace"),
        ("tcp", "port: 9000, sourceLabels: {a: b}", "sourceLabels"),
        (
            "tcp",
            "port: 9000, destinationSubnets: [10.0.0.0/8]",
            "destinationSubnets",
        ),
        (
            "tcp",
            "port: 9000, sourceSubnet: 10.0.0.0/8",
            "sourceSubnet",
        ),
    ] {
        let (lists, problems) = made(&format!("{kind}: [{{match: [{{{given}}}], {TO}}}]"));
        let port = if kind == "tls" { 443 } else { 9000 };
        let line = lists
            .iter()
            .find(|line| line.starts_with(&format!("{port} ")));
        let refused = if kind == "tls" {
            "443 all: "
        } else {
            "9000 all: VirtualService"
        };
        assert_eq!(line.map(String::as_str), Some(refused), "{given}");
        let said = format!("spec.{kind}[0].match[0].{field}: ");
        assert!(
            problems.contains("Error") && problems.contains(&said),
            "{given}: {problems}"
        );
    }
}

#[test]
fn destinations_of_connections_without_a_share_are_said() {
    let to = |weights: [u8; 2]| {
        let one = |weight| {
            format!("{{destination: {{host: s, port: {{number: 9000}}}}, weight: {weight}}}")
        };
        let [first, second] = weights.map(one);
        made(&format!("tcp: [{{route: [{first}, {second}]}}]")).1
    };
    assert!(to([0, 0]).contains("spec.tcp[0].route: no destination with a weight"));
    let is_fine = |problems: &str| !problems.contains("spec.tcp");
    assert!(is_fine(&to([0, 1])));
    // One alone takes all.
    assert!(is_fine(&made(&format!("tcp: [{{{TO}}}]")).1));
}
