//! What the host role's tests share: network namespaces that go away by themselves, and a host
//! role on a node of its own with fakes for children.

pub(crate) mod fakes;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ambit_netsys::NetNs;

use self::fakes::Fakes;
use super::kept::KeptPods;
use super::names::{PodNames, PodUid};
use super::rules::Rules;
use super::state::{Host, Limits, Parts};
use super::{control, listeners, proxies};

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

    /// Its name, as `ip netns` shows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
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

    /// Puts a table of the mesh's name in place of the one there may be, and lets nobody change it
    /// until the answer is dropped: then it is gone.
    pub(crate) fn with_fixed_rules(&self) -> FixedRules {
        self.shell("nft 'add table inet ambit; delete table inet ambit'");
        let start = || {
            let mut nft = Command::new("nft");
            nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null());
            nft.spawn()
        };
        let mut owner = self.open().run(start).unwrap().unwrap();
        let orders = owner.stdin.as_mut().unwrap();
        orders
            .write_all(b"add table inet ambit { flags owner; }\n")
            .unwrap();
        let deadline = std::time::Instant::now() + fakes::PATIENCE;
        while !self.shell("nft list tables").contains("inet ambit") {
            assert!(std::time::Instant::now() < deadline, "nft does not obey");
        }
        FixedRules(owner)
    }
}

/// Rules that belong to a process, see [`Namespace::with_fixed_rules`].
#[derive(Debug)]
pub(crate) struct FixedRules(Child);

impl Drop for FixedRules {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
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

/// A host role with its node, its state folder and its fakes.
#[derive(Debug)]
pub(crate) struct Node {
    /// The role.
    pub(crate) host: Arc<Host>,
    /// Its children.
    pub(crate) fakes: Fakes,
}

/// What a node keeps while host roles come and go on it.
#[derive(Debug)]
pub(crate) struct Ground {
    namespace: Namespace,
    /// Folder of sockets and state.
    pub(crate) folder: tempfile::TempDir,
}

impl Ground {
    /// A node that no role has run on yet.
    pub(crate) fn make() -> Self {
        Self {
            namespace: Namespace::make("node"),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A role that is set up but has started nothing.
    pub(crate) fn role(&self, fakes: &Fakes) -> Arc<Host> {
        self.role_with(fakes, Rules::Nft)
    }

    /// Such a role with another packet filter.
    pub(crate) fn role_with(&self, fakes: &Fakes, rules: Rules) -> Arc<Host> {
        self.role_of(fakes, rules, false)
    }

    /// Such a role that redirects questions about names, too.
    pub(crate) fn role_for_names(&self, fakes: &Fakes) -> Arc<Host> {
        self.role_of(fakes, Rules::Nft, true)
    }

    fn role_of(&self, fakes: &Fakes, rules: Rules, dns: bool) -> Arc<Host> {
        Host::new(Parts {
            node: NetNs::open(self.namespace.path()).unwrap(),
            node_ips: vec!["10.244.1.1".parse().unwrap()],
            rules,
            limits: Limits {
                withdraw_time: fakes::PATIENCE,
                half_open_time: std::time::Duration::from_millis(100),
                ..Limits::default()
            },
            dns: if dns {
                vec!["10.96.0.10".parse().unwrap()]
            } else {
                Vec::new()
            },
            children: Box::new(fakes.clone()),
            kept: KeptPods::open(self.folder.path()).unwrap(),
            cni: None,
        })
        .unwrap()
    }

    /// A role with pages, a control role and a proxy.
    pub(crate) fn run(&self, ready: bool) -> Node {
        let fakes = Fakes::new(ready);
        let host = self.role(&fakes);
        *host.pages.lock() = listeners::open(&host.node, &listeners::page_addresses(true)).unwrap();
        start_children(&host);
        Node { host, fakes }
    }
}

/// Starts what a running role keeps alive.
pub(crate) fn start_children(host: &Arc<Host>) {
    host.tasks
        .spawn("control", control::supervise(Arc::clone(host)));
    host.tasks
        .spawn("proxies", proxies::keep_one(Arc::clone(host)));
}

/// A pod of this name.
pub(crate) fn names(uid: &str) -> PodNames {
    PodNames {
        uid: PodUid::parse(uid).unwrap(),
        namespace: "shop".to_owned(),
        name: format!("pod-{uid}"),
        service_account: "web".to_owned(),
        ips: vec!["10.0.0.2".parse().unwrap()],
    }
}
