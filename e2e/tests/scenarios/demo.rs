//! The demo is a program that people trust to tidy up after itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ambit_e2e::lab::remains;
use ambit_e2e::mesh::binary;
use ambit_e2e::wait::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What `make demo` may take after the build.
const TWO_MINUTES: Duration = Duration::from_secs(120);

#[test]
fn the_demo_shows_everything_within_two_minutes_and_leaves_nothing_behind() {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(binary("demo").unwrap())
        .arg("--once")
        .stdout(output.reopen().unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let prefix = format!("ambit-{}-", child.id());
    let ended = wait_until("the demo to end", TWO_MINUTES, || {
        child.try_wait().unwrap().is_some()
    });
    if ended.is_err() {
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    }
    let status = child.wait().unwrap();
    let text = std::fs::read_to_string(output.path()).unwrap();
    assert!(ended.is_ok() && status.success(), "{text}");
    for expected in [
        "all TLS 1.3",
        "spiffe://cluster.local/ns/shop/sa/cart",
        "refused after",
    ] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours in a file");
    assert_eq!(remains(&prefix), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let mut child = Command::new(binary("demo").unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let prefix = format!("ambit-{pid}-");
    let begun = || {
        remains(&prefix)
            .iter()
            .any(|path| path.starts_with(Path::new("/run/netns")))
    };
    wait_until("the demo to begin", TWO_MINUTES, begun).unwrap();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT).unwrap();
    wait_until("the demo to end", TWO_MINUTES, || {
        child.try_wait().unwrap().is_some()
    })
    .unwrap();
    assert_eq!(remains(&prefix), Vec::<std::path::PathBuf>::new());
}
