//! The feed puts snapshots in force as a whole, and what it cannot read never opens a door.

use ambit_decide::{EgressMode, InboundQuery, Reason};
use ambit_model::{GatewayAddress, IpFamilies, LoadBalancing, Service, ServiceName, WorkloadUid};
use ambit_wire::encode;

use super::*;
use crate::proxy::access_log::AccessLog;
use crate::proxy::identities::Identities;
use crate::proxy::ledger::Ledger;

const POD_UID: &str = "5b1e0000-0000-4000-8000-000000000001";

fn follower() -> Follower {
    let (wanted, _) = mpsc::channel(1);
    let ledger = Ledger::default();
    let path = DataPath::new(
        Identities::new(wanted),
        crate::proxy::probes::Probes::new().0,
        ambit_tunnel::Settings::default(),
        EgressMode::AllowAny,
        "cluster.local".into(),
        (ledger.clone(), AccessLog::start(ledger).unwrap()),
    );
    Follower {
        path: Arc::new(path),
        pods: Arc::default(),
        state: Arc::default(),
        synced: watch::Sender::new(false),
    }
}

fn workload(pod_uid: &str) -> ambit_model::Workload {
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

fn address(workload: &ambit_model::Workload) -> NamedResource {
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

#[tokio::test]
async fn open_connections_are_judged_again_when_a_binding_to_a_waypoint_changes() {
    let mut working = Working::new(follower());
    let name = ServiceName::new("shop", "web.shop.svc.cluster.local");
    let service = |waypoint: Option<&str>| {
        let gateway = |host| GatewayAddress::Service(ServiceName::new("shop", host), 15008);
        let service = Service {
            name: name.clone(),
            short_name: "web".into(),
            vips: Vec::new(),
            ports: Vec::new(),
            subject_alt_names: Vec::new(),
            waypoint: waypoint.map(gateway),
            load_balancing: LoadBalancing::default(),
            ip_families: IpFamilies::default(),
        };
        Resources {
            addresses: vec![NamedResource {
                name: name.to_string(),
                version: "1".into(),
                body: prost::Message::encode_to_vec(&encode::service_to_wire(&service)).into(),
            }],
            ..Resources::default()
        }
    };
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
    assert!(!working.apply(&gone).review, "removed without one");
}
