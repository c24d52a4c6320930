use std::collections::BTreeMap;
use std::convert::Infallible;

use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::config::Batch;
use crate::config::Configuration;
use crate::config::apiserver::Listings;

/// Objects by the path of their URL, and what was asked for: method and path.
#[derive(Debug, Default)]
struct Store {
    objects: BTreeMap<String, Value>,
    written: Vec<String>,
    version: u64,
}

type Shared = Arc<Mutex<Store>>;

/// An API server that keeps what is applied.
fn server() -> (Client, Shared) {
    let store = Shared::default();
    let shared = Arc::clone(&store);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let store = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (code, answer) = store
                .lock()
                .answer(head.method.as_str(), head.uri.path(), body);
            let answer = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(http::Response::builder().status(code).body(answer).unwrap())
        }
    });
    (Client::new(service, "default"), store)
}

impl Store {
    fn answer(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        if method != "GET" {
            self.written.push(format!("{method} {path}"));
        }
        let known = self.objects.get(path).cloned();
        let missing = json!({
            "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no",
        });
        match (method, known) {
            ("GET", Some(object)) => (200, object),
            ("DELETE", Some(_)) => {
                self.objects.remove(path);
                (
                    200,
                    json!({"kind": "Status", "status": "Success", "code": 200}),
                )
            }
            ("PATCH", _) if path.ends_with("/status") => (200, body),
            ("PATCH" | "POST", known) => {
                self.version += 1;
                let version = self.version.to_string();
                let mut object = body;
                let uid = known.map_or_else(|| json!(version), |it| it["metadata"]["uid"].clone());
                object["metadata"]["uid"] = uid;
                object["metadata"]["resourceVersion"] = version.into();
                self.objects.insert(path.to_owned(), object.clone());
                (200, object)
            }
            _ => (404, missing),
        }
    }

    /// What was written since this was asked last, by the last two words of the path.
    fn news(&mut self) -> Vec<String> {
        let written = std::mem::take(&mut self.written);
        let short = |line: String| {
            let (method, path) = line.split_once(' ').unwrap();
            let words: Vec<&str> = path.rsplit('/').take(2).collect();
            format!("{method} {}/{}", words[1], words[0])
        };
        written.into_iter().map(short).collect()
    }
}

fn work(client: Client) -> Work {
    let settings = json!({"image": "i", "controlPlane": "c:15012"});
    let (_, leads) = watch::channel(true);
    let (_, leaving) = watch::channel(false);
    let mut ledger = Ledger::default();
    for part in Part::ALL {
        ledger.take(part, Seen::Complete);
    }
    Work {
        api: Api::new(client),
        maker: Maker {
            settings: serde_json::from_value(settings).unwrap(),
            trust_domain: "cluster.local".into(),
            leads,
            leaving,
        },
        ledger,
        making: HashMap::new(),
        maps: HashMap::new(),
        statuses: Written::default(),
        classes: None,
    }
}

/// A cluster with one Gateway of this class and these annotations.
fn waypoints(class: &str, annotations: &Value) -> Waypoints {
    let mut listings = Listings::default();
    let mut batch = Batch::default();
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "w", "namespace": "shop", "uid": "u-1", "generation": 1,
            "annotations": annotations},
        "spec": {"gatewayClassName": class,
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]},
    });
    for kind in Kind::ALL {
        let documents = (*kind == Kind::Gateway).then(|| gateway.clone());
        listings.take_all(*kind, documents, &mut batch);
    }
    let mut configuration = Configuration::default();
    configuration.apply(batch);
    configuration.waypoints()
}

const ALL: [&str; 5] = [
    "PATCH serviceaccounts/w",
    "PATCH services/w",
    "PATCH deployments/w",
    "PATCH poddisruptionbudgets/w",
    "PATCH horizontalpodautoscalers/w",
];

#[tokio::test]
async fn all_is_made_once_and_again_where_somebody_changed_it() {
    let (client, store) = server();
    let mut work = work(client);
    let wanted = waypoints("ambit-waypoint", &json!({}));
    assert!(work.round(&wanted).await);
    let news = store.lock().news();
    assert_eq!(news[0], "POST v1/gatewayclasses");
    assert_eq!(news[1..6], ALL);
    assert_eq!(news[6..], ["PATCH w/status"]);
    assert!(!work.round(&wanted).await, "{:?}", store.lock().news());
    let key = GatewayKey {
        namespace: "shop".into(),
        name: "w".into(),
    };
    work.ledger.take(Part::Deployment, Seen::Gone(key));
    assert!(work.round(&wanted).await);
    assert_eq!(store.lock().news(), [ALL[2]]);
}

#[tokio::test]
async fn what_is_no_longer_asked_for_is_deleted() {
    let (client, store) = server();
    let mut work = work(client);
    work.round(&waypoints("ambit-waypoint", &json!({}))).await;
    store.lock().written.clear();
    let fixed = waypoints(
        "ambit-waypoint",
        &json!({"ambit.mesh/waypoint-replicas": "3"}),
    );
    work.round(&fixed).await;
    let expected = [ALL[2], "DELETE horizontalpodautoscalers/w"];
    assert_eq!(store.lock().news(), expected);
    // Its class is now somebody else's.
    work.round(&waypoints("other", &json!({}))).await;
    let news = store.lock().news();
    assert_eq!(news.len(), 4, "{news:?}");
    assert!(
        news.iter().all(|line| line.starts_with("DELETE")),
        "{news:?}"
    );
}

#[tokio::test]
async fn what_somebody_else_made_is_not_touched() {
    let (client, store) = server();
    let path = "/api/v1/namespaces/shop/services/w".to_owned();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "w", "namespace": "shop", "uid": "theirs", "ownerReferences": [
            {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "w", "uid": "u-0", "controller": true},
        ]},
    });
    store.lock().objects.insert(path.clone(), theirs.clone());
    let mut work = work(client);
    let wanted = waypoints("ambit-waypoint", &json!({}));
    work.round(&wanted).await;
    assert_eq!(store.lock().objects[&path], theirs);
    assert!(!store.lock().news().contains(&ALL[1].to_owned()));
    let making = work.making.values().next().unwrap();
    assert!(
        matches!(making, Making::Failed { reason: "NameTaken", message } if message.contains("Service shop/w"))
    );
    store.lock().objects.remove(&path);
    work.round(&wanted).await;
    assert_eq!(work.making.values().next(), Some(&Making::Done));
}

#[test]
fn the_same_status_is_not_written_again_soon() {
    let mut written = Written::default();
    let now = clock::now();
    let status = |text: &str, time: &str| json!({"conditions": [{"reason": text, "lastTransitionTime": time}]});
    let of = |uid: &str| (ObjectKey::new(Kind::Gateway, "shop", "w"), Arc::from(uid));
    let object = of("first");
    assert!(written.is_due(&object, &status("a", "t"), now));
    written.note(object.clone(), status("a", "t"), now);
    assert!(
        written.is_due(&of("second"), &status("a", "t"), now),
        "it was deleted and made again"
    );
    assert!(!written.is_due(&object, &status("a", "u"), now));
    assert!(written.is_due(&object, &status("b", "t"), now));
    assert!(written.is_due(&object, &status("a", "t"), now + SELDOM));
}
