//! The whole serving half over real sockets and TLS, with agents played by `agent.rs`.

mod admission;
mod agent;
mod in_a_cluster;
mod limits;

use std::time::SystemTime;

use ambit_model::TunnelProtocol;
use ambit_wire::node::{CaptureReport, CapturedPod};
use tempfile::TempDir;
use tonic::Code;

use self::agent::{Agent, PATIENCE, eventually, http};
use super::*;
use crate::ca;
use crate::config::directory;

const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]}
";

fn pod(name: &str, node: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, uid: uid-{name}}}\n\
         spec: {{nodeName: {node}, serviceAccountName: {name}}}\n\
         status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}]}}\n"
    )
}

/// A folder with two nodes and a pod on each.
fn mesh() -> Arc<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    write("mesh.yaml", MESH);
    write("web.yaml", &pod("web", "n1", "10.0.0.1"));
    write("db.yaml", &pod("db", "n2", "10.0.0.2"));
    Arc::new(folder)
}

/// A control plane on ports of its own.
struct Plane {
    folder: Arc<TempDir>,
    state: Arc<TempDir>,
    services: std::net::SocketAddr,
    webhook: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    tasks: Tasks,
}

impl Plane {
    async fn new(life: Duration) -> Self {
        Self::over(mesh(), Arc::new(tempfile::tempdir().unwrap()), life).await
    }

    async fn over(folder: Arc<TempDir>, state: Arc<TempDir>, life: Duration) -> Self {
        Self::with(folder, state, life, None).await
    }

    async fn with(
        folder: Arc<TempDir>,
        state: Arc<TempDir>,
        life: Duration,
        agents: Option<AgentSettings>,
    ) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (services, metrics, webhook, admin) = (
            listen().await.unwrap(),
            listen().await.unwrap(),
            listen().await.unwrap(),
            listen().await.unwrap(),
        );
        let (at, admin_at) = (services.local_addr().unwrap(), admin.local_addr().unwrap());
        let webhook_at = webhook.local_addr().unwrap();
        let authority = ca::Settings {
            trust_domain: ambit_model::TrustDomain::new("cluster.local").unwrap(),
            certificate_life: life,
            patience: Duration::from_secs(600),
        };
        let authority = Authority::open(state.path(), authority, SystemTime::now()).unwrap();
        let settings = Settings {
            state: state.path().to_owned(),
            tokens: None,
            agents,
            replica: Replica::alone(),
            dns_names: vec!["ambit-control-plane".to_owned()],
            services,
            metrics,
            webhook: Some(webhook),
            admin: Some(admin),
            writers: Writers::default(),
            mesh: None,
            jwks_refresh: Duration::from_secs(1200),
            credentials: None,
            leaving: None,
            logs: None,
        };
        let tasks = Tasks::new();
        let batches = directory::watch(folder.path(), Some(state.path())).unwrap();
        start(
            settings,
            Configuration::default(),
            batches,
            Arc::new(authority),
            &tasks,
        )
        .unwrap();
        let plane = Self {
            folder,
            state,
            services: at,
            webhook: webhook_at,
            admin: admin_at,
            tasks,
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !http(plane.admin, "GET", "/ready").await.contains("200 OK") {
            assert!(
                tokio::time::Instant::now() < deadline,
                "it never gets ready"
            );
        }
        plane
    }

    /// Stops, and starts again over the same folders.
    async fn restart(self, life: Duration) -> Self {
        self.tasks.finish(PATIENCE).await.unwrap();
        Self::over(self.folder, self.state, life).await
    }

    fn token(&self, node: &str) -> String {
        let token = std::fs::read_to_string(self.state.path().join("tokens").join(node)).unwrap();
        token.trim().to_owned()
    }

    fn agent(&self, node: &str) -> Agent {
        Agent::connect(self.services, self.state.path(), &self.token(node))
    }

    fn write(&self, file: &str, text: &str) {
        let beside = self.folder.path().join(".new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.folder.path().join(file)).unwrap();
    }
}

const DAY: Duration = Duration::from_secs(86_400);

fn captured(pod: &str) -> CaptureReport {
    let captured = CapturedPod {
        uid: format!("uid-{pod}"),
        namespace: "shop".to_owned(),
        name: pod.to_owned(),
        older_connections: 0,
    };
    CaptureReport {
        captured: Some(captured),
        ..CaptureReport::default()
    }
}

fn snapshot(pods: &[&str]) -> CaptureReport {
    let pods = pods
        .iter()
        .filter_map(|pod| captured(pod).captured)
        .collect();
    CaptureReport {
        snapshot: pods,
        is_snapshot: true,
        ..CaptureReport::default()
    }
}

fn withdraw(pod: &str) -> CaptureReport {
    CaptureReport {
        withdraw: format!("uid-{pod}"),
        ..CaptureReport::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gets_everything_once_and_then_what_changed() {
    let plane = Plane::new(DAY).await;
    let mut stream = plane.agent("n1").discovery().await;
    stream
        .until("everything is there", |held| {
            held.workloads() == 2 && held.policies() == 1
        })
        .await;
    let before = stream.received();
    plane.write("web.yaml", &pod("web", "n1", "10.0.0.9"));
    stream
        .until("the change is there", |held| {
            held.address_of("web") == "10.0.0.9"
        })
        .await;
    assert_eq!(
        stream.received(),
        before + 1,
        "one pod changed, one resource sent"
    );
    std::fs::remove_file(plane.folder.path().join("db.yaml")).unwrap();
    stream
        .until("the pod is gone", |held| held.workloads() == 1)
        .await;
    assert_eq!(stream.received(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_agent_gets_only_changes_also_from_a_control_plane_started_anew() {
    let plane = Plane::new(DAY).await;
    let agent = plane.agent("n1");
    let mut reports = agent.reports().await;
    reports.send(snapshot(&["web"])).await;
    assert_eq!(reports.next().await.recorded, "uid-web");
    let mut stream = agent.discovery().await;
    stream
        .until("everything is there", |held| {
            held.workloads() == 2 && held.policies() == 1
        })
        .await;
    let held = stream.leave();
    let plane = plane.restart(DAY).await;
    plane.write("db.yaml", &pod("db", "n2", "10.0.0.7"));
    let mut stream = plane.agent("n1").discovery_from(held).await;
    stream
        .until("the change is there", |held| {
            held.address_of("db") == "10.0.0.7"
        })
        .await;
    assert_eq!(
        stream.received(),
        1,
        "nothing else, captures included, had changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_nodes_token_no_service_answers() {
    let plane = Plane::new(DAY).await;
    for token in ["", "forged", &"0".repeat(64)] {
        let stranger = Agent::connect(plane.services, plane.state.path(), token);
        for refused in [
            stranger.try_discovery().await.err(),
            stranger.try_reports().await.err(),
            stranger.try_trust(0).await.err(),
            stranger
                .certificate("spiffe://cluster.local/ns/shop/sa/web")
                .await
                .err(),
        ] {
            assert_eq!(refused.unwrap().code(), Code::Unauthenticated, "{token}");
        }
    }
    let metrics = http(plane.admin, "GET", "/metrics").await;
    assert!(
        metrics.contains("citadel_server_authentication_failure_count_total 12"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_node_that_is_gone_end() {
    let plane = Plane::new(DAY).await;
    let agent = plane.agent("n2");
    let mut stream = agent.discovery().await;
    stream
        .until("everything is there", |held| held.workloads() == 2)
        .await;
    let mut trust = agent.try_trust(0).await.unwrap();
    agent::next_trust(&mut trust).await;
    let without = MESH.replacen("metadata: {name: n2}", "metadata: {name: n3}", 1);
    plane.write("mesh.yaml", &without);
    stream.until_ended().await;
    assert!(trust.message().await.is_ok_and(|update| update.is_none()));
    let refused = agent.try_discovery().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_for_the_callers_own_pods() {
    let plane = Plane::new(DAY).await;
    let agent = plane.agent("n1");
    let chain = agent
        .certificate("spiffe://cluster.local/ns/shop/sa/web")
        .await
        .unwrap();
    let public = std::fs::read_to_string(plane.state.path().join("root.pem")).unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], public);
    for (identity, code) in [
        (
            "spiffe://cluster.local/ns/shop/sa/db",
            Code::PermissionDenied,
        ),
        (
            "spiffe://cluster.local/ns/shop/sa/nobody",
            Code::PermissionDenied,
        ),
        (
            "spiffe://other.example/ns/shop/sa/web",
            Code::PermissionDenied,
        ),
        ("web", Code::InvalidArgument),
        ("", Code::InvalidArgument),
    ] {
        let refused = agent.certificate(identity).await.unwrap_err();
        assert_eq!(refused.code(), code, "{identity}: {refused}");
    }
    let identity = "spiffe://cluster.local/ns/shop/sa/web";
    for request in ["garbage".to_owned(), "x".repeat(30_000)] {
        let refused = agent.certificate_for(identity, &request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let oversized = agent
        .certificate_for(identity, &"x".repeat(100_000))
        .await
        .unwrap_err();
    assert_eq!(oversized.code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_is_answered_when_every_agent_has_let_go() {
    let plane = Plane::new(DAY).await;
    let (one, two) = (plane.agent("n1"), plane.agent("n2"));
    let mut reports = one.reports().await;
    reports.send(snapshot(&[])).await;
    let mut stream = two.discovery().await;
    stream
        .until("web is there", |held| {
            held.protocol_of("web") == TunnelProtocol::None
        })
        .await;
    reports.send(captured("web")).await;
    assert_eq!(reports.next().await.recorded, "uid-web");
    stream
        .until("web is captured", |held| {
            held.protocol_of("web") == TunnelProtocol::Hbone
        })
        .await;
    reports.send(captured("db")).await;
    assert_eq!(reports.next().await.refused, "uid-db");

    reports.send(withdraw("web")).await;
    let update = stream.receive().await;
    assert_eq!(stream.held.protocol_of("web"), TunnelProtocol::None);
    assert!(!reports.is_answered(), "n2 has not said that it applied it");
    stream.acknowledge(update).await;
    assert_eq!(reports.next().await.withdrawn, "uid-web");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_withdraws_nothing_and_a_settled_one_what_it_does_not_list() {
    let plane = Plane::new(DAY).await;
    let mut stream = plane.agent("n2").discovery().await;
    let mut reports = plane.agent("n1").reports().await;
    reports.send(snapshot(&["web"])).await;
    assert_eq!(reports.next().await.recorded, "uid-web");
    drop(reports);
    stream
        .until("web is captured", |held| {
            held.protocol_of("web") == TunnelProtocol::Hbone
        })
        .await;
    let reports = plane.agent("n1").reports().await;
    reports.send(snapshot(&[])).await;
    stream
        .until("web is withdrawn", |held| {
            held.protocol_of("web") == TunnelProtocol::None
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_replaced_once_every_agent_holds_the_next() {
    let plane = Plane::new(Duration::from_secs(4)).await;
    let (one, two) = (plane.agent("n1"), plane.agent("n2"));
    let (mut first, mut second) = (
        one.try_trust(0).await.unwrap(),
        two.try_trust(0).await.unwrap(),
    );
    for (agent, stream) in [(&one, &mut first), (&two, &mut second)] {
        let generation = agent::next_trust(stream).await.generation;
        agent.trust_held(generation).await;
    }
    let issuer = async || {
        let chain = one
            .certificate("spiffe://cluster.local/ns/shop/sa/web")
            .await
            .unwrap();
        agent::issuer_of(&chain[0])
    };
    let before = issuer().await;
    let answer = http(plane.admin, "POST", "/ca/rotate").await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(
        http(plane.admin, "POST", "/ca/rotate")
            .await
            .contains("409 Conflict")
    );
    let update = agent::next_trust(&mut first).await;
    assert_eq!(update.bundle.unwrap().roots.len(), 2);
    one.trust_held(update.generation).await;
    assert!(
        http(plane.admin, "GET", "/ca").await.contains("\"n2\""),
        "n2 is waited for"
    );
    assert_eq!(issuer().await, before);
    let update = agent::next_trust(&mut second).await;
    two.trust_held(update.generation).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while issuer().await == before {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the new root never signs"
        );
        tokio::task::yield_now().await;
    }
    // The old one goes with its last leaf; whoever connects then finds the port under the new one.
    let last = agent::next_trust(&mut first).await;
    assert_eq!(last.bundle.unwrap().roots.len(), 1);
    let public = plane.state.path().join("root.pem");
    let one_root = || {
        std::fs::read_to_string(&public)
            .unwrap()
            .matches("BEGIN CERTIFICATE")
            .count()
            == 1
    };
    eventually("root.pem holds the new root alone", one_root).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while plane.agent("n1").try_trust(last.generation).await.is_err() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the port keeps its old certificate"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_garbage_on_the_port_disturb_nobody() {
    let plane = Plane::new(DAY).await;
    let mut stream = plane.agent("n1").discovery().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        &[0; 4096],
    ] {
        use tokio::io::AsyncWriteExt;
        let mut tcp = tokio::net::TcpStream::connect(plane.services)
            .await
            .unwrap();
        tcp.write_all(garbage).await.unwrap();
        tcp.shutdown().await.unwrap();
    }
    stream
        .until("everything is there", |held| held.workloads() == 2)
        .await;
    let page = |name: &'static str| http(plane.admin, "GET", name);
    assert!(page("/ready").await.contains("200 OK"));
    assert!(page("/config_dump").await.contains("uid-web"));
    assert!(page("/debug/agents").await.contains("\"n1\""));
    let metrics = page("/metrics").await;
    for line in [
        "ambit_workloads 2",
        "ambit_policies 1",
        "pilot_xds 1",
        "ambit_ca_trusted_roots 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
