//! What an update says of addresses, and who is judged by it.

use ambit_model::Health;
use ambit_wire::encode;

use tokio::sync::oneshot;

use super::*;
use crate::authorize::Asking;
use crate::fixtures::{call, endpoint, entry, entry_at, service};
use crate::review;
use crate::scene::{Scene, soon};
use crate::verdicts::Verdicts;
use crate::view::Destination;

/// Entries and services that come by themselves say nothing of who else is at their addresses.
#[test]
fn an_update_answers_for_addresses_that_it_names_and_not_for_those_of_what_it_tells() {
    let Change::PutWorkload(pod) = endpoint("p", "server", "10.1.0.7", Health::Healthy) else {
        panic!("no workload")
    };
    let Change::PutService(plain) = service("server") else {
        panic!("no service")
    };
    let mut service = ambit_model::Service::clone(&plain);
    let vip = ambit_model::NetworkAddress {
        network: "".into(),
        address: "10.96.0.9".parse().unwrap(),
    };
    service.vips = vec![(vip, 32)];
    let resources = [
        encode::workload_entry(&pod),
        encode::service_entry(&service),
    ];
    let received = resources.map(|(name, entry)| Received {
        name,
        version: entry.version,
        body: entry.body,
    });
    let mut update = Update {
        nonce: "1".to_owned(),
        changed: received.into(),
        removed: [
            "/10.1.0.8",
            "/fd00::8",
            "Kubernetes//Pod/shop/p",
            "shop/host",
            "/",
        ]
        .map(Arc::from)
        .into(),
        rejected: Vec::new(),
        complete: true,
    };
    let texts = |update: &Update| -> Vec<String> {
        let answered = answered(update);
        answered.map(|address| address.to_string()).collect()
    };
    assert_eq!(texts(&update), ["10.1.0.8", "fd00::8"]);
    update.rejected.push(ambit_wire::delta::Rejection {
        name: "Kubernetes//Pod/shop/q".into(),
        reason: "unreadable".to_owned(),
    });
    assert!(texts(&update).is_empty());
}

/// The owner of what a scene knows.
fn follower(scene: &Scene) -> Follower {
    let own = "10.1.0.5".parse().unwrap();
    let (tell, answered) = mpsc::channel(1);
    let asker = crate::outside::names::Asker::new(Arc::clone(&scene.resolver) as _, own, 1);
    let view = View::clone(&scene.proxy.view());
    Follower {
        proxy: Arc::clone(&scene.proxy),
        views: watch::Sender::new(Arc::new(view.clone())),
        view,
        trust_domain: "cluster.local".into(),
        reader: SharedReader::default(),
        complete: watch::Sender::new(false),
        told: std::collections::BTreeSet::new(),
        found: Verdicts::new().1,
        names: Names::new(asker, tell),
        answered,
    }
}

impl Follower {
    /// These workloads come, and others go.
    async fn comes(&mut self, put: &[Change], removed: &[&str]) {
        let put = put.iter().map(|change| {
            let Change::PutWorkload(workload) = change else {
                panic!("no workload")
            };
            let (name, entry) = encode::workload_entry(workload);
            Received {
                name,
                version: entry.version,
                body: entry.body,
            }
        });
        let update = Update {
            nonce: "1".to_owned(),
            changed: put.collect(),
            removed: removed.iter().map(|name| (*name).into()).collect(),
            rejected: Vec::new(),
            complete: true,
        };
        let (in_force, done) = oneshot::channel();
        let delivery = Delivery {
            kind: Kind::Address,
            update,
            unreadable: Vec::new(),
            bytes: 0,
            in_force,
        };
        self.take(delivery).await;
        done.await.unwrap();
    }
}

/// A name that goes on leading to an address leads to no pod there, while there is one.
#[tokio::test]
async fn a_name_does_not_lead_where_a_pod_has_come_and_does_when_it_has_gone() {
    let scene = Scene::new([service("api"), entry("e", "api", "api.example.com")]);
    let mut follower = follower(&scene);
    let addresses = ["203.0.113.7", "203.0.113.8"].map(|one| one.parse().unwrap());
    let name = "api.example.com".into();
    follower.resolved(&Answer {
        name,
        addresses: addresses.into(),
    });
    let known = |view: &View| {
        let cluster = view.cluster(&crate::fixtures::name("api"), 80, None);
        cluster.unwrap().endpoints.known()
    };
    assert_eq!(known(&scene.proxy.view()), 2);
    let pod = endpoint("p", "cart", "203.0.113.7", Health::Healthy);
    follower.comes(std::slice::from_ref(&pod), &[]).await;
    assert_eq!(known(&scene.proxy.view()), 1);
    let Change::PutWorkload(pod) = pod else {
        panic!("no workload")
    };
    follower.comes(&[], &[pod.uid.as_str()]).await;
    assert_eq!(known(&scene.proxy.view()), 2);
}

/// A pod has no policy to change, and has what goes to its address as to a host outside judged all the same.
#[tokio::test]
async fn a_pod_ends_what_goes_out_of_the_mesh_to_its_address() {
    let scene = Scene::new([service("server")]);
    let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
    let mut follower = follower(&scene);
    let to = Destination::new(
        &entry_at("e", "server", "203.0.113.7"),
        "203.0.113.7:5432".parse().unwrap(),
    );
    let asking = Asking::connection(&call, None);
    let refused = review::raw_refused(&proxy, &call, &asking, &to, 5432);
    let comes = async {
        // First it is seen that nobody is there.
        soon(async {
            while !proxy.callers.is_kept(to.address.ip()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let pod = endpoint("p", "cart", "203.0.113.7", Health::Healthy);
        follower.comes(&[pod], &[]).await;
    };
    let (refusal, ()) = tokio::join!(soon(refused), comes);
    assert_eq!(refusal.reason, ambit_decide::Reason::OutsideAddress);
}

mod unread;
