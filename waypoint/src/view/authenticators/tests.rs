use std::time::SystemTime;

use ambit_jwt::Head;
use ambit_jwt::testing::{Signer, key_set};
use ambit_model::Service;
use http::Request;
use serde_json::json;

use super::*;
use crate::fixtures::{name, service};

fn object(name: &str, jwks: Option<&str>) -> Change {
    object_from(name, None, jwks)
}

fn object_from(name: &str, uri: Option<&str>, jwks: Option<&str>) -> Change {
    Change::PutAuthentication(Arc::new(RequestAuthentication {
        name: PolicyName::new("shop", name),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            jwks: jwks.map(Into::into),
            jwks_uri: uri.map(Into::into),
            ..JwtRule::default()
        }],
    }))
}

fn gone(name: &str) -> Change {
    Change::RemoveAuthentication(PolicyName::new("shop", name))
}

fn list(names: &[&str]) -> Vec<PolicyName> {
    let names = names.iter().map(|name| PolicyName::new("shop", *name));
    names.collect()
}

/// A service that names these.
fn naming(short: &str, names: &[&str]) -> Change {
    let Change::PutService(made) = service(short) else {
        panic!("no service")
    };
    Change::PutService(Arc::new(Service {
        authentications: list(names),
        ..Service::clone(&made)
    }))
}

struct Told {
    mesh: Mesh,
    all: Authenticators,
}

impl Told {
    fn new() -> Self {
        let (mesh, all) = (Mesh::default(), Authenticators::new());
        Self { mesh, all }
    }

    fn tell(&mut self, change: Change) {
        self.all.follow(&change, &self.mesh);
        self.mesh.apply(change);
    }

    fn is_ready(&self, names: &[&str]) -> bool {
        let made = self.all.of(&list(names)).unwrap();
        matches!(**made, Authenticator::Ready(_))
    }

    /// Whether a token passes.
    fn passes(&self, names: &[&str], token: &str) -> bool {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        match &**self.all.of(&list(names)).unwrap() {
            Authenticator::Ready(verifier) => {
                verifier.judge(&Head::of(&parts), SystemTime::now()).is_ok()
            }
            Authenticator::Refusing { .. } => false,
        }
    }
}

#[test]
fn a_list_refuses_until_all_of_it_is_known() {
    let mut told = Told::new();
    assert!(told.all.of(&[]).is_none());
    assert!(!told.is_ready(&["a"]), "nobody names it");
    told.tell(object("a", None));
    told.tell(naming("cart", &["a", "b"]));
    assert!(!told.is_ready(&["a", "b"]));
    told.tell(object("b", None));
    assert!(told.is_ready(&["a", "b"]));
}

#[test]
fn an_object_that_is_gone_stays_while_it_is_named() {
    let mut told = Told::new();
    told.tell(object("a", None));
    told.tell(naming("cart", &["a"]));
    told.tell(naming("shop", &["a"]));
    told.tell(gone("a"));
    told.tell(naming("cart", &[]));
    assert!(told.is_ready(&["a"]), "the shop names it");
    told.tell(Change::RemoveService(name("shop")));
    assert!(told.all.objects.is_empty() && told.all.lists.is_empty());
    told.tell(naming("shop", &["a"]));
    assert!(!told.is_ready(&["a"]));
}

#[test]
fn keys_stay_while_there_are_no_others() {
    let (signer, other) = (Signer::edwards(), Signer::edwards());
    let claims = json!({"iss": "issuer", "sub": "a"});
    let token = |signer: &Signer| signer.token(&json!({"alg": "EdDSA"}), &claims);
    let (one, two) = (signer.public("one"), other.public("two"));
    let mut told = Told::new();
    told.tell(naming("cart", &["a"]));
    let uri = Some("https://issuer/keys");
    told.tell(object_from(
        "a",
        uri,
        Some(&key_set(std::slice::from_ref(&one))),
    ));
    assert!(told.passes(&["a"], &token(&signer)));
    told.tell(object_from("a", uri, None));
    assert!(told.passes(&["a"], &token(&signer)));
    told.tell(object_from("a", uri, Some(&key_set(&[two]))));
    assert!(!told.passes(&["a"], &token(&signer)));
    assert!(told.passes(&["a"], &token(&other)));
    // Somewhere else there may be others.
    told.tell(object_from("a", Some("https://other/keys"), None));
    assert!(!told.passes(&["a"], &token(&other)));
    // Those that were written into the object are not kept.
    told.tell(object("a", Some(&key_set(&[one]))));
    assert!(told.passes(&["a"], &token(&signer)));
    told.tell(object("a", None));
    assert!(!told.passes(&["a"], &token(&signer)));
}
