//! What is said of request authentications.

use super::*;
use crate::config::keys::KeySource;

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key","x":"_s2qLKlQNmJrqakRKNE2Czvj8ChgR8nIB63IkISteDQ"}]}"#;

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written where it is used"
)]
fn ra(name: &str, spec: Value) -> Value {
    policy("RequestAuthentication", name, &spec)
}

fn service(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    })
}

/// A waypoint, the service `web` behind it, and `db` behind none, with a pod each.
fn cluster(objects: &[Value]) -> Cluster {
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"namespace": "shop", "name": "w"},
        "spec": {
            "gatewayClassName": "ambit-waypoint",
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
        },
    });
    let mut all = vec![
        gateway,
        service("web", &json!({"ambit.mesh/use-waypoint": "w"})),
        service("db", &json!({})),
        pod("web", "10.0.0.1", true),
        pod("db", "10.0.0.2", true),
    ];
    all.extend_from_slice(objects);
    Cluster::new(&all)
}

/// The lines about request authentications.
fn said(cluster: &Cluster) -> Vec<String> {
    let report = cluster.configuration.report();
    let of_kind = report
        .statuses
        .iter()
        .filter(|(key, ..)| key.kind == Kind::RequestAuthentication);
    let line = |(key, _, said): &(ObjectKey, Shown, Said)| {
        let Said::Policy(said) = said else {
            panic!("{key} is no policy");
        };
        let (status, reason) = (said.status(), said.reason.word());
        format!("{} {status} {reason}: {}", key.name, said.message)
    };
    of_kind.map(line).collect()
}

#[test]
fn who_verifies_by_it_is_said_with_field_and_remedy() {
    let rules = json!([{"issuer": "a", "jwks": KEYS}]);
    let app = |name: &str| json!({"matchLabels": {"app": name}});
    let to = |kind: &str, name: &str| json!([{"kind": kind, "name": name}]);
    let cluster = cluster(&[
        ra(
            "shop/bound",
            json!({"targetRefs": to("Service", "web"), "jwtRules": rules}),
        ),
        ra(
            "shop/free",
            json!({"targetRefs": to("Service", "db"), "jwtRules": rules}),
        ),
        ra(
            "shop/nowhere",
            json!({"targetRefs": to("Pod", "db"), "jwtRules": rules}),
        ),
        ra(
            "shop/class",
            json!({"targetRefs": to("GatewayClass", "ambit-waypoint"), "jwtRules": rules}),
        ),
        ra(
            "shop/selects",
            json!({"selector": app("web"), "jwtRules": rules}),
        ),
        ra(
            "shop/selects-db",
            json!({"selector": app("db"), "jwtRules": rules}),
        ),
        ra(
            "shop/selects-none",
            json!({"selector": app("x"), "jwtRules": rules}),
        ),
        ra("shop/broken", json!({"jwtRules": [{"isuer": "a"}]})),
    ]);
    insta::assert_snapshot!(said(&cluster).join("\n"));
}

#[test]
fn what_became_of_its_keys_is_said() {
    let rules = json!([{"issuer": "a", "jwksUri": "https://a/keys"}]);
    let bound = json!([{"kind": "Service", "name": "web"}]);
    let mut cluster = cluster(&[
        ra(
            "shop/fetched",
            json!({"targetRefs": bound, "jwtRules": rules}),
        ),
        ra(
            "shop/no-url",
            json!({"targetRefs": bound, "jwtRules": [{"issuer": "b"}]}),
        ),
    ]);
    let before = said(&cluster);
    assert!(
        before[0].starts_with("fetched False KeysUnknown: "),
        "{before:?}"
    );
    assert!(before[0].contains("not been fetched yet"), "{before:?}");
    assert!(before[1].starts_with("no-url False KeysUnknown: spec.jwtRules[0].issuer"));
    let source = KeySource::Uri("https://a/keys".into());
    let configuration = &mut cluster.configuration;
    drop(configuration.take_keys(&source, Ok(KEYS.into())));
    assert_eq!(
        said(&cluster)[0],
        "fetched True Accepted: In force as written."
    );
    let configuration = &mut cluster.configuration;
    drop(configuration.take_keys(&source, Err("it is away".to_owned())));
    let stale = said(&cluster).remove(0);
    assert!(
        stale.starts_with("fetched True AcceptedWithWarnings: "),
        "{stale}"
    );
    assert!(
        stale.contains("it is away") && stale.contains("stay in force"),
        "{stale}"
    );
    let problems = cluster.configuration.problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.to_string().contains("it is away"))
    );
}

#[test]
fn one_issuer_without_keys_is_enough_for_keys_to_be_missing() {
    let there = json!({"issuer": "a", "jwks": KEYS});
    let missing = json!({"issuer": "b"});
    for rules in [json!([there, missing]), json!([missing, there])] {
        let bound = json!([{"kind": "Service", "name": "web"}]);
        let object = ra("shop/r", json!({"targetRefs": bound, "jwtRules": rules}));
        let said = said(&cluster(&[object]));
        assert!(said[0].starts_with("r False KeysUnknown: "), "{said:?}");
    }
}
