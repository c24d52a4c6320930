//! Which request authentications hold for what.

use super::{behind_waypoint, names, service, workload};
use crate::config::fixture::Folder;
use crate::config::keys::KeySource;

/// Behind a waypoint `w`: the services `web`, which is bound to it, and `db`, which is not, and their pods; in another
/// namespace `far`, which is bound to it too.
const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: bank, labels: {ambit.mesh/use-waypoint: w, ambit.mesh/use-waypoint-namespace: shop}}
spec: {selector: {app: far}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db, ambit.mesh/use-waypoint: all}}
status: {podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: all, namespace: shop, labels: {ambit.mesh/waypoint-for: all}}
spec: {gatewayClassName: other, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";

/// That, and these objects.
fn mesh(objects: &str) -> String {
    behind_waypoint("shop", &format!("{MESH}{objects}"))
}

fn object(name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// What holds for the services `web`, `db` and `far`, for the pods `web` and `db`, and for the address of `db`.
fn holding(folder: &Folder) -> [Vec<String>; 6] {
    let of_pod = |name| names(&workload(folder, "shop", name).authentications);
    [
        names(&service(folder, "web.shop").authentications),
        names(&service(folder, "db.shop").authentications),
        names(&service(folder, "far.bank").authentications),
        of_pod("web"),
        of_pod("db"),
        names(&workload(folder, "shop", "db").asked_authentications),
    ]
}

/// The same after each of two ways to it: all at once, and the object last.
fn holding_with(text: &str) -> [Vec<String>; 6] {
    let at_once = Folder::of(&mesh(text));
    let mut later = Folder::of(&mesh(""));
    later.write("later.yaml", text);
    assert_eq!(holding(&at_once), holding(&later), "{text}");
    let found = holding(&later);
    later.delete("later.yaml");
    assert!(holding(&later).iter().all(Vec::is_empty), "{text}");
    found
}

#[test]
fn what_it_is_bound_to_or_selects_names_it() {
    const GATEWAY: &str = "group: gateway.networking.k8s.io, kind: Gateway";
    const CLASS: &str = "group: gateway.networking.k8s.io, kind: GatewayClass";
    for (name, spec, expected) in [
        (
            "shop/a",
            "{targetRefs: [{kind: Service, name: web}]}",
            "100000",
        ),
        (
            "shop/a",
            "{targetRef: {kind: Service, name: web}}",
            "100000",
        ),
        (
            "shop/a",
            "{targetRefs: [{kind: Service, name: db}]}",
            "000000",
        ),
        (
            "bank/a",
            "{targetRefs: [{kind: Service, name: web}]}",
            "000000",
        ),
        // A reference leads nowhere else.
        (
            "shop/a",
            "{targetRefs: [{kind: Service, name: web, namespace: shop}]}",
            "100000",
        ),
        (
            "bank/a",
            "{targetRefs: [{kind: Service, name: web, namespace: shop}]}",
            "000000",
        ),
        (
            "shop/a",
            &format!("{{targetRefs: [{{{GATEWAY}, name: w}}]}}"),
            "101000",
        ),
        (
            "bank/a",
            &format!("{{targetRefs: [{{{GATEWAY}, name: w}}]}}"),
            "000000",
        ),
        (
            "shop/a",
            &format!("{{targetRefs: [{{{GATEWAY}, name: all}}]}}"),
            "000001",
        ),
        (
            "istio-system/a",
            &format!("{{targetRefs: [{{{CLASS}, name: ambit-waypoint}}]}}"),
            "101000",
        ),
        (
            "ambit-system/a",
            &format!("{{targetRefs: [{{{CLASS}, name: other}}]}}"),
            "000001",
        ),
        (
            "shop/a",
            &format!("{{targetRefs: [{{{CLASS}, name: ambit-waypoint}}]}}"),
            "000000",
        ),
        ("shop/a", "{selector: {matchLabels: {app: web}}}", "000100"),
        ("shop/a", "{}", "000110"),
        ("bank/a", "{}", "000000"),
        ("istio-system/a", "{}", "000110"),
        (
            "istio-system/a",
            "{selector: {matchLabels: {app: db}}}",
            "000010",
        ),
        // It cannot be read: nobody knows what it is for.
        ("shop/a", "{jwtRules: [{isuer: a}]}", "101111"),
        ("istio-system/a", "{jwtRules: [{isuer: a}]}", "101111"),
    ] {
        let found = holding_with(&object(name, spec));
        let expected = expected.bytes().map(|byte| match byte {
            b'1' => vec![name.to_owned()],
            _ => Vec::new(),
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(found[..], expected[..], "{name} {spec}");
    }
}

#[test]
fn one_that_cannot_be_read_is_told_to_nobody_unless_it_could_once() {
    let folder = Folder::of(&mesh(&object("shop/a", "{jwtRules: [{}]}")));
    assert_eq!(folder.configuration.mesh().authentications().len(), 0);
    let mut folder = Folder::of(&mesh(""));
    let good = object("shop/a", "{jwtRules: [{issuer: a}]}");
    folder.write("a.yaml", &good);
    folder.write("a.yaml", &object("shop/a", "{jwtRules: [{}]}"));
    assert_eq!(folder.configuration.mesh().authentications().len(), 1);
    let other = object("shop/a", "{jwtRules: [{issuer: b}]}");
    let changes = folder.write("a.yaml", &other);
    // Only what it says has changed, not whom it is for.
    assert_eq!(changes.len(), 1, "{changes:?}");
}

#[test]
fn keys_that_were_fetched_travel_with_the_rule() {
    let rules = "{jwtRules: [{issuer: a, jwksUri: https://a/keys}, {issuer: 'https://b'}]}";
    let mut folder = Folder::of(&mesh(&object("shop/a", rules)));
    let wanted = folder.configuration.wanted_keys();
    let (uri, issuer) = (
        KeySource::Uri("https://a/keys".into()),
        KeySource::Issuer("https://b".into()),
    );
    assert_eq!(wanted.keys().collect::<Vec<_>>(), [&uri, &issuer]);
    let keys = |folder: &Folder| {
        let mut all = folder.configuration.mesh().authentications();
        let rules = all.next().unwrap().rules.clone();
        rules.into_iter().map(|rule| rule.jwks).collect::<Vec<_>>()
    };
    assert_eq!(keys(&folder), [None, None]);
    let configuration = &mut folder.configuration;
    assert_eq!(configuration.take_keys(&uri, Ok("{1}".into())).len(), 1);
    assert_eq!(configuration.take_keys(&uri, Ok("{1}".into())).len(), 0);
    assert_eq!(
        configuration.take_keys(&uri, Err("away".to_owned())).len(),
        0
    );
    assert_eq!(keys(&folder), [Some("{1}".into()), None]);
    let configuration = &mut folder.configuration;
    configuration.take_keys(&issuer, Ok("{2}".into()));
    assert_eq!(keys(&folder), [Some("{1}".into()), Some("{2}".into())]);
}

#[test]
fn waypoints_can_tell_keys_that_were_fetched() {
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"_s2qLKlQNmJrqakRKNE2Czvj8ChgR8nIB63IkISteDQ"}]}"#;
    let rules = format!(
        "{{jwtRules: [{{issuer: a, jwksUri: 'https://a/keys', jwks: '{keys}'}}, {{issuer: 'https://b/'}}, {{issuer: c}}]}}"
    );
    let folder = Folder::of(&mesh(&object("shop/a", &rules)));
    let mut all = folder.configuration.mesh().authentications();
    let rules = all.next().unwrap().rules.iter();
    let uris: Vec<_> = rules.map(|rule| rule.jwks_uri.as_deref()).collect();
    let discovered = "https://b/.well-known/openid-configuration";
    assert_eq!(uris, [None, Some(discovered), None]);
}

#[test]
fn by_the_address_of_a_pod_nobody_gets_around_what_holds_for_its_services() {
    const ENTRY: &str = "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}
spec: {hosts: [out.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: web}}}
";
    for target in [
        "kind: Service, name: web",
        "group: networking.istio.io, kind: ServiceEntry, name: e",
        "group: gateway.networking.k8s.io, kind: Gateway, name: w",
    ] {
        let text = object("shop/a", &format!("{{targetRefs: [{{{target}}}]}}"));
        let folder = Folder::of(&mesh(&format!("{ENTRY}{text}")));
        let of_pod = |name| names(&workload(&folder, "shop", name).asked_authentications);
        assert_eq!(of_pod("web"), ["shop/a"], "{target}");
        assert!(of_pod("db").is_empty(), "{target}");
    }
}

#[test]
fn what_is_bound_to_a_waypoint_that_cannot_serve_is_named_all_the_same() {
    let text = object("shop/a", "{targetRefs: [{kind: Service, name: web}]}");
    let mut folder = Folder::of(&mesh(&text));
    let of_web = |folder: &Folder| names(&service(folder, "web.shop").authentications);
    assert_eq!(of_web(&folder), ["shop/a"]);
    let without = mesh("").replacen("protocol: HBONE", "protocol: HTTP", 1);
    folder.write("all.yaml", &format!("{without}{text}"));
    assert_eq!(of_web(&folder), ["shop/a"]);
}

#[test]
fn what_no_waypoint_judges_by_is_said() {
    for (name, target, expected) in [
        ("shop/a", "kind: Service, name: web", ""),
        (
            "shop/a",
            "kind: Service, name: db",
            "no waypoint stands before Service db: no token is verified for it",
        ),
        (
            "shop/a",
            "kind: Secret, name: web",
            "is no Gateway or Service of this namespace",
        ),
        (
            "shop/a",
            "kind: Service, name: web, namespace: bank",
            "is no Gateway or Service of this namespace",
        ),
        (
            "shop/a",
            "group: gateway.networking.k8s.io, kind: GatewayClass, name: ambit-waypoint",
            "a GatewayClass can be named in a root namespace only",
        ),
        (
            "istio-system/a",
            "group: gateway.networking.k8s.io, kind: GatewayClass, name: ambit-waypoint",
            "",
        ),
    ] {
        let text = object(name, &format!("{{targetRefs: [{{{target}}}]}}"));
        let folder = Folder::of(&mesh(&text));
        let problems = folder.problems();
        let said: Vec<&str> = problems
            .lines()
            .filter(|line| line.contains("RequestAuthentication"))
            .collect();
        assert_eq!(said.is_empty(), expected.is_empty(), "{target}: {said:?}");
        let place = "spec.targetRefs[0]: ";
        let is_said = |line: &&str| line.contains(place) && line.contains(expected);
        assert!(said.iter().all(is_said), "{target}: {said:?}");
    }
}
