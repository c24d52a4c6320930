//! The whole role against a control plane on loopback: real TLS, real gRPC, real files.

use std::collections::BTreeMap;

use ambit_model::SpiffeId;
use ambit_wire::delta::{ADDRESS_TYPE, AUTHORIZATION_TYPE};
use ambit_wire::node::{CaptureReport, Pod, RosterUpdate};
use ambit_wire::{security, workload};
use prost::Message;
use tempfile::TempDir;

use super::testing::{NAME, PATIENCE, Plane, Proxy, TOKEN, eventually, write_papers};
use super::*;

/// One life of the role.
struct Agent {
    lines: Lines,
    tasks: Tasks,
}

impl Agent {
    fn start(plane: &Plane, directory: &TempDir) -> Self {
        Self::with_token(plane, directory, TOKEN)
    }

    fn with_token(plane: &Plane, directory: &TempDir, token: &str) -> Self {
        write_papers(directory.path(), plane, token);
        let args = ControlArgs {
            host_fd: -1,
            node: "node-1".to_owned(),
            control_plane: plane.address.to_string(),
            token_file: directory.path().join("token"),
            root_cert: directory.path().join("root.pem"),
            server_name: NAME.to_owned(),
            state_dir: directory.path().to_owned(),
            node_ip: vec!["10.1.0.1".parse().unwrap()],
            cluster: "Kubernetes".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            log_json: false,
            log_level: "info".to_owned(),
        };
        let access = Access::open(Target {
            address: args.control_plane.clone(),
            server_name: args.server_name.clone(),
            cluster: args.cluster.clone(),
            token_file: args.token_file.clone(),
            root_file: args.root_cert.clone(),
        });
        let tasks = Tasks::new();
        let state = directory.path().join("control");
        let lines = start(&args, access.unwrap(), &state, &tasks).unwrap();
        Self { lines, tasks }
    }

    async fn tell(&self, message: FromHost) {
        self.lines.from_host.send(message).await.unwrap();
    }

    async fn attach(&self) -> Proxy {
        let (proxy, feed) = Proxy::new();
        self.tell(FromHost::Proxy(1, feed)).await;
        proxy
    }

    /// Ends like a role whose host role has gone.
    async fn stop(self) {
        self.tasks.stop();
        tokio::time::timeout(PATIENCE, self.lines.keeper)
            .await
            .unwrap()
            .unwrap();
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn pod(uid: &str, account: &str) -> Pod {
    Pod {
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: uid.to_owned(),
        service_account: account.to_owned(),
        ips: vec!["10.0.0.9".to_owned()],
    }
}

fn id(account: &str) -> String {
    SpiffeId::from_parts("cluster.local", "shop", account).to_string()
}

fn put_workload(plane: &Plane, name: &str, node: &str) {
    let message = workload::Workload {
        uid: name.to_owned(),
        namespace: "shop".to_owned(),
        node: node.to_owned(),
        ..workload::Workload::default()
    };
    let address = workload::Address {
        r#type: Some(workload::address::Type::Workload(message)),
    };
    plane.change(ADDRESS_TYPE, name, Some(address.encode_to_vec()));
}

fn put_policy(plane: &Plane, name: &str) {
    let message = security::Authorization {
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        ..security::Authorization::default()
    };
    plane.change(
        AUTHORIZATION_TYPE,
        &format!("shop/{name}"),
        Some(message.encode_to_vec()),
    );
}

fn keys(map: &BTreeMap<String, String>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_proxy_is_fed_the_first_state_and_every_change() {
    let plane = Plane::new().await;
    put_policy(&plane, "deny");
    for n in 0..2500 {
        put_workload(&plane, &format!("w{n:04}"), "node-1");
    }
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    let mut proxy = agent.attach().await;
    proxy.until("the first state", |p| p.synced).await;
    assert_eq!(
        (proxy.addresses.len(), keys(&proxy.policies)),
        (2500, vec!["shop/deny"])
    );
    assert!(proxy.trust.is_some());

    let before = proxy.addresses["w0007"].clone();
    put_workload(&plane, "w0007", "node-2");
    plane.change(ADDRESS_TYPE, "w0008", None);
    plane.change(AUTHORIZATION_TYPE, "shop/deny", None);
    let changed = |p: &Proxy| p.addresses["w0007"] != before && p.policies.is_empty();
    proxy
        .until("the changes", |p| changed(p) && p.addresses.len() == 2499)
        .await;
    let all = plane.seen.lock().sent;
    assert_eq!(all, 2501 + 3, "each resource once");
    proxy.until("the connection", |p| p.status.connected).await;
}

#[tokio::test]
async fn a_response_is_acknowledged_when_every_proxy_has_applied_it() {
    let plane = Plane::new().await;
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    let mut proxy = agent.attach().await;
    proxy.until("the first state", |p| p.synced).await;
    put_workload(&plane, "a", "node-1");
    proxy.mute = true;
    proxy
        .until("the change", |p| p.addresses.contains_key("a"))
        .await;
    assert_eq!(
        plane.seen.lock().acknowledged,
        0,
        "applied, but the proxy has not said so"
    );
    // It is waited for, but not for ever.
    eventually("acknowledged", || async {
        plane.seen.lock().acknowledged == 1
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_does_not_read_holds_up_no_other() {
    let plane = Plane::new().await;
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    let mut stuck = agent.attach().await;
    stuck.until("the first state", |p| p.synced).await;
    let mut proxy = agent.attach().await;
    proxy.until("the first state", |p| p.synced).await;
    for n in 0..20 {
        let name = format!("w{n}");
        put_workload(&plane, &name, "node-1");
        proxy
            .until("the change", |p| p.addresses.contains_key(&name))
            .await;
    }
    stuck
        .until("everything, late", |p| p.addresses.len() == 20)
        .await;
}

#[tokio::test]
async fn after_an_outage_only_changes_are_sent() {
    let plane = Plane::new().await;
    for name in ["a", "b", "c"] {
        put_workload(&plane, name, "node-1");
    }
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    let mut proxy = agent.attach().await;
    proxy.until("the first state", |p| p.synced).await;
    eventually("acknowledged", || async {
        plane.seen.lock().acknowledged == 3
    })
    .await;
    plane.stop();
    proxy.until("the outage", |p| !p.status.connected).await;
    let sent = plane.seen.lock().sent;
    put_workload(&plane, "b", "node-2");
    plane.change(ADDRESS_TYPE, "c", None);
    plane.start().await;
    proxy.until("the changes", |p| p.addresses.len() == 2).await;
    proxy.until("the connection", |p| p.status.connected).await;
    assert_eq!(plane.seen.lock().sent - sent, 2, "one changed, one gone");
}

#[tokio::test]
async fn a_new_life_serves_what_was_kept_without_a_control_plane() {
    let plane = Plane::new().await;
    put_workload(&plane, "a", "node-1");
    put_policy(&plane, "deny");
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    agent.tell(FromHost::Captured(pod("p2", "gone"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("everything", |p| {
            p.synced && p.certificates.len() == 2 && p.trust.is_some()
        })
        .await;
    let (key, trust) = (proxy.certificates[&id("web")].clone(), proxy.trust.clone());
    plane.stop();
    agent.stop().await;
    let signed = plane.seen.lock().signed.len();
    let sent = plane.seen.lock().sent;

    let agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("the kept state", |p| p.synced && p.trust.is_some())
        .await;
    proxy
        .until("the kept certificate", |p| {
            p.certificates.contains_key(&id("web"))
        })
        .await;
    assert_eq!(
        (keys(&proxy.addresses), keys(&proxy.policies)),
        (vec!["a"], vec!["shop/deny"])
    );
    assert_eq!(
        (&proxy.certificates[&id("web")], &proxy.trust),
        (&key, &trust)
    );
    assert!(
        !proxy.certificates.contains_key(&id("gone")),
        "of no pod of this life"
    );

    plane.start().await;
    proxy.until("the connection", |p| p.status.connected).await;
    put_workload(&plane, "b", "node-1");
    proxy
        .until("a change", |p| p.addresses.contains_key("b"))
        .await;
    assert_eq!(
        plane.seen.lock().sent - sent,
        1,
        "what was kept is not sent again"
    );
    assert_eq!(
        plane.seen.lock().signed.len(),
        signed,
        "the kept certificate is used"
    );
}

#[tokio::test]
async fn damaged_state_is_ignored_and_fetched_again() {
    let plane = Plane::new().await;
    put_workload(&plane, "a", "node-1");
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("everything", |p| {
            p.synced && p.certificates.len() == 1 && p.trust.is_some()
        })
        .await;
    agent.stop().await;
    let state = directory.path().join("control");
    for file in std::fs::read_dir(&state).unwrap() {
        let path = file.unwrap().path();
        let mut content = std::fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 0xff;
        std::fs::write(&path, content).unwrap();
    }
    let agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("everything", |p| {
            p.synced && p.certificates.len() == 1 && p.trust.is_some()
        })
        .await;
    assert_eq!(keys(&proxy.addresses), ["a"]);
    assert_eq!(plane.seen.lock().signed, [id("web"), id("web")]);
}

#[tokio::test]
async fn certificates_are_fetched_ahead_renewed_and_erased() {
    let plane = Plane::new().await;
    plane.seen.lock().life = Some(Duration::from_secs(3));
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Prepare(pod("p1", "web"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("a certificate", |p| p.certificates.contains_key(&id("web")))
        .await;
    let first = proxy.certificates[&id("web")].clone();
    proxy
        .until("a renewed one", |p| p.certificates[&id("web")] != first)
        .await;
    assert!(
        plane
            .seen
            .lock()
            .reports
            .iter()
            .all(|r| r.captured.is_none()),
        "only prepared"
    );

    agent.tell(FromHost::Withdraw("p1".to_owned())).await;
    proxy
        .until("it is forgotten", |p| p.certificates.is_empty())
        .await;
    let state = directory.path().join("control");
    eventually("the key is erased", || async {
        let kept = std::fs::read_dir(&state).unwrap();
        !kept
            .flatten()
            .any(|f| f.path().extension().is_some_and(|e| e == "certificate"))
    })
    .await;
}

#[tokio::test]
async fn a_wanted_certificate_is_asked_for_again_at_once() {
    let plane = Plane::new().await;
    plane.seen.lock().refuse = true;
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("several failures", |p| p.status.certificate_failures >= 3)
        .await;
    plane.seen.lock().refuse = false;
    proxy.want(&id("web")).await;
    proxy.want(&id("stranger")).await;
    proxy
        .until("the certificate", |p| {
            p.certificates.contains_key(&id("web"))
        })
        .await;
    assert_eq!(
        plane.seen.lock().signed,
        [id("web")],
        "no identity of another node"
    );
}

fn withdrawn(uid: &str) -> Option<ToHost> {
    Some(ToHost::Withdrawn(uid.to_owned()))
}

#[tokio::test]
async fn the_roster_of_the_node_reaches_the_host_role_as_it_is_told() {
    let plane = Plane::new().await;
    let roster = RosterUpdate {
        is_snapshot: true,
        gone: vec!["p0".to_owned()],
        ..RosterUpdate::default()
    };
    plane.seen.lock().roster = Some(roster.clone());
    let directory = directory();
    let mut agent = Agent::start(&plane, &directory);
    let told = tokio::time::timeout(PATIENCE, agent.lines.to_host.recv()).await;
    assert_eq!(told.unwrap(), Some(ToHost::Roster(roster)));
    agent
        .tell(FromHost::Failed("p1".to_owned(), "no room".to_owned()))
        .await;
    eventually("the failure is reported", || async {
        let seen = plane.seen.lock();
        let mut failed = seen
            .reports
            .iter()
            .filter_map(|report| report.failed.as_ref());
        failed.any(|failed| failed.uid == "p1" && failed.message == "no room")
    })
    .await;
}

#[tokio::test]
async fn why_a_capture_failed_holds_until_nobody_wants_it() {
    let plane = Plane::new().await;
    let directory = directory();
    let mut agent = Agent::start(&plane, &directory);
    let failed = |why: &str| FromHost::Failed("p1".to_owned(), why.to_owned());
    agent.tell(failed("no room")).await;
    let said = |is: fn(&CaptureReport) -> bool| plane.seen.lock().reports.iter().any(is);
    eventually("the failure is reported", || async {
        said(|report| report.failed.is_some())
    })
    .await;
    // What is left of the attempt goes before it is tried again.
    agent.tell(FromHost::Withdraw("p1".to_owned())).await;
    assert_eq!(agent.lines.to_host.recv().await, withdrawn("p1"));
    agent.tell(failed("still no room")).await;
    eventually("the next failure is reported", || async {
        said(|report| {
            report
                .failed
                .as_ref()
                .is_some_and(|f| f.message.starts_with("still"))
        })
    })
    .await;
    assert!(!said(|report| !report.withdraw.is_empty()));
    agent.tell(failed("")).await;
    eventually("it is over", || async {
        said(|report| report.withdraw == "p1")
    })
    .await;
}

#[tokio::test]
async fn a_withdrawal_waits_for_the_control_plane_but_not_without_one() {
    let plane = Plane::new().await;
    let directory = directory();
    let mut agent = Agent::start(&plane, &directory);
    for uid in ["p1", "p2"] {
        agent.tell(FromHost::Captured(pod(uid, "web"))).await;
    }
    eventually("both are reported", || async {
        let seen = plane.seen.lock();
        let named = seen
            .reports
            .iter()
            .flat_map(|r| r.snapshot.iter().chain(&r.captured));
        named.count() == 2
    })
    .await;
    agent.tell(FromHost::Withdraw("p1".to_owned())).await;
    assert_eq!(agent.lines.to_host.recv().await, withdrawn("p1"));
    assert_eq!(plane.seen.lock().reports.last().unwrap().withdraw, "p1");

    plane.stop();
    let mut proxy = agent.attach().await;
    proxy
        .until("the outage", |p| p.synced && !p.status.connected)
        .await;
    agent.tell(FromHost::Withdraw("p2".to_owned())).await;
    let told = tokio::time::timeout(Duration::from_secs(2), agent.lines.to_host.recv()).await;
    assert_eq!(told.unwrap(), withdrawn("p2"));
    agent.tell(FromHost::Captured(pod("p3", "web"))).await;
    plane.seen.lock().reports.clear();
    plane.start().await;
    eventually("the snapshot of a new stream", || async {
        let seen = plane.seen.lock();
        let first = seen.reports.iter().find(|r| r.is_snapshot);
        first.is_some_and(|r| r.snapshot.iter().map(|p| &*p.uid).eq(["p3"]))
    })
    .await;
}

#[tokio::test]
async fn a_control_plane_that_does_not_answer_a_withdrawal_is_waited_for_three_seconds() {
    let plane = Plane::new().await;
    plane.seen.lock().mute = true;
    let directory = directory();
    let mut agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    eventually("it is reported", || async {
        !plane.seen.lock().reports.is_empty()
    })
    .await;
    agent.tell(FromHost::Withdraw("p1".to_owned())).await;
    let told = tokio::time::timeout(PATIENCE, agent.lines.to_host.recv()).await;
    assert_eq!(told.unwrap(), withdrawn("p1"));
}

#[tokio::test]
async fn a_trust_bundle_is_confirmed_when_every_proxy_holds_it() {
    let plane = Plane::new().await;
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    let mut proxy = agent.attach().await;
    proxy
        .until("the first bundle", |p| p.synced && p.trust.is_some())
        .await;
    eventually("it is confirmed", || async {
        plane.seen.lock().trust_held == [1]
    })
    .await;
    let roots = [plane.authority.root(), vec![1, 2, 3]];
    proxy.mute = true;
    plane.set_trust(2, &roots);
    proxy
        .until("the next", |p| {
            p.trust.as_ref().is_some_and(|t| t.roots.len() == 2)
        })
        .await;
    let unasked = tokio::time::timeout(Duration::from_millis(1500), async {
        eventually("confirmed", || async {
            plane.seen.lock().trust_held == [1, 2]
        })
        .await;
    });
    assert!(
        unasked.await.is_err(),
        "the proxy has not said that it holds it"
    );
    drop(proxy);
    eventually("the proxy is gone", || async {
        plane.seen.lock().trust_held == [1, 2]
    })
    .await;
}

#[tokio::test]
async fn under_a_foreign_control_plane_the_roots_come_with_certificates() {
    let plane = Plane::foreign().await;
    put_workload(&plane, "a", "node-1");
    let directory = directory();
    let mut agent = Agent::start(&plane, &directory);
    agent.tell(FromHost::Captured(pod("p1", "web"))).await;
    let mut proxy = agent.attach().await;
    proxy
        .until("everything", |p| {
            p.synced && p.certificates.len() == 1 && p.trust.is_some()
        })
        .await;
    let roots = proxy.trust.as_ref().unwrap().roots.clone();
    assert!(roots.iter().any(|root| **root == *plane.authority.root()));
    agent.tell(FromHost::Withdraw("p1".to_owned())).await;
    let told = tokio::time::timeout(Duration::from_secs(2), agent.lines.to_host.recv()).await;
    assert_eq!(told.unwrap(), withdrawn("p1"), "nobody to wait for");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_a_policy_without_a_good_state_still_arrives() {
    let plane = Plane::new().await;
    put_policy(&plane, "good");
    let directory = directory();
    let agent = Agent::start(&plane, &directory);
    let mut proxy = agent.attach().await;
    proxy.until("the first state", |p| p.synced).await;
    let good = proxy.policies["shop/good"].clone();
    plane.change(AUTHORIZATION_TYPE, "shop/good", Some(vec![0xff; 9]));
    plane.change(AUTHORIZATION_TYPE, "shop/new", Some(vec![0xff; 9]));
    plane.change(ADDRESS_TYPE, "broken", Some(vec![0xff; 9]));
    put_workload(&plane, "fine", "node-1");
    proxy
        .until("the rest", |p| {
            p.addresses.contains_key("fine") && p.policies.contains_key("shop/new")
        })
        .await;
    assert_eq!(
        proxy.policies["shop/good"], good,
        "its last good state stays"
    );
    assert_eq!(keys(&proxy.addresses), ["fine"]);
    eventually("refusals are told", || async {
        let nacks = plane.seen.lock().nacks.join("; ");
        ["shop/good", "shop/new", "broken"]
            .iter()
            .all(|name| nacks.contains(name))
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_replaced_is_used_from_the_next_attempt_on() {
    let plane = Plane::new().await;
    put_workload(&plane, "a", "node-1");
    let directory = directory();
    let agent = Agent::with_token(&plane, &directory, "an-old-one");
    let mut proxy = agent.attach().await;
    write_papers(directory.path(), &plane, TOKEN);
    proxy.until("the first state", |p| p.synced).await;
    assert_eq!(keys(&proxy.addresses), ["a"]);
}

#[tokio::test]
async fn a_control_plane_under_another_root_is_not_believed() {
    let (plane, other) = (Plane::new().await, Plane::new().await);
    put_workload(&plane, "a", "node-1");
    let directory = directory();
    let mut impostor = plane.clone();
    impostor.root_pem.clone_from(&other.root_pem);
    let agent = Agent::start(&impostor, &directory);
    let mut proxy = agent.attach().await;
    let synced = tokio::time::timeout(Duration::from_secs(1), proxy.until("no", |p| p.synced));
    assert!(synced.await.is_err());
    assert_eq!(plane.seen.lock().streams, 0);
    write_papers(directory.path(), &plane, TOKEN);
    proxy
        .until("the right root makes it work", |p| p.synced)
        .await;
}
