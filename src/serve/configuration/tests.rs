use ambit_kit::metrics::Registry;
use std::collections::BTreeSet;

use super::*;
use crate::config::directory::Scanner;
use crate::serve::tokens::Tokens;

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
";

fn pod(name: &str, node: &str, ip: &str) -> String {
    format!(
        "\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, uid: uid-{name}}}\n\
         spec: {{nodeName: {node}, serviceAccountName: {name}}}\n\
         status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}]}}\n"
    )
}

/// A keeper over a folder, driven by hand.
struct Rig {
    folder: tempfile::TempDir,
    state: tempfile::TempDir,
    scanner: Scanner,
    keeper: Keeper,
    _handle: Handle,
}

impl Rig {
    fn new(text: &str) -> Self {
        Self::resumed(tempfile::tempdir().unwrap(), text)
    }

    fn resumed(state: tempfile::TempDir, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
        let files = ClaimFiles::open(state.path()).unwrap();
        let metrics = Metrics::new(&Registry::new());
        let (keeper, handle) = Keeper::new(
            Configuration::default(),
            files,
            Callers::Nodes(tokens),
            metrics,
            Writers::default(),
        );
        let scanner = Scanner::new(folder.path(), None);
        let mut rig = Self {
            folder,
            state,
            scanner,
            keeper,
            _handle: handle,
        };
        rig.write(text);
        rig
    }

    fn write(&mut self, text: &str) {
        std::fs::write(self.folder.path().join("mesh.yaml"), text).unwrap();
        let batch = self.scanner.scan();
        self.keeper.take_batch(batch);
    }

    /// Looks over what comes due within a minute.
    fn look(&mut self) {
        let Keeper {
            survey,
            configuration,
            metrics,
            ..
        } = &mut self.keeper;
        let then = clock::now() + std::time::Duration::from_secs(60);
        survey.look(configuration, metrics, then);
    }

    async fn tell(&mut self, node: &str, change: CaptureChange) -> CaptureReply {
        let (reply, answer) = oneshot::channel();
        let request = Request::Capture {
            node: node.into(),
            change,
            reply,
        };
        self.keeper.answer(std::iter::once(request)).await;
        answer.await.unwrap()
    }

    fn is_advertised(&self, pod: &str) -> bool {
        let published = self.keeper.published.borrow();
        let mesh = &published.as_ref().unwrap().mesh;
        let workload = mesh.workload_by_pod("shop", pod).unwrap();
        workload.protocol == TunnelProtocol::Hbone
    }
}

fn captured(pod: &str) -> CaptureChange {
    CaptureChange::Captured(vec![(format!("uid-{pod}"), format!("shop/{pod}"))])
}

#[tokio::test]
async fn hbone_is_advertised_by_fact_and_only_by_the_pods_own_node() {
    let mut rig = Rig::new(&format!("{MESH}{}", pod("web", "n1", "10.0.0.1")));
    assert!(!rig.is_advertised("web"), "a label is not a fact");
    let refused = rig.tell("n2", captured("web")).await;
    assert_eq!(refused.refused[0].0, "uid-web");
    assert!(!rig.is_advertised("web"));
    let reply = rig.tell("n1", captured("web")).await;
    assert_eq!(
        (reply.recorded, reply.sequence),
        (vec!["uid-web".to_owned()], 2)
    );
    assert!(rig.is_advertised("web"));
    rig.tell("n2", CaptureChange::Withdrawn("uid-web".to_owned()))
        .await;
    assert!(rig.is_advertised("web"), "n2 has no say in it");
    let reply = rig
        .tell("n1", CaptureChange::Withdrawn("uid-web".to_owned()))
        .await;
    assert_eq!(reply.sequence, 3);
    assert!(!rig.is_advertised("web"));
}

#[tokio::test]
async fn a_pod_reported_before_it_is_known_is_advertised_when_it_is() {
    let mut rig = Rig::new(MESH);
    let reply = rig.tell("n1", captured("web")).await;
    assert_eq!(reply.pending, ["uid-web"]);
    assert_eq!(
        rig.tell("n2", captured("web")).await.pending,
        ["uid-web"],
        "who knows"
    );
    rig.write(&format!("{MESH}{}", pod("web", "n1", "10.0.0.1")));
    assert!(rig.is_advertised("web"));
    rig.write(&format!("{MESH}{}", pod("web", "n3", "10.0.0.1")));
    assert!(!rig.is_advertised("web"), "no agent of n3 said so");
}

#[tokio::test]
async fn what_a_settled_stream_did_not_list_is_withdrawn() {
    let pods = [
        pod("web", "n1", "10.0.0.1"),
        pod("db", "n1", "10.0.0.2"),
        pod("x", "n2", "10.0.0.3"),
    ];
    let mut rig = Rig::new(&format!("{MESH}{}", pods.concat()));
    rig.tell("n1", captured("web")).await;
    rig.tell("n2", captured("x")).await;
    rig.tell("n1", captured("db")).await;
    let advertised = |rig: &Rig| ["web", "db", "x"].map(|pod| rig.is_advertised(pod));
    assert_eq!(advertised(&rig), [true, true, true]);
    let all = std::iter::once("uid-db".to_owned()).collect();
    rig.tell("n1", CaptureChange::Settled(all)).await;
    assert_eq!(advertised(&rig), [false, true, true]);
}

#[tokio::test]
async fn captures_outlive_the_control_plane_and_change_no_version() {
    let text = format!("{MESH}{}", pod("web", "n1", "10.0.0.1"));
    let mut rig = Rig::new(&text);
    rig.tell("n1", captured("web")).await;
    let version = |rig: &Rig| {
        let published = rig.keeper.published.borrow().clone().unwrap();
        let shelf = published.addresses.clone();
        ambit_wire::delta::Catalog::iter(&shelf)
            .map(|(name, entry)| (Arc::clone(name), Arc::clone(&entry.version)))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = version(&rig);
    let again = Rig::resumed(rig.state, &text);
    assert!(again.is_advertised("web"));
    assert_eq!(version(&again), before);
}

#[tokio::test]
async fn an_identity_may_be_asked_for_only_where_its_pods_run() {
    let text = format!(
        "{MESH}{}{}",
        pod("web", "n1", "10.0.0.1"),
        pod("db", "n2", "10.0.0.2")
    );
    let rig = Rig::new(&text);
    for (node, identity, expected) in [
        ("n1", "spiffe://cluster.local/ns/shop/sa/web", true),
        ("n2", "spiffe://cluster.local/ns/shop/sa/web", false),
        ("n2", "spiffe://cluster.local/ns/shop/sa/db", true),
        ("n1", "spiffe://cluster.local/ns/other/sa/web", false),
        ("n1", "spiffe://other.example/ns/shop/sa/web", false),
        ("n9", "spiffe://cluster.local/ns/shop/sa/web", false),
    ] {
        let may = rig.keeper.may_ask(node, &identity.parse().unwrap());
        assert_eq!(may, expected, "{node} {identity}");
    }
}

#[tokio::test]
async fn broken_yaml_is_told_and_what_was_good_is_served_on() {
    let good = format!("{MESH}{}", pod("web", "n1", "10.0.0.1"));
    let mut rig = Rig::new(&good);
    rig.write(&format!("{good}\n---\nkind: [\n"));
    rig.look();
    assert!(rig.keeper.survey.problems().next().is_some());
    let published = rig.keeper.published.borrow().clone().unwrap();
    assert!(published.mesh.workload_by_pod("shop", "web").is_some());
    rig.write(&good);
    rig.look();
    assert!(rig.keeper.survey.problems().next().is_none());
}

#[tokio::test]
async fn nobody_is_answered_before_the_first_read_is_over() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
    let files = ClaimFiles::open(state.path()).unwrap();
    let metrics = Metrics::new(&Registry::new());
    let (keeper, handle) = Keeper::new(
        Configuration::default(),
        files,
        Callers::Nodes(tokens),
        metrics,
        Writers::default(),
    );
    let (batches, receiver) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(receiver, stop.clone()));
    let asking = tokio::spawn({
        let handle = handle.clone();
        async move { handle.problems().await }
    });
    tokio::task::yield_now().await;
    assert!(!asking.is_finished() && handle.publications().borrow().is_none());
    batches.send(Batch::default()).await.unwrap();
    assert!(asking.await.unwrap().unwrap().is_empty());
    assert_eq!(handle.publications().borrow().as_ref().unwrap().sequence, 1);
    stop.cancel();
    running.await.unwrap();
}

/// A task that records captures on the pods, and what it has to be written there.
fn recording(text: &str) -> (Keeper, mpsc::Receiver<Mark>) {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
    let files = ClaimFiles::open(state.path()).unwrap();
    let settings = crate::config::Settings {
        captures: crate::config::CaptureRecord::Annotations,
        ..crate::config::Settings::default()
    };
    let metrics = Metrics::new(&Registry::new());
    let (marker, marks) = mpsc::channel(MARKS);
    let configuration = Configuration::new(settings);
    let (mut keeper, _handle) = Keeper::new(
        configuration,
        files,
        Callers::Nodes(tokens),
        metrics,
        Writers {
            marker: Some(Marker(marker)),
            ..Writers::default()
        },
    );
    keeper.take_batch(crate::config::fixture::Folder::of(text).everything());
    (keeper, marks)
}

fn marked(marks: &mut mpsc::Receiver<Mark>) -> Vec<(String, Redirection)> {
    let marks = std::iter::from_fn(|| marks.try_recv().ok());
    marks
        .map(|mark| (mark.name.to_string(), mark.redirection))
        .collect()
}

fn recorded_pod(name: &str, node: &str, ip: &str) -> String {
    let annotated = "annotations: {ambit.mesh/redirection: enabled}, ";
    pod(name, node, ip).replace("metadata: {", &format!("metadata: {{{annotated}"))
}

fn is_advertised(keeper: &Keeper, name: &str) -> bool {
    let workload = keeper.configuration.mesh().workload_by_pod("shop", name);
    workload.is_some_and(|workload| workload.protocol == TunnelProtocol::Hbone)
}

#[tokio::test]
async fn a_capture_is_written_on_its_pod_and_advertised_when_it_stands_there() {
    let (mut keeper, mut marks) = recording(&format!("{MESH}{}", pod("web", "n1", "10.0.0.1")));
    let reply = keeper.capture(&"n2".into(), captured("web"));
    assert_eq!((reply.refused.len(), marked(&mut marks)), (1, vec![]));
    let reply = keeper.capture(&"n1".into(), captured("web"));
    assert_eq!(reply.pending, ["uid-web"]);
    assert_eq!(
        marked(&mut marks),
        [("web".to_owned(), Redirection::Enabled)]
    );
    assert!(!is_advertised(&keeper, "web"), "not before it stands there");
    let text = format!("{MESH}{}", recorded_pod("web", "n1", "10.0.0.1"));
    keeper.take_batch(crate::config::fixture::Folder::of(&text).everything());
    assert!(is_advertised(&keeper, "web"));
    let reply = keeper.capture(&"n1".into(), captured("web"));
    assert_eq!(reply.recorded, ["uid-web"]);
    assert_eq!(marked(&mut marks), []);
}

#[tokio::test]
async fn a_withdrawal_counts_at_once_and_a_new_capture_ends_it() {
    let text = format!("{MESH}{}", recorded_pod("web", "n1", "10.0.0.1"));
    let (mut keeper, mut marks) = recording(&text);
    assert!(is_advertised(&keeper, "web"), "another replica's word");
    let withdrawn = || CaptureChange::Withdrawn("uid-web".to_owned());
    keeper.capture(&"n2".into(), withdrawn());
    assert!(is_advertised(&keeper, "web"), "n2 has no say in it");
    keeper.capture(&"n1".into(), withdrawn());
    assert!(!is_advertised(&keeper, "web"));
    assert_eq!(
        marked(&mut marks),
        [("web".to_owned(), Redirection::Absent)]
    );
    keeper.take_batch(crate::config::fixture::Folder::of(&text).everything());
    assert!(
        !is_advertised(&keeper, "web"),
        "what is not written yet does not count"
    );
    keeper.capture(&"n1".into(), captured("web"));
    assert!(is_advertised(&keeper, "web"));
}

#[tokio::test]
async fn the_record_of_a_pod_that_its_agent_does_not_list_is_taken_back() {
    let text = format!("{MESH}{}", recorded_pod("web", "n1", "10.0.0.1"));
    let (mut keeper, mut marks) = recording(&text);
    keeper.capture(&"n1".into(), CaptureChange::Settled(BTreeSet::new()));
    assert_eq!(
        marked(&mut marks),
        [("web".to_owned(), Redirection::Absent)]
    );
    let failed = CaptureChange::Failed("uid-web".to_owned(), "no room".to_owned());
    keeper.capture(&"n1".into(), failed);
    let pending = Redirection::Pending("no room".to_owned());
    assert_eq!(marked(&mut marks), [("web".to_owned(), pending)]);
}

#[tokio::test]
async fn of_a_withdrawn_pod_that_is_not_known_nothing_is_kept() {
    let (mut keeper, mut marks) = recording(MESH);
    keeper.capture(&"n1".into(), CaptureChange::Withdrawn("uid-web".to_owned()));
    assert_eq!(marked(&mut marks), []);
    let text = format!("{MESH}{}", recorded_pod("web", "n1", "10.0.0.1"));
    keeper.take_batch(crate::config::fixture::Folder::of(&text).everything());
    assert!(is_advertised(&keeper, "web"), "it is not withheld");
}

#[tokio::test]
async fn recorded_pods_are_counted_and_a_refused_reminder_names_its_pod() {
    let text = format!("{MESH}{}", recorded_pod("web", "n1", "10.0.0.1"));
    let (mut keeper, _marks) = recording(&text);
    let then = clock::now() + std::time::Duration::from_secs(60);
    keeper
        .survey
        .look(&keeper.configuration, &keeper.metrics, then);
    assert_eq!(keeper.metrics.captured.get(), 1);
    let reminder = CaptureChange::Captured(vec![("uid-web".to_owned(), String::new())]);
    let request = keeper.capture(&"n2".into(), reminder);
    assert_eq!(
        request.refused[0].1,
        "pod shop/web runs on node n1, not on n2"
    );
}
