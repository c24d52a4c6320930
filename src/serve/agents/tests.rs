use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_model::ServiceName;
use tokio::sync::Notify;

use super::*;
use crate::serve::caller_pods::CallerPod;

const AGENT: &str = "e30.e30.agent";
const SYSTEM: &str = "ambit-system";
const ACCOUNT: &str = "ambit-node-agent";
const HERE: IpAddr = address(0);

const fn address(host: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, host))
}

/// Answers by a table, and counts.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<HashMap<String, Review>>,
    is_away: std::sync::atomic::AtomicBool,
    asked: AtomicUsize,
    /// Answers wait for it, if there is one.
    go: Option<Notify>,
}

impl TokenReviewer for Script {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Review, ReviewError>> {
        async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(go) = &self.go {
                go.notified().await;
            }
            if self.is_away.load(Ordering::SeqCst) {
                return Err(ReviewError("away".to_owned()));
            }
            let answer = self.answers.lock().get(token).cloned();
            Ok(answer.unwrap_or_else(|| Review::Unknown("it claims nothing".to_owned())))
        }
        .boxed()
    }
}

fn owner(namespace: &str, account: &str, pod: Option<&str>) -> TokenOwner {
    TokenOwner {
        namespace: namespace.into(),
        service_account: account.into(),
        pod: pod.map(|pod| (pod.into(), format!("uid-{pod}").into())),
        node: None,
    }
}

fn pod(name: &str, account: &str, owner: (&str, &str)) -> (Arc<str>, CallerPod) {
    let pod = CallerPod {
        namespace: SYSTEM.into(),
        name: name.into(),
        node: "n1".into(),
        service_account: account.into(),
        owner_kind: owner.0.into(),
        owner_name: owner.1.into(),
        waypoint: None,
    };
    (format!("uid-{name}").into(), pod)
}

fn agents(script: Script) -> (Agents, Arc<Script>, CallerPods) {
    let pods = CallerPods::new();
    let script = Arc::new(script);
    let settings = AgentSettings {
        reviewer: Arc::clone(&script) as Arc<dyn TokenReviewer>,
        trusted: vec![TrustedAgent {
            namespace: SYSTEM.into(),
            daemon_set: ACCOUNT.into(),
            service_account: ACCOUNT.into(),
        }],
        pods: pods.clone(),
    };
    script.answers.lock().insert(
        AGENT.to_owned(),
        Review::Of(owner(SYSTEM, ACCOUNT, Some("a1"))),
    );
    (Agents::new(settings, Tasks::new()), script, pods)
}

fn the_agent() -> (Arc<str>, CallerPod) {
    pod("a1", ACCOUNT, ("DaemonSet", ACCOUNT))
}

#[tokio::test]
async fn an_agent_is_let_in_for_the_node_that_its_pod_runs_on() {
    let (agents, script, pods) = agents(Script::default());
    let early = agents.caller(AGENT, HERE).await.unwrap_err();
    assert_eq!(early.reason, Reason::Unavailable, "pods are not listed yet");
    pods.replace([]);
    let early = agents.caller(AGENT, HERE).await.unwrap_err();
    assert_eq!(early.reason, Reason::UnknownPod);
    assert_eq!(early.status().code(), tonic::Code::Unavailable);
    pods.replace([the_agent()]);
    assert_eq!(&*agents.caller(AGENT, HERE).await.unwrap().name, "n1");
    assert_eq!(script.asked.load(Ordering::SeqCst), 1, "asked once");
}

#[tokio::test]
async fn whoever_is_no_agent_is_refused_and_told_why() {
    let (agents, script, pods) = agents(Script::default());
    let daemon_set = ("DaemonSet", ACCOUNT);
    pods.replace([
        the_agent(),
        pod("job", ACCOUNT, ("Job", ACCOUNT)),
        pod("bare", ACCOUNT, ("", "")),
        pod("other-set", ACCOUNT, ("DaemonSet", "other")),
        pod("other-account", "default", daemon_set),
        (
            "uid-pending".into(),
            CallerPod {
                node: "".into(),
                ..pod("pending", ACCOUNT, daemon_set).1
            },
        ),
    ]);
    let of = |pod: &str| Review::Of(owner(SYSTEM, ACCOUNT, Some(pod)));
    let elsewhere = TokenOwner {
        node: Some("n2".into()),
        ..owner(SYSTEM, ACCOUNT, Some("a1"))
    };
    let renamed = TokenOwner {
        pod: Some(("a2".into(), "uid-a1".into())),
        ..owner(SYSTEM, ACCOUNT, None)
    };
    let cases = [
        (
            Review::Of(owner("shop", "web", Some("web"))),
            Reason::NotAnAgent,
        ),
        (
            Review::Of(owner("shop", ACCOUNT, Some("a1"))),
            Reason::NotAnAgent,
        ),
        (
            Review::Of(owner(SYSTEM, "default", Some("a1"))),
            Reason::NotAnAgent,
        ),
        (Review::Of(owner(SYSTEM, ACCOUNT, None)), Reason::NotAnAgent),
        (of("job"), Reason::NotAnAgent),
        (of("bare"), Reason::NotAnAgent),
        (of("other-set"), Reason::NotAnAgent),
        (of("other-account"), Reason::NotAnAgent),
        (of("pending"), Reason::NotAnAgent),
        (of("unseen"), Reason::UnknownPod),
        (Review::Of(elsewhere), Reason::NotAnAgent),
        (Review::Of(renamed), Reason::NotAnAgent),
        (Review::Other("system:admin".to_owned()), Reason::NotAnAgent),
        (Review::WrongAudience(String::new()), Reason::WrongAudience),
        (Review::Unknown(String::new()), Reason::UnknownToken),
    ];
    for (index, (review, reason)) in cases.into_iter().enumerate() {
        let token = format!("e30.e30.{index}");
        let what = format!("{review:?}");
        script.answers.lock().insert(token.clone(), review);
        let refused = agents.caller(&token, HERE).await.unwrap_err();
        assert_eq!(refused.reason, reason, "{what}: {refused}");
    }
}

#[tokio::test]
async fn what_has_not_the_shape_of_a_token_is_not_asked_about() {
    let (agents, script, _pods) = agents(Script::default());
    let long = format!("a.b.{}", "c".repeat(5000));
    for token in ["", "a", "a.b", "a..c", "a.b.c.d", "a b.c.d", "ä.b.c", &long] {
        let refused = agents.caller(token, HERE).await.unwrap_err();
        assert_eq!(refused.reason, Reason::UnknownToken, "{token}");
    }
    assert_eq!(script.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn one_token_is_reviewed_once_however_many_calls_bring_it() {
    let go = Some(Notify::new());
    let (agents, script, pods) = agents(Script {
        go,
        ..Script::default()
    });
    pods.replace([the_agent()]);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let agents = agents.clone();
            tokio::spawn(async move { agents.caller(AGENT, HERE).await })
        })
        .collect();
    // The first caller going away does not end the review of the others.
    tokio::task::yield_now().await;
    calls[0].abort();
    script.go.as_ref().unwrap().notify_one();
    for call in calls.into_iter().skip(1) {
        assert_eq!(&*call.await.unwrap().unwrap().name, "n1");
    }
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn reviews_under_way_are_bounded_and_known_agents_do_not_notice() {
    let go = Some(Notify::new());
    let (agents, script, pods) = agents(Script {
        go,
        ..Script::default()
    });
    pods.replace([the_agent()]);
    script.go.as_ref().unwrap().notify_one();
    agents.caller(AGENT, HERE).await.unwrap();
    let review = |n: usize, host: usize| {
        let source = address(host.try_into().unwrap());
        agents.review([n.try_into().unwrap(); 32], "e30.e30.e30", source)
    };
    for n in 0..REVIEWS_OF_ONE {
        assert!(review(n, 1).is_some());
    }
    assert!(review(255, 1).is_none(), "it has its share");
    for n in REVIEWS_OF_ONE..REVIEWS {
        assert!(review(n, 2 + n / REVIEWS_OF_ONE).is_some());
    }
    assert!(review(255, 99).is_none(), "there are too many");
    let busy = agents.caller("e30.e30.more", HERE).await.unwrap_err();
    assert_eq!(busy.reason, Reason::Unavailable);
    agents.caller(AGENT, HERE).await.unwrap();
    let later = agents.unreviewed(&hash(AGENT).unwrap());
    assert!(later.is_ok(), "when its review is due: {later:?}");
}

#[tokio::test]
async fn without_the_api_server_unknown_tokens_are_asked_to_come_again() {
    let (agents, script, pods) = agents(Script::default());
    pods.replace([the_agent()]);
    script.is_away.store(true, Ordering::SeqCst);
    let refused = agents.caller(AGENT, HERE).await.unwrap_err();
    assert_eq!(refused.status().code(), tonic::Code::Unavailable);
    script.is_away.store(false, Ordering::SeqCst);
    agents.caller(AGENT, HERE).await.unwrap();
    script.is_away.store(true, Ordering::SeqCst);
    agents.caller(AGENT, HERE).await.unwrap();
}

#[tokio::test]
async fn an_agent_is_dismissed_with_its_pod() {
    let (agents, _script, pods) = agents(Script::default());
    pods.replace([the_agent()]);
    let mut caller = agents.caller(AGENT, HERE).await.unwrap();
    let mut dismissed = Box::pin(caller.dismissed());
    assert!((&mut dismissed).now_or_never().is_none());
    let another = pod("a2", ACCOUNT, ("DaemonSet", ACCOUNT));
    pods.replace([the_agent(), another.clone()]);
    assert!((&mut dismissed).now_or_never().is_none());
    pods.replace([another]);
    tokio::time::timeout(Duration::from_secs(10), dismissed)
        .await
        .unwrap();
    let refused = agents.caller(AGENT, HERE).await.unwrap_err();
    assert_eq!(refused.reason, Reason::UnknownPod);
}

#[tokio::test]
async fn a_waypoint_is_let_in_as_itself_while_its_pod_is_one() {
    let (agents, script, pods) = agents(Script::default());
    let mut owner = owner("shop", "w", Some("w-1"));
    let answer = Review::Of(owner.clone());
    script.answers.lock().insert("e30.e30.w".to_owned(), answer);
    let (uid, mut w1) = pod("w-1", "w", ("ReplicaSet", "w"));
    w1.namespace = "shop".into();
    pods.replace([(uid.clone(), w1.clone())]);
    let refused = agents.caller("e30.e30.w", HERE).await.unwrap_err();
    assert_eq!(refused.reason, Reason::NotAnAgent, "it is any pod yet");

    let service = ServiceName::new("shop", "w.shop.svc.cluster.local");
    let service_account = "w".into();
    w1.waypoint = Some(Arc::new(WaypointCaller {
        service,
        service_account,
    }));
    pods.replace([(uid.clone(), w1.clone())]);
    let refused = agents.admit(&TokenOwner {
        service_account: "other".into(),
        ..owner.clone()
    });
    assert_eq!(refused.unwrap_err().reason, Reason::NotAnAgent);
    owner.node = Some("n2".into());
    assert_eq!(agents.admit(&owner).unwrap_err().reason, Reason::NotAnAgent);
    owner.node = None;
    let mut caller = agents.admit(&owner).unwrap();
    assert_eq!(&*caller.name, "waypoint/shop/w-1");
    assert!(caller.node().is_err(), "it speaks for no node");

    let mut dismissed = Box::pin(caller.dismissed());
    assert!((&mut dismissed).now_or_never().is_none());
    w1.waypoint = None;
    pods.replace([(uid, w1)]);
    tokio::time::timeout(Duration::from_secs(10), dismissed)
        .await
        .unwrap();
}
