//! The serving half as a cluster has it: callers are known by tokens bound to pods.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;

/// An API server that knows two agents and the pod `web`; tokens are named after pods.
#[derive(Debug)]
struct Cluster;

impl TokenReviewer for Cluster {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Review, ReviewError>> {
        let owner = |namespace: &str, account: &str, pod: &str| {
            Review::Of(TokenOwner {
                namespace: namespace.into(),
                service_account: account.into(),
                pod: Some((pod.into(), format!("uid-{pod}").into())),
                node: None,
            })
        };
        let review = match token.rsplit('.').next() {
            Some(pod @ ("agent-1" | "agent-2")) => owner("ambit-system", "ambit-node-agent", pod),
            Some("web") => owner("shop", "web", "web"),
            Some("web-own") => Review::WrongAudience("it claims to be of web".to_owned()),
            _ => Review::Unknown("it claims nothing".to_owned()),
        };
        async { Ok(review) }.boxed()
    }
}

/// The pod of a node's agent, as the API server shows it.
fn agent_pod(number: u8) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: agent-{number}\n  namespace: ambit-system\n  uid: uid-agent-{number}\n  \
         ownerReferences: [{{kind: DaemonSet, name: ambit-node-agent, controller: true}}]\n\
         spec: {{nodeName: n{number}, serviceAccountName: ambit-node-agent, hostNetwork: true}}\n"
    )
}

async fn plane() -> Plane {
    let folder = mesh();
    for number in [1, 2] {
        let file = folder.path().join(format!("agent-{number}.yaml"));
        std::fs::write(file, agent_pod(number)).unwrap();
    }
    let agents = AgentSettings {
        reviewer: Arc::new(Cluster),
        trusted: vec![TrustedAgent {
            namespace: "ambit-system".into(),
            daemon_set: "ambit-node-agent".into(),
            service_account: "ambit-node-agent".into(),
        }],
        pods: CallerPods::new(),
    };
    let state = Arc::new(tempfile::tempdir().unwrap());
    Plane::with(folder, state, DAY, Some(agents)).await
}

fn as_pod(plane: &Plane, pod: &str) -> Agent {
    Agent::connect(
        plane.services,
        plane.state.path(),
        &format!("e30.e30.{pod}"),
    )
}

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_identities_of_its_own_node_only() {
    let plane = plane().await;
    let (one, two) = (as_pod(&plane, "agent-1"), as_pod(&plane, "agent-2"));
    one.certificate(WEB).await.unwrap();
    let refused = two.certificate(WEB).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut stream = two.discovery().await;
    stream
        .until("everything is there", |held| held.workloads() == 2)
        .await;
    assert!(
        !plane.state.path().join("tokens").exists(),
        "no tokens of our own are made"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_own_token_gets_nothing_at_all() {
    let plane = plane().await;
    let cases = [
        ("web", Code::PermissionDenied),
        ("web-own", Code::Unauthenticated),
        ("nobody", Code::Unauthenticated),
    ];
    for (pod, code) in cases {
        let stranger = as_pod(&plane, pod);
        let refused = [
            stranger.certificate(WEB).await.unwrap_err(),
            stranger.try_discovery().await.unwrap_err(),
            stranger.try_reports().await.unwrap_err(),
            stranger.try_trust(0).await.unwrap_err(),
        ];
        for status in refused {
            assert_eq!(status.code(), code, "{pod}: {status}");
        }
    }
    let metrics = http(plane.admin, "GET", "/metrics").await;
    for line in [
        "ambit_calls_refused_total{reason=\"not_an_agent\"} 4",
        "ambit_calls_refused_total{reason=\"wrong_audience\"} 4",
        "ambit_calls_refused_total{reason=\"unknown_token\"} 4",
        "citadel_server_authentication_failure_count_total 12",
        "citadel_server_csr_count_total 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_streams_end_with_its_pod() {
    let plane = plane().await;
    let agent = as_pod(&plane, "agent-1");
    let mut trust = agent.try_trust(0).await.unwrap();
    agent::next_trust(&mut trust).await;
    std::fs::remove_file(plane.folder.path().join("agent-1.yaml")).unwrap();
    let ended = tokio::time::timeout(PATIENCE, trust.message()).await;
    assert!(matches!(ended, Ok(Ok(None))), "{ended:?}");
    let refused = agent.certificate(WEB).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}
