//! The hostile program of `e2e/hostile`, in the proxy's place and outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ambit_netsys::sockets::{self, Outgoing};
use ambit_node_agent::link;
use ambit_wire::node::{HostToProxy, PodAttached, host_to_proxy};
use tokio::time::timeout;

use crate::{PATIENCE, Proxy};

/// What the program is pointed at: all of it is real, and root can have it.
struct Bait {
    directory: tempfile::TempDir,
    listener: TcpListener,
    victim: Child,
}

impl Bait {
    fn lay() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path();
        fs::write(path.join("token"), "secret").expect("token");
        fs::create_dir(path.join("state")).expect("state");
        let api = UnixListener::bind(path.join("agent.sock")).expect("api");
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = api.accept() {
                BufReader::new(&stream).read_line(&mut String::new()).ok();
                stream.write_all(b"{\"ok\":true}\n").ok();
            }
        });
        let victim = Command::new("sleep").arg("300").spawn().expect("victim");
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        Self {
            directory,
            listener,
            victim,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let path = self.directory.path().display();
        vec![
            format!("netns=/proc/{}/ns/net", self.victim.id()),
            format!("token={path}/token"),
            format!("state={path}/state"),
            format!("api={path}/agent.sock"),
            format!("reach={}", self.listener.local_addr().expect("address")),
            format!("victim={}", self.victim.id()),
        ]
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        self.victim.kill().ok();
        self.victim.wait().ok();
    }
}

/// One attempt and how it went.
struct Line {
    attempt: String,
    result: String,
    errno: Option<i64>,
}

/// Builds the program once per run.
fn build(directory: &Path) -> PathBuf {
    let program = directory.join("hostile");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/hostile/hostile.rs");
    let status = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .args([
            "--edition",
            "2024",
            "-C",
            "target-feature=+crt-static",
            "-o",
        ])
        .args([&program, &source])
        .status()
        .expect("rustc");
    assert!(status.success(), "the hostile program does not build");
    program
}

fn sockets_to_give() -> [OwnedFd; 2] {
    let address = "127.0.0.1:0".parse().expect("address");
    [
        sockets::outgoing(Outgoing::World4).expect("socket"),
        sockets::listener(address, 1).expect("listen"),
    ]
}

fn greeting() -> HostToProxy {
    HostToProxy {
        kind: Some(host_to_proxy::Kind::Pod(PodAttached::default())),
    }
}

fn read_lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut done = None;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        if let Some(given) = line["given"].as_u64() {
            assert_eq!(given, 2, "the program did not get the sockets to misuse");
        } else if let Some(count) = line["done"].as_u64() {
            done = Some(count);
        } else {
            lines.push(Line {
                attempt: line["attempt"].as_str().expect("attempt").to_owned(),
                result: line["result"].as_str().expect("result").to_owned(),
                errno: line["errno"].as_i64(),
            });
        }
    }
    assert_eq!(
        done,
        u64::try_from(lines.len()).ok(),
        "the run was cut short:\n{text}"
    );
    assert!(lines.len() > 50, "{text}");
    lines
}

pub(crate) async fn is_refused() {
    let bait = Bait::lay();
    let program = build(bait.directory.path());
    // The launcher gives its own standard output to the program, as to a proxy.
    let output = Redirected::start();
    let proxy = Proxy::start("unused", Some((program, bait.arguments()))).await;
    let given = sockets_to_give();
    proxy
        .link
        .send(&greeting(), &[given[0].as_fd(), given[1].as_fd()])
        .await
        .expect("send");
    let Proxy { mut child, .. } = proxy;
    let ended = timeout(PATIENCE, child.wait()).await;
    let text = output.end();
    let status = ended.expect("ends in time").expect("status");
    assert!(status.success(), "{status}: {text}");
    let through: Vec<String> = read_lines(&text)
        .into_iter()
        .filter(|line| line.result != "refused" || line.errno == Some(9))
        .map(|line| format!("{} ({} {:?})", line.attempt, line.result, line.errno))
        .collect();
    assert_eq!(through, [""; 0], "not refused");
    assert!(
        sockets::is_listening(&given[1]).expect("ask"),
        "a given listener was shut down"
    );
    assert!(
        !sockets::is_listening(&given[0]).expect("ask"),
        "a given socket listens"
    );
}

pub(crate) async fn succeeds_outside() {
    let bait = Bait::lay();
    let program = build(bait.directory.path());
    let (link, theirs) = link::pair().expect("link");
    let mut command = Command::new("unshare");
    let number = ambit_netsys::process::pass(&mut command, theirs);
    // Mounts of its own, so that what it mounts goes with it.
    command
        .arg("--mount")
        .arg(program)
        .args([number.to_string(), "-1".to_owned()]);
    let command = command.args(bait.arguments()).stdout(Stdio::piped());
    let running = command.spawn().expect("start");
    let given = sockets_to_give();
    link.send(&greeting(), &[given[0].as_fd(), given[1].as_fd()])
        .await
        .expect("send");
    let output = tokio::task::spawn_blocking(move || running.wait_with_output());
    let output = timeout(PATIENCE, output)
        .await
        .expect("ends")
        .expect("thread")
        .expect("output");
    let text = String::from_utf8(output.stdout).expect("text");
    let refused: Vec<String> = read_lines(&text)
        .into_iter()
        .filter(|line| line.result != "SUCCEEDED")
        .map(|line| format!("{} {:?}", line.attempt, line.errno))
        .collect();
    assert_eq!(
        refused, [""; 0],
        "attempts that prove nothing here, since root cannot either"
    );
}

/// This process' standard output, read back.
struct Redirected {
    kept: OwnedFd,
    reader: std::thread::JoinHandle<String>,
}

impl Redirected {
    fn start() -> Self {
        let kept = std::io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .expect("copy");
        let (from, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("pipe");
        nix::unistd::dup2_stdout(&to).expect("redirect");
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(fs::File::from(from)).lines();
            lines
                .map_while(Result::ok)
                .map(|line| line + "\n")
                .collect()
        });
        Self { kept, reader }
    }

    fn end(self) -> String {
        nix::unistd::dup2_stdout(&self.kept).expect("redirect back");
        self.reader.join().expect("reader")
    }
}
