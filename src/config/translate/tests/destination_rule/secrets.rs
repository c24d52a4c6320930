//! Whose Secrets are named to waypoints.

use std::sync::Arc;

use ambit_model::OutsideTls;

use super::*;
use crate::config::problem::Origin;
use crate::config::store::ObjectEvent;
use crate::config::{Batch, Configuration, Settings, documents, objects};

/// The host `out.example` of namespace `shop`.
const OUT: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop, labels: {ambit.mesh/use-waypoint: w, ambit.mesh/use-waypoint-namespace: NAMESPACE}}
spec: {hosts: [out.example], resolution: DNS, ports: [{number: 443, name: http, protocol: HTTP}]}
";

/// The TLS with the host behind a waypoint of one namespace that a rule of another asks for, and what is said.
fn asked(waypoint: &str, namespace: &str, reads_credentials: bool) -> (Arc<OutsideTls>, String) {
    let name = format!("{namespace}/r");
    let spec = "host: out.example, trafficPolicy: {tls: {mode: MUTUAL, credentialName: c}}";
    let out = OUT.replace("NAMESPACE", waypoint);
    let text = behind_waypoint(waypoint, &format!("{out}{}", rule(2026, &name, spec)));
    let documents = documents::parse_documents(text.as_bytes()).unwrap();
    let items = documents.into_iter().flatten().flat_map(objects::items);
    let events = items.map(|(_, item)| ObjectEvent::Put {
        origin: Origin::file(&"all.yaml".into()),
        object: Arc::new(objects::read(item).unwrap()),
    });
    let mut configuration = Configuration::new(Settings {
        reads_credentials,
        ..Settings::default()
    });
    configuration.apply(Batch {
        events: events.collect(),
        ..Batch::default()
    });
    let mut hosts = configuration.mesh().services_by_host("out.example");
    let traffic = hosts.next().unwrap().traffic.as_deref().unwrap();
    let problems = configuration.problems();
    let said = problems.iter().map(|problem| format!("{problem}\n"));
    (traffic.whole.any.tls.clone().unwrap(), said.collect())
}

#[test]
fn secrets_are_those_of_the_waypoints_namespace() {
    let (own, said) = asked("infra", "infra", true);
    let credential = own.credential.as_ref().unwrap();
    assert_eq!(
        (&*credential.name, credential.certificate),
        ("infra/c", true)
    );
    assert_eq!(said, "");
    // A rule of the host's namespace holds, but its Secret is not given to a waypoint of another one.
    let (other, said) = asked("infra", "shop", true);
    assert_eq!(other.credential, None);
    let why = other.unusable.as_deref().unwrap();
    assert!(why.contains("of their own namespace only"), "{why}");
    assert!(
        said.contains("Secrets of namespace shop are given to waypoints of that namespace only"),
        "{said}"
    );
    // Behind a waypoint of its own namespace it is.
    let (near, said) = asked("shop", "shop", true);
    assert_eq!(&*near.credential.as_ref().unwrap().name, "shop/c");
    assert_eq!(said, "");
}

#[test]
fn where_no_secrets_are_read_nothing_is_sent() {
    for namespace in ["infra", "shop"] {
        let (tls, said) = asked("infra", namespace, false);
        assert_eq!(tls.credential, None);
        let why = tls.unusable.as_deref().unwrap();
        assert!(why.contains("reads no Secrets"), "{why}");
        assert!(said.contains("reads no Secrets"), "{said}");
    }
}
