//! What all parts of the host role share, and the few ways to change it.
//!
//! Locks are held for table look-ups only, never over an await. Whoever changes what another part
//! may be waiting for calls [`Host::note_change`]; whoever waits uses [`Host::wait_until`], which
//! looks again after every change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ambit_cni::keeper::Keeper;
use ambit_kit::tasks::Tasks;
use ambit_netsys::NetNs;
use ambit_wire::node::host_to_proxy::Kind;
use ambit_wire::node::{PageSockets, PodAttached};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard, RwLock, watch};
use tokio_util::sync::CancellationToken;

use super::api::PodView;
use super::child::Children;
use super::control::ControlLink;
use super::counters::Counters;
use super::firewall::Former;
use super::generations::{Generations, Handed, Parcel};
use super::kept::{KeptPod, KeptPods};
use super::leave::Departure;
use super::listeners::{self, Listener};
use super::names::PodUid;
use super::older::Older;
use super::pods::{NamespaceId, Pod, PodState, Pods};
use super::probes::Kubelets;
use super::roster::Roster;
use super::rules::{Duty, RuleInput, Rules};
use super::sockets::Supply;

/// Times and limits of the role.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// How long an enrolment waits for the proxy to accept for the pod.
    pub(crate) attach_time: Duration,
    /// How long a release waits until no peer tunnels to the pod any more.
    pub(crate) withdraw_time: Duration,
    /// How long half-open connections are let finish before rules change.
    pub(crate) half_open_time: Duration,
    /// How long a replaced generation may live on with its connections.
    pub(crate) drain_time: Duration,
    /// How long a stopped host role waits for a successor.
    pub(crate) handover_wait: Duration,
    /// How long a new host role may take until its proxy serves.
    pub(crate) takeover_time: Duration,
    /// How long a host role that was told to stop lets its connections live on.
    pub(crate) stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attach_time: Duration::from_secs(10),
            withdraw_time: Duration::from_secs(5),
            half_open_time: Duration::from_secs(3),
            drain_time: Duration::from_secs(600),
            handover_wait: Duration::from_secs(10),
            takeover_time: Duration::from_secs(30),
            stop_time: Duration::from_secs(20),
        }
    }
}

/// What is held for a pod beside its names.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Its network namespace.
    pub(crate) netns: Arc<NetNs>,
    /// Its listeners.
    pub(crate) listeners: Vec<Listener>,
    /// Settings of the namespace as they were before.
    pub(crate) settings: Vec<Former>,
    /// Packet filters that may have rules of ours in it.
    pub(crate) written: BTreeSet<Rules>,
    /// Whether its questions about names are redirected, if this process has seen to it.
    pub(crate) dns: Option<bool>,
    /// Whether they are to be left alone, as far as was ever known.
    pub(crate) no_dns: bool,
}

/// The role's state; one per process, shared by all its tasks.
#[derive(Debug)]
pub(crate) struct Host {
    /// The node's own network namespace.
    pub(crate) node: NetNs,
    /// The node's own addresses: the first ones pods get make a bridge with an address of its own.
    node_ips: Mutex<Arc<[IpAddr]>>,
    /// The packet filter in use.
    pub(crate) rules: Rules,
    /// Times and limits.
    pub(crate) limits: Limits,
    /// The resolvers questions to which are redirected here: none where no question is.
    pub(crate) dns: Vec<IpAddr>,
    /// Starts the other roles.
    pub(crate) children: Box<dyn Children>,
    /// Who is enrolled.
    pub(crate) pods: Mutex<Pods<Attachment>>,
    /// The living proxies.
    pub(crate) generations: Mutex<Generations>,
    /// The way to the control role.
    pub(crate) control: ControlLink,
    /// Pods that the control role has reported as withdrawn everywhere.
    pub(crate) withdrawn: Mutex<HashSet<PodUid>>,
    /// The part of the container runtime's network configuration that is ours, if it is.
    pub(crate) cni: Option<Cni>,
    /// What the control plane says of this node.
    pub(crate) roster: Roster,
    /// Connections older than captures.
    pub(crate) older: Older,
    /// Whether the mesh leaves this node.
    pub(crate) departure: Departure,
    /// Listeners of the node's pages.
    pub(crate) pages: Mutex<Vec<Listener>>,
    /// What outlives this process.
    pub(crate) kept: KeptPods,
    /// Numbers for `list`.
    pub(crate) counters: Arc<Counters>,
    /// Outgoing sockets.
    pub(crate) supply: Supply,
    /// Whose probes are let in.
    pub(crate) kubelets: Kubelets,
    /// Everything that runs.
    pub(crate) tasks: Tasks,
    /// Enrolments and releases read-lock it; a handover write-locks it, so the table stands still.
    pub(crate) changes: RwLock<()>,
    /// Cancelled when a successor has taken over, or the role stops: from then on, this process
    /// changes nothing in any pod.
    pub(crate) retired: CancellationToken,
    /// The counters of a previous host role's proxy, for this role's first one.
    pub(crate) ancestor: Mutex<Option<(u64, OwnedFd)>>,
    /// False until a previous host role, whose proxies may hold draining pods, is gone.
    pub(crate) ancestor_gone: watch::Sender<bool>,
    /// False while this role is taking over and may still fail: then it changes nothing that the role
    /// before it could not serve.
    pub(crate) settled: AtomicBool,
    /// Asks for a new generation of the proxy beside the serving one.
    pub(crate) replacement: Notify,
    turns: Mutex<HashMap<PodUid, Arc<tokio::sync::Mutex<()>>>>,
    changed: watch::Sender<()>,
}

/// What a [`Host`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The node's own network namespace.
    pub(crate) node: NetNs,
    /// The node's own addresses.
    pub(crate) node_ips: Vec<IpAddr>,
    /// The packet filter to use.
    pub(crate) rules: Rules,
    /// Times and limits.
    pub(crate) limits: Limits,
    /// The resolvers questions to which are redirected here: none where no question is.
    pub(crate) dns: Vec<IpAddr>,
    /// Starts the other roles.
    pub(crate) children: Box<dyn Children>,
    /// What outlives this process.
    pub(crate) kept: KeptPods,
    /// What is ours of the container runtime's network configuration, if anything.
    pub(crate) cni: Option<Cni>,
}

/// What is ours of the container runtime's network configuration.
#[derive(Clone, Debug)]
pub(crate) struct Cni {
    /// Keeps the plugin in it.
    pub(crate) keeper: Keeper,
    /// The list that the plugin goes by.
    pub(crate) list: PathBuf,
    /// Where the plugin's program is, if this process may remove it.
    pub(crate) bin_dir: Option<PathBuf>,
}

impl Host {
    /// A role without pods or children.
    pub(crate) fn new(parts: Parts) -> std::io::Result<Arc<Self>> {
        let counters = Arc::new(Counters::default());
        let tasks = Tasks::new();
        Ok(Arc::new(Self {
            pods: Mutex::new(Pods::new(NamespaceId::of(&parts.node))),
            node: parts.node,
            node_ips: Mutex::new(parts.node_ips.into()),
            rules: parts.rules,
            limits: parts.limits,
            dns: parts.dns,
            children: parts.children,
            generations: Mutex::default(),
            control: ControlLink::default(),
            withdrawn: Mutex::default(),
            cni: parts.cni,
            roster: Roster::default(),
            older: Older::default(),
            departure: Departure::default(),
            pages: Mutex::default(),
            kept: parts.kept,
            supply: Supply::start(Arc::clone(&counters))?,
            kubelets: Kubelets::default(),
            counters,
            retired: tasks.token().child_token(),
            tasks,
            ancestor: Mutex::default(),
            changes: RwLock::new(()),
            ancestor_gone: watch::Sender::new(true),
            settled: AtomicBool::new(true),
            replacement: Notify::new(),
            turns: Mutex::default(),
            changed: watch::Sender::new(()),
        }))
    }

    /// What the rules of a captured pod do here, with questions about names redirected or not.
    pub(crate) fn capture(&self, dns: bool) -> Duty {
        let resolvers = if dns { &self.dns[..] } else { &[] };
        Duty::Capture(RuleInput::new(&self.node_ips()).with_dns(resolvers))
    }

    /// The node's own addresses.
    pub(crate) fn node_ips(&self) -> Arc<[IpAddr]> {
        Arc::clone(&self.node_ips.lock())
    }

    /// Takes over the node's addresses; true if they are others than before.
    pub(crate) fn set_node_ips(&self, now: Vec<IpAddr>) -> bool {
        let mut known = self.node_ips.lock();
        let changed = **known != *now;
        if changed {
            *known = now.into();
        }
        changed
    }

    /// Whether a former host role is still there, with connections of its own.
    pub(crate) fn has_ancestor(&self) -> bool {
        !*self.ancestor_gone.borrow()
    }

    /// Lets everybody who waits look again.
    pub(crate) fn note_change(&self) {
        self.changed.send_replace(());
    }

    /// Hears of every change.
    pub(crate) fn changes_of_state(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until the condition holds; false if it does not in time.
    pub(crate) async fn wait_until(&self, limit: Duration, condition: impl Fn() -> bool) -> bool {
        tokio::time::timeout(limit, self.wait_for(condition))
            .await
            .is_ok()
    }

    /// Waits until the condition holds; callers bound it or end with the role.
    pub(crate) async fn wait_for(&self, condition: impl Fn() -> bool) {
        let mut changes = self.changed.subscribe();
        // The sender is our own: it cannot be gone.
        while !condition() && changes.changed().await.is_ok() {}
    }

    /// One change of a pod at a time: waits for the turn of this one.
    pub(crate) async fn turn(&self, uid: &PodUid) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(uid.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// The namespace of a pod.
    pub(crate) fn netns(&self, uid: &PodUid) -> Option<Arc<NetNs>> {
        self.pods
            .lock()
            .get(uid)
            .map(|pod| Arc::clone(&pod.attachment.netns))
    }

    /// Notes in which state a pod is; returns the number of its enrolment.
    pub(crate) fn set_state(&self, uid: &PodUid, state: PodState) -> Option<u64> {
        let mut pods = self.pods.lock();
        let pod = pods.get_mut(uid)?;
        pod.state = state;
        Some(pod.epoch)
    }

    /// Offers a pod to every generation that accepts or will.
    pub(crate) fn attach(&self, uid: &PodUid) {
        let pods = self.pods.lock();
        let Some(pod) = pods.get(uid) else { return };
        self.generations
            .lock()
            .send_accepting(|| self.parcel_of(pod));
    }

    /// The message that gives a proxy a pod and its listeners.
    pub(crate) fn parcel_of(&self, pod: &Pod<Attachment>) -> Parcel {
        let ours = &pod.attachment.listeners;
        let (kinds, descriptors) = ours
            .iter()
            .filter_map(|listener| Some((listeners::kind_of(listener.place)?, listener)))
            .map(|(kind, listener)| (i32::from(kind), Handed::Kept(Arc::clone(&listener.socket))))
            .unzip();
        let attached = PodAttached {
            pod: Some(pod.names.to_wire()),
            listeners: kinds,
            node_ips: self.node_ips().iter().map(ToString::to_string).collect(),
        };
        Parcel {
            kind: Kind::Pod(attached),
            descriptors,
        }
    }

    /// The message that gives a proxy the page sockets.
    pub(crate) fn parcel_of_pages(&self) -> Parcel {
        let pages = self.pages.lock();
        let ports = pages
            .iter()
            .map(|page| u32::from(page.place.address.port()))
            .collect();
        let descriptors = pages
            .iter()
            .map(|page| Handed::Kept(Arc::clone(&page.socket)))
            .collect();
        Parcel {
            kind: Kind::Pages(PageSockets { ports }),
            descriptors,
        }
    }

    /// Writes down how a pod is now, so that it outlives this process.
    pub(crate) fn keep(&self, uid: &PodUid) -> Result<(), super::kept::KeptError> {
        let kept = self.pods.lock().get(uid).map(kept_pod);
        kept.map_or(Ok(()), |kept| self.kept.save(&kept))
    }

    /// All pods, as `list` shows them.
    pub(crate) fn pod_views(&self) -> Vec<PodView> {
        let pods = self.pods.lock();
        let mut views: Vec<_> = pods.iter().map(pod_view).collect();
        views.sort_by(|a, b| a.names.uid.cmp(&b.names.uid));
        views
    }
}

impl Attachment {
    /// Whether it may be that its questions about names are not redirected, or left alone, as is wanted.
    /// Rules of another process redirect none without a listener, but may some that are not wanted now.
    pub(crate) fn lacks_dns(&self, wanted: bool) -> bool {
        let may_be = || wanted || self.listeners.iter().any(Listener::is_for_names);
        self.dns.map_or_else(may_be, |dns| dns != wanted)
    }

    /// A namespace without listeners yet.
    pub(crate) fn new(netns: Arc<NetNs>, written: BTreeSet<Rules>) -> Self {
        Self {
            netns,
            listeners: Vec::new(),
            settings: Vec::new(),
            written,
            dns: None,
            no_dns: false,
        }
    }
}

/// A pod as it is kept and handed over.
pub(crate) fn kept_pod(pod: &Pod<Attachment>) -> KeptPod {
    let kept = KeptPod::new(
        pod.names.clone(),
        pod.namespace,
        pod.path.clone(),
        pod.state,
        pod.attachment.settings.clone(),
        pod.attachment.written.clone(),
    );
    KeptPod {
        no_dns: pod.attachment.no_dns,
        ..kept
    }
}

fn pod_view(pod: &Pod<Attachment>) -> PodView {
    PodView {
        names: pod.names.clone(),
        state: pod.state.word().to_owned(),
        netns_inode: pod.namespace.inode,
        netns: pod.path.clone(),
    }
}
