//! Objects of Istio's kinds: what a user may write as the `spec` of one, among others that it can be about.
//! What can be read is translated and told of. The same is made of it when it comes a second time, and when
//! all come at once; and when it goes nothing of it is left.

use std::sync::{Arc, LazyLock};

use ambit::config::problem::Origin;
use ambit::config::store::ObjectEvent;
use ambit::config::{self, Batch, Configuration, documents, objects};

/// A service behind a waypoint, one that is not, and a pod of each; a host outside, and a server of others;
/// rules to be delegated to, and subsets to be sent to.
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
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: other, uid: b, labels: {app: db}}
spec: {nodeName: n, serviceAccountName: db, containers: [{name: main}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}], conditions: [{type: Ready, status: \"True\"}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop}
spec: {hosts: [out.example], addresses: [192.0.2.9], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop}
spec: {address: 192.0.2.8, labels: {app: vm}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: d, namespace: shop}
spec: {http: [{match: [{uri: {prefix: /d/1}, headers: {x: {exact: a}}}, {method: {exact: GET}}], route: [{destination: {host: web, subset: v1}}]}, {redirect: {uri: /e}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets, namespace: shop}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {version: v1}}]}
";

/// What can be read of it.
static EVENTS: LazyLock<Vec<ObjectEvent>> = LazyLock::new(|| events("around", AROUND));

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
    let own = events("own", &text);
    let mut configuration = Configuration::new(config::Settings::default());
    configuration.apply(batch(EVENTS.clone()));
    let before = contents(&configuration);
    configuration.apply(batch(own.clone()));
    let with = contents(&configuration);
    let again = configuration.apply(batch(own.clone()));
    assert!(
        again.is_empty(),
        "the same object makes a change: {again:?}"
    );
    assert_eq!(with, contents(&configuration));
    let mut at_once = Configuration::new(config::Settings::default());
    at_once.apply(batch([EVENTS.clone(), own.clone()].concat()));
    assert_eq!(with, contents(&at_once));
    configuration.apply(batch(own.iter().map(removal).collect()));
    assert_eq!(before, contents(&configuration));
}

/// The model, and what is said, in an order of its own.
fn contents(configuration: &Configuration) -> Vec<String> {
    let mesh = configuration.mesh();
    let mut lines: Vec<String> = Vec::new();
    lines.extend(mesh.workloads().map(|it| format!("{it:?}")));
    lines.extend(mesh.services().map(|it| format!("{it:?}")));
    lines.extend(mesh.policies().map(|it| format!("{it:?}")));
    lines.extend(mesh.all_routes().map(|it| format!("{it:?}")));
    lines.extend(mesh.authentications().map(|it| format!("{it:?}")));
    lines.extend(configuration.problems().iter().map(|it| format!("{it:?}")));
    lines.sort();
    lines
}

fn removal(event: &ObjectEvent) -> ObjectEvent {
    ObjectEvent::Remove {
        file: "own".into(),
        key: event.key(),
    }
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
