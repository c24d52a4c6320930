//! What is bound to a host outside holds however requests and connections come there: by a route of another host, as
//! a copy, and by a route of TCP.

use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;
use ambit_jwt::testing::{Signer, key_set};
use serde_json::json;

use super::{Scene, entry, policy};

const PORTS: &str = "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, \
                     {number: 9000, name: tcp, protocol: TCP, targetPort: 80}]";
const ROUTES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: open, namespace: shop}
spec:
  hosts: [open.example.test]
  http:
  - match: [{uri: {prefix: /led}}]
    route: [{destination: {host: guarded.example.test, port: {number: 80}}}]
  - match: [{uri: {prefix: /copied}}]
    route: [{destination: {host: open.example.test, port: {number: 80}}}]
    mirror: {host: guarded.example.test, port: {number: 80}}
  - route: [{destination: {host: open.example.test, port: {number: 80}}}]
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: guarded.example.test, port: {number: 9000}}}]
";

/// Both hosts, and whose requests and tokens the second one takes.
fn objects(signer: &Signer) -> String {
    let allowed = "action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]";
    let keys = key_set(&[signer.public("key")]);
    let tokens = format!(
        "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\n\
         metadata: {{name: tokens, namespace: shop}}\nspec:\n  \
         targetRefs: [{{group: networking.istio.io, kind: ServiceEntry, name: guarded}}]\n  \
         jwtRules: [{{issuer: https://issuer.example, jwks: '{keys}'}}]\n"
    );
    entry("open", "open.example.test", PORTS)
        + &entry("guarded", "guarded.example.test", PORTS)
        + ROUTES
        + &policy("one-client", "guarded", allowed)
        + &tokens
}

/// A token that is as good as its key.
fn bearer(signer: &Signer) -> String {
    let claims = json!({"iss": "https://issuer.example", "sub": "alice", "exp": 4_000_000_000_u64});
    let token = signer.token(&json!({"alg": "ES256", "kid": "key"}), &claims);
    format!("Authorization: Bearer {token}")
}

#[test]
fn what_is_bound_to_a_host_holds_however_it_is_come_to() {
    let scene = Scene::start(|[open, guarded]| {
        [("open", open), ("guarded", guarded)]
            .map(|(name, at)| format!("--host-record={name}.example.test,{at}"))
            .to_vec()
    });
    let [known, stranger] = [(); 2].map(|()| Signer::curve("ES256"));
    let hosts = ["open.example.test", "guarded.example.test"];
    scene.apply("hosts", &objects(&known), &hosts);
    let (good, bad) = (bearer(&known), bearer(&stranger));
    let ask = |pod: &str, path: &str, token: Option<&String>| {
        let url = format!("http://open.example.test{path}");
        let header = token.map(|token| ["-H", token.as_str()]);
        let args: Vec<&str> = header.iter().flatten().copied().chain([&*url]).collect();
        scene.get(pod, &args)
    };
    scene.await_status("http://guarded.example.test/ready", 200);
    scene.await_status("http://open.example.test/led/ready", 200);
    wait_until("both to be known", SPREAD, || {
        ask("other", "/led/ready", None).0 == 403
            && ask("client", "/led/ready", Some(&bad)).0 == 401
    })
    .unwrap();

    let guarded = &scene.sites[1];
    for (pod, path, token, status) in [
        ("client", "/led/client", None, 200),
        ("client", "/led/good", Some(&good), 200),
        ("client", "/led/bad", Some(&bad), 401),
        ("other", "/led/other", None, 403),
        ("other", "/led/other/good", Some(&good), 403),
    ] {
        assert_eq!(ask(pod, path, token).0, status, "{path}");
        let expected = usize::from(status == 200);
        assert_eq!(guarded.await_at(path, expected).len(), expected, "{path}");
    }

    // What becomes of a copy is nothing to the request.
    for (pod, path, token, refused) in [
        ("client", "/copied/client", None, None),
        ("client", "/copied/good", Some(&good), None),
        ("client", "/copied/bad", Some(&bad), Some("jwt_signature")),
        ("other", "/copied/other", None, Some("no_matching_allow")),
    ] {
        let before = refused.map(|reason| scene.refusals(reason));
        assert_eq!(ask(pod, path, token), (200, "site 1".to_owned()), "{path}");
        let ended = || match refused.zip(before) {
            Some((reason, before)) => scene.refusals(reason) > before,
            None => guarded.seen_at(path).len() == 1,
        };
        wait_until(&format!("the copy for {path}"), SPREAD, ended).unwrap();
        assert_eq!(
            guarded.seen_at(path).is_empty(),
            refused.is_some(),
            "{path}"
        );
    }

    // Nor does it matter that nobody reads what is said.
    for (pod, path, got) in [
        ("client", "/line/client", (200, "site 2")),
        ("other", "/line/other", (0, "")),
    ] {
        let url = format!("http://open.example.test:9000{path}");
        let (status, body) = scene.get(pod, &[&url]);
        assert_eq!((status, body.as_str()), got, "{path}");
        let expected = usize::from(status == 200);
        assert_eq!(guarded.await_at(path, expected).len(), expected, "{path}");
    }
}
