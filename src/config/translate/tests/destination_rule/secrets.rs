//! Whose Secrets are named to waypoints.

use std::sync::Arc;

use ambit_model::OutsideTls;

use super::*;
use crate::config::problem::Origin;
use crate::config::store::ObjectEvent;
use crate::config::{Batch, Configuration, Settings, documents, objects};

/// The host `out.example` of namespace `shop`, behind a waypoint of namespace `infra`.
const OUT: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: infra}
spec:
  gatewayClassName: ambit-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop, labels: {ambit.mesh/use-waypoint: w, ambit.mesh/use-waypoint-namespace: infra}}
spec: {hosts: [out.example], resolution: DNS, ports: [{number: 443, name: http, protocol: HTTP}]}
";

/// The TLS with the host that a rule of this namespace asks for, and what is said.
fn asked(out: &str, namespace: &str, reads_credentials: bool) -> (Arc<OutsideTls>, String) {
    let name = format!("{namespace}/r");
    let spec = "host: out.example, trafficPolicy: {tls: {mode: MUTUAL, credentialName: c}}";
    let text = format!("{out}{}", rule(2026, &name, spec));
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
    let (own, said) = asked(OUT, "infra", true);
    let credential = own.credential.as_ref().unwrap();
    assert_eq!(
        (&*credential.name, credential.certificate),
        ("infra/c", true)
    );
    assert_eq!(said, "");
    // A rule of the host's namespace holds, but its Secret is not given to a waypoint of another one.
    let (other, said) = asked(OUT, "shop", true);
    assert_eq!(other.credential, None);
    let why = other.unusable.as_deref().unwrap();
    assert!(why.contains("of their own namespace only"), "{why}");
    assert!(
        said.contains("Secrets of namespace shop are given to waypoints of that namespace only"),
        "{said}"
    );
    // Behind a waypoint of its own namespace it is.
    let near = OUT.replace("namespace: infra", "namespace: shop");
    let near = near.replace(
        "use-waypoint-namespace: infra",
        "use-waypoint-namespace: shop",
    );
    let (near, said) = asked(&near, "shop", true);
    assert_eq!(&*near.credential.as_ref().unwrap().name, "shop/c");
    assert_eq!(said, "");
}

#[test]
fn where_no_secrets_are_read_nothing_is_sent() {
    for namespace in ["infra", "shop"] {
        let (tls, said) = asked(OUT, namespace, false);
        assert_eq!(tls.credential, None);
        let why = tls.unusable.as_deref().unwrap();
        assert!(why.contains("reads no Secrets"), "{why}");
        assert!(said.contains("reads no Secrets"), "{said}");
    }
}
