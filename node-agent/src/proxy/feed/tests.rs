//! The feed puts snapshots in force as a whole, and what it cannot read never opens a door.

use ambit_decide::{InboundQuery, Reason};
use ambit_model::{GatewayAddress, IpFamilies, LoadBalancing, Service, ServiceName, WorkloadUid};
use ambit_wire::encode;

use super::*;
use crate::proxy::fixtures::{UID as POD_UID, data_path, pod};
use crate::proxy::former::LINGER;

fn follower() -> Follower {
    Follower {
        path: data_path(),
        pods: Arc::default(),
        state: Arc::default(),
        synced: watch::Sender::new(false),
    }
}

fn workload(pod_uid: &str) -> Workload {
    let pod = node::Pod {
        uid: pod_uid.into(),
        namespace: "shop".into(),
        name: "web-0".into(),
        service_account: "web".into(),
        ips: Vec::new(),
    };
    let place = crate::proxy::pods::Place {
        node: "n1".into(),
        cluster: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
    };
    let mut workload =
        crate::proxy::pods::enrolled_workload(&pod, &["10.0.0.1".parse().unwrap()], &place);
    workload.applicable_policies = Some(Vec::new());
    workload
}

fn address(workload: &Workload) -> NamedResource {
    NamedResource {
        name: workload.uid.to_string(),
        version: "1".into(),
        body: prost::Message::encode_to_vec(&encode::workload_to_wire(workload)).into(),
    }
}

fn uid() -> WorkloadUid {
    WorkloadUid::pod("Kubernetes", "shop", "web-0")
}

#[tokio::test]
async fn nothing_is_in_force_before_the_first_state_is_complete() {
    let follower = follower();
    let mut working = Working::new(follower.clone());
    let first = Resources {
        addresses: vec![address(&workload(POD_UID))],
        ..Resources::default()
    };
    working.resources(&first);
    assert!(follower.path.mesh().workload(&uid()).is_none());
    assert!(!*follower.synced.borrow());
    working.resources(&Resources {
        synced: true,
        ..Resources::default()
    });
    assert!(follower.path.mesh().workload(&uid()).is_some());
    assert!(*follower.synced.borrow());
}

#[tokio::test]
async fn an_unreadable_policy_denies_its_namespace_and_is_reported() {
    // Of the pod's namespace, and of one whose policies may be for the whole mesh.
    for name in ["shop/only-cart", "istio-system/deny-all"] {
        unreadable(name);
    }
}

fn unreadable(name: &str) {
    let follower = follower();
    let mut working = Working::new(follower.clone());
    let broken = NamedResource {
        name: name.into(),
        version: "1".into(),
        body: vec![7].into(),
    };
    let answers = working.resources(&Resources {
        policies: vec![broken],
        addresses: vec![address(&workload(POD_UID))],
        synced: true,
        sequence: 9,
        ..Resources::default()
    });
    assert!(matches!(
        answers.first().and_then(|a| a.kind.as_ref()),
        Some(feed_answer::Kind::Rejected(rejected)) if rejected.errors[0].contains(name)
    ));
    let mesh = follower.path.mesh();
    let workload = mesh.workload(&uid()).unwrap();
    let refusal = ambit_decide::inbound(
        &mesh,
        &InboundQuery {
            workload,
            destination: "10.0.0.1:80".parse().unwrap(),
            source: "10.0.0.2".parse().unwrap(),
            peer: None,
        },
    )
    .unwrap_err();
    assert_eq!(refusal.reason, Reason::PolicyDenied);
}

#[tokio::test]
async fn garbage_for_a_workload_keeps_the_last_good_one() {
    let follower = follower();
    let mut working = Working::new(follower.clone());
    let good = address(&workload(POD_UID));
    let broken = NamedResource {
        body: vec![0xff; 9].into(),
        ..good.clone()
    };
    working.resources(&Resources {
        addresses: vec![good],
        synced: true,
        ..Resources::default()
    });
    working.resources(&Resources {
        addresses: vec![broken],
        ..Resources::default()
    });
    assert!(follower.path.mesh().workload(&uid()).is_some());
    assert_eq!(follower.path.ledger.total(Family::ConfigRejects), 1);
}

#[tokio::test]
async fn a_new_feed_replaces_the_state_only_when_it_is_complete() {
    let follower = follower();
    let mut first = Working::new(follower.clone());
    first.resources(&Resources {
        addresses: vec![address(&workload(POD_UID))],
        synced: true,
        ..Resources::default()
    });
    let mut second = Working::new(follower.clone());
    second.resources(&Resources::default());
    assert!(
        follower.path.mesh().workload(&uid()).is_some(),
        "the old state serves on"
    );
    second.resources(&Resources {
        synced: true,
        ..Resources::default()
    });
    assert!(
        follower.path.mesh().workload(&uid()).is_none(),
        "the new state is whole"
    );
}

#[tokio::test]
async fn wanted_identities_are_asked_for_on_the_feed() {
    let follower = follower();
    let (ours, theirs) = tokio::io::duplex(1024);
    let (want, mut wants) = mpsc::channel(1);
    let following = tokio::spawn(async move { follow(&follower, ours, &mut wants).await });
    let id = SpiffeId::from_parts("cluster.local", "shop", "web");
    want.send(id.clone()).await.unwrap();
    let (mut from, to) = tokio::io::split(theirs);
    let answer: FeedAnswer = frames::read(&mut from).await.unwrap().unwrap();
    assert_eq!(
        answer.kind,
        Some(feed_answer::Kind::WantIdentity(id.to_string()))
    );
    drop((from, to));
    following.await.unwrap().unwrap();
}

fn web() -> ServiceName {
    ServiceName::new("shop", "web.shop.svc.cluster.local")
}

fn gateway(host: &str) -> GatewayAddress {
    GatewayAddress::Service(ServiceName::new("shop", host), 15008)
}

/// The service `web`, bound to that waypoint.
fn service(waypoint: Option<&str>) -> Resources {
    let service = Service {
        name: web(),
        short_name: "web".into(),
        vips: Vec::new(),
        ports: Vec::new(),
        subject_alt_names: Vec::new(),
        waypoint: waypoint.map(gateway),
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::default(),
        traffic: None,
        authentications: Vec::new(),
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    };
    Resources {
        addresses: vec![NamedResource {
            name: web().to_string(),
            version: "1".into(),
            body: prost::Message::encode_to_vec(&encode::service_to_wire(&service)).into(),
        }],
        ..Resources::default()
    }
}

#[tokio::test]
async fn open_connections_are_judged_again_when_a_binding_to_a_waypoint_changes() {
    let mut working = Working::new(follower());
    let name = web();
    let gone = Resources {
        removed_addresses: vec![name.to_string()],
        ..Resources::default()
    };
    for (step, resources, expected) in [
        ("made without one", service(None), false),
        ("bound", service(Some("gate")), true),
        ("the same again", service(Some("gate")), false),
        ("bound to another", service(Some("other")), true),
        ("bound no more", service(None), true),
        ("bound again", service(Some("gate")), true),
        ("removed", gone.clone(), true),
        ("made with one", service(Some("gate")), true),
    ] {
        let effects = working.apply(&resources);
        assert!(effects.errors.is_empty(), "{:?}", effects.errors);
        assert_eq!(effects.review, expected, "{step}");
    }
    working.apply(&service(None));
    assert!(working.apply(&gone).review, "removed with a former one");
    working.apply(&service(None));
    assert!(!working.apply(&gone).review, "removed without one");
}

/// Former waypoints in force of the service, and of the pod.
fn former(follower: &Follower) -> [Vec<GatewayAddress>; 2] {
    let mesh = follower.path.mesh();
    let of_service = mesh.former_waypoints_of(&web()).cloned().collect();
    let uid = uid();
    let of_pod = mesh.former_waypoints_of_workload(&uid).cloned().collect();
    [of_service, of_pod]
}

#[tokio::test]
async fn a_waypoint_is_known_for_a_while_after_what_was_bound_to_it_is_so_no_longer() {
    let follower = follower();
    follower.pods.put(Arc::new(pod()));
    let mut working = Working::new(follower.clone());
    let bound = |waypoint: Option<&str>| {
        let mut resources = service(waypoint);
        let mut pod = workload(POD_UID);
        pod.waypoint = waypoint.map(gateway);
        resources.addresses.push(address(&pod));
        resources.synced = true;
        resources
    };
    let none = || [Vec::new(), Vec::new()];
    let only = |host| [vec![gateway(host)], vec![gateway(host)]];
    working.resources(&bound(Some("gate")));
    working.resources(&bound(Some("gate")));
    assert_eq!(former(&follower), none(), "it is bound to it");
    assert_eq!(working.due(), None);
    working.resources(&bound(None));
    assert_eq!(former(&follower), only("gate"));
    working.resources(&bound(Some("gate")));
    assert_eq!(former(&follower), none(), "bound again");
    working.resources(&bound(Some("other")));
    assert_eq!(former(&follower), only("gate"));

    let due = working.due().unwrap();
    working.expire(due - LINGER / 2);
    assert_eq!(former(&follower), only("gate"));
    working.expire(clock::now() + LINGER);
    assert_eq!(former(&follower), none());
    assert_eq!(working.due(), None);

    working.resources(&bound(None));
    assert_eq!(former(&follower), only("other"));
    working.resources(&Resources {
        removed_addresses: vec![web().to_string()],
        ..Resources::default()
    });
    let [of_service, _] = former(&follower);
    assert_eq!(of_service, [], "it is gone");
}
