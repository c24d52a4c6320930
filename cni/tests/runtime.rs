//! Plays the container runtime: starts the real program with an environment and a configuration on
//! stdin, against an agent that is a thread of the test.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail a test as tests do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ambit_cni::namespaces::{NamespaceList, STALE_AFTER_SECONDS};
use ambit_netsys::passing;
use serde_json::{Value, json};
use tempfile::TempDir;

const NETNS: &str = "/proc/self/ns/net";
const PREVIOUS: &str = r#"{ "cniVersion": "1.0.0", "interfaces": [{"name":"eth0","sandbox":"/x"}],
    "ips": [{"address":"10.244.1.7/24","gateway":"10.244.1.1","interface":0}], "dns":{} }"#;

/// A node with a list of namespaces and, if one is started, an agent.
struct Node {
    folder: TempDir,
}

/// How the program ended.
#[derive(Debug)]
struct Ended {
    success: bool,
    stdout: String,
    took: Duration,
}

/// What the agent was asked, and the namespace that came along.
struct Asked {
    request: Value,
    netns: Option<OwnedFd>,
}

impl Ended {
    /// The error that the runtime reads.
    fn error(&self) -> Value {
        assert!(!self.success, "{self:?}");
        let error: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(
            error["code"].is_u64() && error["cniVersion"].is_string(),
            "{error}"
        );
        error
    }

    fn message(&self) -> String {
        self.error()["msg"].as_str().unwrap().to_owned()
    }

    /// That the result of the plugin before went through, byte for byte.
    fn passed(&self) {
        assert!(self.success, "{self:?}");
        assert_eq!(self.stdout, format!("{PREVIOUS}\n"));
    }

    fn silent_success(&self) {
        assert!(self.success && self.stdout.is_empty(), "{self:?}");
    }
}

impl Node {
    /// Without list and agent.
    fn bare() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a list in which the namespace `shop` is enrolled, written so long ago.
    fn listed(age: u64) -> Self {
        let node = Self::bare();
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let list = NamespaceList::new(set("shop"), set("kube-system"), now.as_secs() - age);
        fs::write(node.path("list.json"), serde_json::to_vec(&list).unwrap()).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An agent that answers every request alike; an answer of nothing is hanging up.
    fn agent(&self, answer: &'static str) -> Receiver<Asked> {
        let listener = UnixListener::bind(self.path("agent.sock")).unwrap();
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut chunk = [0; 4096];
                let (count, mut descriptors) = passing::recv(&stream, &mut chunk).unwrap();
                let mut line = chunk[..count].to_vec();
                if !line.ends_with(b"\n") {
                    BufReader::new(&stream)
                        .read_until(b'\n', &mut line)
                        .unwrap();
                }
                let request = serde_json::from_slice(&line).unwrap();
                let netns = descriptors.pop();
                if sender.send(Asked { request, netns }).is_err() {
                    return;
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        asked
    }

    fn config(&self, version: &str) -> String {
        let (socket, list) = (self.path("agent.sock"), self.path("list.json"));
        let config = json!({
            "cniVersion": version, "name": "kube", "type": "ambit-cni",
            "agentSocket": socket, "namespaceList": list, "systemNamespaces": ["ambit-system"],
        });
        let config = config.to_string();
        format!(
            "{},\"prevResult\":{PREVIOUS}}}",
            config.strip_suffix('}').unwrap()
        )
    }

    /// Runs a command for a pod of this namespace.
    fn run(&self, command: &str, namespace: &str) -> Ended {
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=web-0;K8S_POD_UID=u-1"
        );
        let environment = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "c-1"),
            ("CNI_NETNS", NETNS),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", &arguments),
            ("CNI_PATH", "/opt/cni/bin"),
        ];
        run(&environment, &self.config("1.0.0"))
    }
}

fn run(environment: &[(&str, &str)], input: &str) -> Ended {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ambit-cni"))
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not care for its input may be gone already.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    Ended {
        success: child.wait().unwrap().success(),
        stdout,
        took: begun.elapsed(),
    }
}

#[test]
fn add_of_an_enrolled_pod_returns_when_the_agent_has_captured_it() {
    let node = Node::listed(0);
    let asked = node.agent("{\"ok\":true,\"state\":\"captured\"}\n");
    node.run("ADD", "shop").passed();
    let asked = asked.try_recv().unwrap();
    let expected = json!({
        "op": "cni-add", "netns": NETNS, "uid": "u-1", "namespace": "shop", "name": "web-0",
        "ips": ["10.244.1.7"], "container": "c-1",
    });
    assert_eq!(asked.request, expected);
    let sent = fs::File::from(asked.netns.unwrap()).metadata().unwrap();
    assert_eq!(sent.ino(), fs::metadata(NETNS).unwrap().ino());
}

#[test]
fn add_of_a_pod_that_opted_out_returns_when_the_agent_says_so() {
    let node = Node::listed(0);
    let _asked = node.agent("{\"ok\":true,\"state\":\"not-enrolled\"}\n");
    node.run("ADD", "shop").passed();
}

#[test]
fn add_of_an_enrolled_pod_fails_without_an_agent_and_says_which() {
    let node = Node::listed(0);
    let ended = node.run("ADD", "shop");
    assert_eq!(ended.error()["code"], 11);
    let message = ended.message();
    assert!(
        message.starts_with("the node agent of ambit is not ready on this node: "),
        "{message}"
    );
    assert!(message.contains("agent.sock") && message.contains("the kubelet tries again"));
}

#[test]
fn add_of_an_enrolled_pod_fails_in_the_words_of_an_agent_that_refuses() {
    for (answer, words) in [
        (
            r#"{"ok":false,"error":"no proxy","reason":"no_proxy"}"#,
            "shop/web-0: no proxy (no_proxy)",
        ),
        (r#"{"ok":false}"#, "no reason given"),
        (r#"{"ok":true}"#, "in no state"),
        (r#"{"ok":true,"state":"draining"}"#, "it is draining"),
        ("nonsense", "cannot be read"),
        ("", "ended"),
    ] {
        let node = Node::listed(0);
        let answer: &'static str = Box::leak(format!("{answer}\n").into_boxed_str());
        let _asked = node.agent(if answer == "\n" { "" } else { answer });
        let message = node.run("ADD", "shop").message();
        assert!(message.contains(words), "{answer}: {message}");
    }
}

#[test]
fn add_of_any_other_pod_needs_no_agent() {
    let node = Node::listed(0);
    node.run("ADD", "blog").passed();
    let _asked = node.agent("{\"ok\":false}\n");
    node.run("ADD", "blog").passed();
}

#[test]
fn add_of_any_other_pod_tells_an_agent_that_is_there() {
    let node = Node::listed(0);
    let asked = node.agent("{\"ok\":true,\"state\":\"captured\"}\n");
    node.run("ADD", "blog").passed();
    assert_eq!(asked.try_recv().unwrap().request["namespace"], "blog");
}

#[test]
fn add_of_any_other_pod_fails_if_the_agent_says_that_it_must_be_captured_and_is_not() {
    let node = Node::listed(0);
    let _asked = node.agent(
        "{\"ok\":false,\"state\":\"not-captured\",\"error\":\"no proxy\",\"reason\":\"no_proxy\"}\n",
    );
    let message = node.run("ADD", "blog").message();
    assert!(
        message.contains("blog/web-0: no proxy (no_proxy)"),
        "{message}"
    );
}

#[test]
fn add_of_any_other_pod_waits_a_second_for_an_agent_that_hangs() {
    let node = Node::listed(0);
    let _listener = UnixListener::bind(node.path("agent.sock")).unwrap();
    let ended = node.run("ADD", "blog");
    ended.passed();
    assert!(ended.took >= Duration::from_secs(1) && ended.took < Duration::from_secs(10));
}

#[test]
fn without_a_list_to_rely_on_only_system_pods_start() {
    let untrusted = Node::listed(0);
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    fs::set_permissions(untrusted.path("list.json"), mode).unwrap();
    let damaged = Node::bare();
    fs::write(damaged.path("list.json"), "{").unwrap();
    for node in [
        Node::bare(),
        Node::listed(STALE_AFTER_SECONDS + 60),
        untrusted,
        damaged,
    ] {
        // An agent that is there does not help: it has no list for a reason.
        let _asked = node.agent("{\"ok\":true,\"state\":\"captured\"}\n");
        for namespace in ["shop", "blog"] {
            let message = node.run("ADD", namespace).message();
            assert!(message.contains("list of enrolled namespaces"), "{message}");
        }
        node.run("ADD", "ambit-system").passed();
        assert_eq!(node.run("CHECK", "shop").error()["code"], 11);
    }
}

#[test]
fn system_namespaces_of_the_list_pass_without_asking() {
    let node = Node::listed(0);
    let asked = node.agent("{\"ok\":false}\n");
    node.run("ADD", "kube-system").passed();
    assert!(asked.try_recv().is_err());
}

#[test]
fn add_passes_for_what_is_no_pod_of_kubernetes() {
    let node = Node::bare();
    let environment = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_NETNS", "/nowhere"),
        ("CNI_ARGS", "A=B"),
    ];
    run(&environment, &node.config("1.0.0")).passed();
}

#[test]
fn add_answers_in_the_version_that_is_asked_for() {
    let node = Node::bare();
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let ended = run(&[("CNI_COMMAND", "ADD")], &node.config(version));
        let result: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["ips"][0]["gateway"], "10.244.1.1");
    }
}

#[test]
fn add_fails_on_what_it_cannot_read_or_chain_to() {
    for (input, code) in [
        ("", 6),
        ("garbage", 6),
        ("[]", 6),
        (r#"{"cniVersion":"1.0.0"}"#, 7),
        (r#"{"cniVersion":"1.0.0","prevResult":null}"#, 7),
        (r#"{"cniVersion":"2.0.0","prevResult":{}}"#, 1),
        (
            r#"{"cniVersion":"1.0.0","agentSocket":5,"prevResult":{}}"#,
            6,
        ),
    ] {
        assert_eq!(
            run(&[("CNI_COMMAND", "ADD")], input).error()["code"],
            code,
            "{input}"
        );
    }
}

#[test]
fn add_of_an_enrolled_pod_fails_if_its_namespace_is_not_there() {
    let node = Node::listed(0);
    let asked = node.agent("{\"ok\":true,\"state\":\"captured\"}\n");
    let arguments = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u-1";
    let environment = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_NETNS", "/nowhere"),
        ("CNI_ARGS", arguments),
    ];
    let ended = run(&environment, &node.config("1.0.0"));
    assert_eq!(ended.error()["code"], 4);
    assert!(asked.try_recv().is_err());
}

#[test]
fn check_asks_the_agent_about_enrolled_pods_only() {
    let node = Node::listed(0);
    node.run("CHECK", "blog").silent_success();
    node.run("CHECK", "ambit-system").silent_success();
    assert_eq!(node.run("CHECK", "shop").error()["code"], 11);
    let asked = node.agent("{\"ok\":true,\"state\":\"captured\"}\n");
    node.run("CHECK", "shop").silent_success();
    assert_eq!(asked.try_recv().unwrap().request["op"], "cni-check");
}

#[test]
fn del_succeeds_whatever_is_missing() {
    run(&[("CNI_COMMAND", "DEL")], "").silent_success();
    run(&[("CNI_COMMAND", "DEL")], "garbage").silent_success();
    let node = Node::bare();
    node.run("DEL", "shop").silent_success();
    node.run("DEL", "shop").silent_success();
    let arguments = "K8S_POD_NAMESPACE=shop;K8S_POD_UID=u-1";
    let environment = [("CNI_COMMAND", "DEL"), ("CNI_ARGS", arguments)];
    let without_result = node.config("0.4.0").replace("prevResult", "x");
    run(&environment, &without_result).silent_success();
}

#[test]
fn del_tells_an_agent_that_is_there() {
    let node = Node::bare();
    let asked = node.agent("{\"ok\":false}\n");
    node.run("DEL", "shop").silent_success();
    let request = asked.try_recv().unwrap().request;
    assert_eq!(
        request,
        json!({ "op": "cni-del", "uid": "u-1", "container": "c-1" })
    );
}

#[test]
fn status_and_gc_need_nobody() {
    let node = Node::bare();
    for command in ["STATUS", "GC"] {
        run(&[("CNI_COMMAND", command)], &node.config("1.1.0")).silent_success();
        let attachments =
            r#"{"cniVersion":"1.1.0","cni.dev/valid-attachments":[{"containerID":"c"}]}"#;
        run(&[("CNI_COMMAND", command)], attachments).silent_success();
        assert_eq!(run(&[("CNI_COMMAND", command)], "{").error()["code"], 6);
    }
}

#[test]
fn version_says_what_is_spoken() {
    let ended = run(&[("CNI_COMMAND", "VERSION")], r#"{"cniVersion":"0.4.0"}"#);
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["cniVersion"], "0.4.0");
    let spoken = answer["supportedVersions"].as_array().unwrap();
    for version in ["0.4.0", "1.0.0", "1.1.0"] {
        assert!(spoken.contains(&version.into()));
    }
    assert!(run(&[("CNI_COMMAND", "VERSION")], "").success);
}

#[test]
fn an_unknown_command_is_an_error_with_a_hint() {
    for environment in [&[][..], &[("CNI_COMMAND", "EXPLODE")]] {
        let ended = run(environment, r#"{"cniVersion":"0.4.0"}"#);
        assert_eq!(
            (&ended.error()["code"], &ended.error()["cniVersion"]),
            (&4.into(), &"0.4.0".into())
        );
        assert!(ended.message().contains("--help"));
    }
}

#[test]
fn the_program_installs_and_removes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let order = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ambit-cni"))
            .args(words)
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let target = folder.path().join("ambit-cni");
    assert_eq!(
        order(&["install", "--to"]),
        format!("installed {}\n", target.display())
    );
    assert_eq!(order(&["install", "--to"]), "");
    let installed = Command::new(&target).arg("version").output().unwrap();
    assert!(installed.stdout.starts_with(b"ambit-cni "));
    assert_eq!(
        order(&["uninstall", "--from"]),
        format!("removed {}\n", target.display())
    );
    assert_eq!(order(&["uninstall", "--from"]), "");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_command_line_fails_and_says_why() {
    let output = Command::new(env!("CARGO_BIN_EXE_ambit-cni"))
        .arg("instal")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--help"));
}
