//! What the host role's tests share: network namespaces that go away by themselves.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ambit_netsys::NetNs;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A network namespace of this test, named after the process; deleted on drop.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one with `lo` up.
    pub(crate) fn make(about: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes namespaces: run it as root"
        );
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ambit-host-{}-{count}-{about}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .status()
            .unwrap();
        assert!(made.success(), "cannot make the network namespace {name}");
        let namespace = Self { name };
        namespace.shell("ip link set lo up");
        namespace
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// A handle on it.
    pub(crate) fn open(&self) -> Arc<NetNs> {
        Arc::new(NetNs::open(self.path()).unwrap())
    }

    /// Runs a line of shell inside and returns what it printed.
    pub(crate) fn shell(&self, line: &str) -> String {
        let run = || Command::new("sh").args(["-c", line]).output();
        let output = self.open().run(run).unwrap().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.is_empty(), "{line}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        assert!(
            deleted.is_ok_and(|status| status.success()),
            "{} is left behind",
            self.name
        );
    }
}
