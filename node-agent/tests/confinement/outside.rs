//! How long a role lives.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ambit_node_agent::link::ToHost;
use tokio::time::timeout;

use crate::{PATIENCE, Proxy};

/// SIGKILL of the host role, which can then tidy up nothing.
pub(crate) async fn dies_with_its_host() {
    let mut host = Command::new("/proc/self/exe")
        .arg("host")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a host role");
    let output = host.stdout.take().expect("output");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("pids");
    let handles: Vec<_> = line
        .split_whitespace()
        .map(|pid| ambit_netsys::process::pidfd(pid.parse().expect("pid")).expect("alive"))
        .collect();
    assert_eq!(handles.len(), 2, "{line}");
    host.kill().expect("kill");
    host.wait().expect("wait");
    let deadline = Instant::now() + PATIENCE;
    // Signals to a process that ended fail; nobody but its new parent can wait for it.
    while handles.iter().any(|handle| {
        ambit_netsys::process::signal(handle, nix::sys::signal::Signal::SIGCONT).is_ok()
    }) {
        assert!(Instant::now() < deadline, "a role outlived its host role");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The task that started a role ends, and its runtime too: the role does not.
pub(crate) async fn outlives_the_call() {
    let starter = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("runtime");
        let proxy = runtime.block_on(Proxy::start("rest", None));
        runtime.block_on(proxy.hears(ToHost::Ready));
        (proxy, runtime)
    });
    let (mut proxy, runtime) = starter.join().expect("thread");
    // Long enough for a parent-death signal to have arrived.
    let early = timeout(Duration::from_millis(300), proxy.child.wait()).await;
    assert!(
        early.is_err(),
        "the role ended with the thread that asked for it: {early:?}"
    );
    proxy.child.kill().expect("kill");
    timeout(PATIENCE, proxy.child.wait())
        .await
        .expect("ends")
        .expect("status");
    drop(proxy);
    runtime.shutdown_background();
}
