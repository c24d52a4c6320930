use std::sync::Arc;

use ambit_identity::testing::{Authority, Leaf};
use ambit_model::{Change, CredentialUse, OutsideTls, TrafficPolicy};
use ambit_wire::encode::credential_entry;

use super::*;
use crate::fixtures::{ruled, service, traffic};

const NAME: &str = "shop/c";

fn asked() -> CredentialUse {
    CredentialUse {
        name: NAME.into(),
        certificate: true,
    }
}

fn received(given: &OutsideCredential) -> Received {
    let (name, entry) = credential_entry(NAME, given);
    Received {
        name,
        version: entry.version,
        body: entry.body,
    }
}

fn update(changed: Vec<Received>, removed: &[&str]) -> Update {
    Update {
        nonce: String::new(),
        changed,
        removed: removed.iter().map(|&name| name.into()).collect(),
        rejected: Vec::new(),
        complete: true,
    }
}

/// A service that names it, or does not.
fn mesh(names_it: bool) -> Mesh {
    let tls = OutsideTls {
        credential: Some(asked()),
        ..OutsideTls::default()
    };
    let any = TrafficPolicy {
        tls: Some(Arc::new(tls)),
        ..TrafficPolicy::default()
    };
    let traffic = traffic(any);
    let change: Change = match names_it {
        true => ruled("partner", traffic),
        false => service("partner"),
    };
    let mut mesh = Mesh::default();
    mesh.apply(change);
    mesh
}

#[test]
fn what_is_held_stays_until_it_is_known_to_be_gone_or_nobody_names_it() {
    let given = Authority::new("ours").papers(&Leaf::of_hosts(&["client.example.com"]));
    let credentials = Credentials::default();
    let is_held = || credentials.holds(NAME);
    let named = mesh(true);
    let take = |changed, removed: &[&str]| {
        bring_in(&credentials, &update(changed, removed), &named);
    };
    take(vec![received(&given)], &[]);
    assert!(is_held());
    // A control plane that was just started has not read it yet.
    take(Vec::new(), &[NAME]);
    sweep(&credentials, &mesh(true));
    assert!(is_held());
    sweep(&credentials, &mesh(false));
    assert!(!is_held());
    take(vec![received(&given)], &[]);
    sweep(&credentials, &mesh(false));
    assert!(is_held(), "it is told of");
    take(vec![received(&OutsideCredential::default())], &[]);
    assert!(!is_held(), "it is known not to be there");
}

/// Nobody may tell of an address for long after it.
#[test]
fn what_nobody_names_goes_when_it_is_not_told_of_any_more() {
    let given = Authority::new("ours").papers(&Leaf::of_hosts(&["client.example.com"]));
    let credentials = Credentials::default();
    let unnamed = mesh(false);
    bring_in(&credentials, &update(vec![received(&given)], &[]), &unnamed);
    assert!(credentials.holds(NAME), "it comes before who names it");
    bring_in(&credentials, &update(Vec::new(), &[NAME]), &unnamed);
    assert!(!credentials.holds(NAME));
}

#[test]
fn what_cannot_be_used_is_rejected_without_a_word_of_it() {
    let given = Authority::new("ours").papers(&Leaf::of_hosts(&["client.example.com"]));
    readable(&received(&given)).unwrap();
    readable(&received(&OutsideCredential::default())).unwrap();
    let damaged = OutsideCredential {
        key: "secret".into(),
        ..given
    };
    let why = readable(&received(&damaged)).unwrap_err();
    assert!(
        why.contains("private key") && !why.contains("secret"),
        "{why}"
    );
}
