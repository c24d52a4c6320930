//! The confinement of the roles, seen from outside: this program starts itself as each role, by the
//! real launcher, and looks at what the kernel says of the child and at what the child can do.
//!
//! A program of its own (no test harness), because a role gives up its power while it has one
//! thread only, and the harness starts several before any test runs. Needs root, says so and fails
//! without; it never skips.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that brings its own harness"
)]

mod child;
mod control;
mod hostile;
mod outside;
mod proxy;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ambit_node_agent::launch::{Child, ProxyLaunch, launch_proxy};
use ambit_node_agent::link::{self, HostEnd, ToHost};
use tokio::time::timeout;

/// Longest wait for anything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(20);

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a_proxy_has_no_power_and_sees_nothing", || {
        run(proxy::has_no_power());
    }),
    ("a_runtime_serves_under_the_filter", || run(proxy::serves())),
    ("tls_works_under_the_filter", || run(proxy::speaks_tls())),
    ("sigterm_reaches_a_proxy_that_handles_it", || {
        run(proxy::is_terminated());
    }),
    ("a_proxy_over_its_memory_limit_ends_alone", || {
        run(proxy::ends_over_its_memory());
    }),
    (
        "a_missing_descriptor_ends_the_proxy_at_once",
        proxy::refuses_a_bad_start,
    ),
    ("a_control_role_keeps_its_files_and_no_power", || {
        run(control::has_no_power());
    }),
    ("no_role_outlives_a_killed_host_role", || {
        run(outside::dies_with_its_host());
    }),
    ("a_role_lives_on_while_its_starter_rests", || {
        run(outside::outlives_the_call());
    }),
    ("a_hostile_program_is_refused_everything", || {
        run(hostile::is_refused());
    }),
    ("the_same_program_succeeds_outside", || {
        run(hostile::succeeds_outside());
    }),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("proxy") => return child::proxy(),
        Some("control") => return child::control(),
        Some("host") => return child::host(),
        _ => {}
    }
    if arguments.iter().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("these tests start confined processes and need root");
        return ExitCode::FAILURE;
    }
    let wanted: Vec<&str> = arguments
        .iter()
        .skip(1)
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut failed = 0;
    for (name, test) in TESTS {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word)) {
            continue;
        }
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("runtime").block_on(async {
        timeout(6 * PATIENCE, test)
            .await
            .expect("the test takes too long");
    });
}

/// A running proxy and both its sockets.
struct Proxy {
    child: Child,
    link: HostEnd,
    /// Held so that the feed stays open.
    _feed: OwnedFd,
}

impl Proxy {
    /// Starts this program as a proxy that plays `scene`.
    async fn start(scene: &str, replacement: Option<(PathBuf, Vec<String>)>) -> Self {
        let (link, proxys_link) = link::pair().expect("link");
        let (feed, proxys_feed) = ambit_netsys::passing::stream_pair().expect("feed");
        let child = launch_proxy(ProxyLaunch {
            generation: 1,
            link: proxys_link,
            feed: proxys_feed,
            memory: 512 << 20,
            arguments: vec!["--scene".into(), scene.into()],
            replacement,
        });
        Self {
            child: child.await.expect("launch"),
            link,
            _feed: feed,
        }
    }

    async fn hears(&self, expected: ToHost) {
        let record = timeout(PATIENCE, self.link.recv())
            .await
            .expect("a record in time");
        assert_eq!(record.expect("a good record"), Some(expected));
    }

    async fn end(mut self) {
        self.child.kill().expect("kill");
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("ends in time")
            .expect("status");
    }
}

/// One line of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in status"))
        .trim()
        .to_owned()
}

/// What the kernel must say of any role after it gave up power.
fn assert_powerless(pid: u32, id: u32) {
    let ids = [
        id.to_string(),
        id.to_string(),
        id.to_string(),
        id.to_string(),
    ]
    .join("\t");
    assert_eq!(status(pid, "Uid"), ids);
    assert_eq!(status(pid, "Gid"), ids);
    assert_eq!(status(pid, "Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
    // An undumpable process' files in /proc are root's.
    let owner = std::os::unix::fs::MetadataExt::uid(
        &fs::metadata(format!("/proc/{pid}/environ")).expect("metadata"),
    );
    assert_eq!(owner, 0, "the process can be read by its own user id");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert_eq!(
        core.expect("core").split_whitespace().nth(4),
        Some("0"),
        "{limits}"
    );
}

/// Which namespace of a kind a process is in.
fn namespace(pid: &str, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("namespace")
}
