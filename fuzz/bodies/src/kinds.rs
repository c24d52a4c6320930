//! Objects of Istio's kinds: what a user may write as the `spec` of one, among services that it can be about.
//! What can be read is translated and told of, and the same is made of it when it comes a second time.

use std::sync::Arc;

use ambit::config::problem::Origin;
use ambit::config::store::ObjectEvent;
use ambit::config::{self, Batch, Configuration, documents, objects};

/// A service behind a waypoint, one that is not, and a pod of each.
const AROUND: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient, ambit.mesh/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: other}
spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, uid: a, labels: {app: web, version: v1}}
spec: {nodeName: n, serviceAccountName: web, containers: [{name: main}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: \"True\"}]}
";

/// `VirtualService`.
pub fn virtual_service(bytes: &[u8]) {
    object("networking.istio.io/v1", "VirtualService", bytes);
}

/// `DestinationRule`.
pub fn destination_rule(bytes: &[u8]) {
    object("networking.istio.io/v1", "DestinationRule", bytes);
}

/// `ServiceEntry`.
pub fn service_entry(bytes: &[u8]) {
    object("networking.istio.io/v1", "ServiceEntry", bytes);
}

/// `AuthorizationPolicy`.
pub fn authorization_policy(bytes: &[u8]) {
    object("security.istio.io/v1", "AuthorizationPolicy", bytes);
}

/// `RequestAuthentication`.
pub fn request_authentication(bytes: &[u8]) {
    object("security.istio.io/v1", "RequestAuthentication", bytes);
}

/// `Telemetry`.
pub fn telemetry(bytes: &[u8]) {
    object("telemetry.istio.io/v1", "Telemetry", bytes);
}

/// An object of this kind with this `spec`, which is indented so that it stays one.
fn object(version: &str, kind: &str, spec: &[u8]) {
    let spec = String::from_utf8_lossy(spec).replace('\n', "\n  ");
    let text = format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: it, namespace: shop}}\nspec:\n  {spec}\n"
    );
    let around = events("around", AROUND);
    let own = events("own", &text);
    let mut configuration = Configuration::new(config::Settings::default());
    configuration.apply(batch(around));
    configuration.apply(batch(own.clone()));
    let problems = format!("{:?}", configuration.problems());
    let again = configuration.apply(batch(own));
    assert!(
        again.is_empty(),
        "the same object makes a change: {again:?}"
    );
    assert_eq!(problems, format!("{:?}", configuration.problems()));
}

fn batch(events: Vec<ObjectEvent>) -> Batch {
    Batch {
        events,
        ..Batch::default()
    }
}

/// What can be read of a file.
fn events(name: &str, text: &str) -> Vec<ObjectEvent> {
    let Ok(documents) = documents::parse_documents(text.as_bytes()) else {
        return Vec::new();
    };
    let origin = Origin::file(&name.into());
    let items = documents.into_iter().flatten().flat_map(objects::items);
    let objects = items.filter_map(|(_, item)| objects::read(item).ok());
    let events = objects.map(|object| ObjectEvent::Put {
        origin: origin.clone(),
        object: Arc::new(object),
    });
    events.collect()
}
