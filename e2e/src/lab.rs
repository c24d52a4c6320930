//! Nodes, pods and the wires between them, as network namespaces.
//!
//! ```text
//!   pod --veth-- [pods bridge] node-1 --veth-- [wan bridge] --veth-- node-2 [pods bridge] --veth-- pod
//! ```
//! A node routes between its pods' bridge and the wan; there is no kube-proxy, so a service's
//! address reaches something only where the mesh captures. The control plane lives on the wan.
//! Invariant: all that a lab made, on disk too, is gone once it and its pods are dropped.

pub mod address;
mod namespace;
mod permit;
mod pod;
mod program;
mod sweep;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Uid;

use self::address::{WAN_V4, WAN_V6, bridge_v4, bridge_v6, node_v4, node_v6};
pub use self::namespace::Namespace;
use self::permit::Permit;
use self::pod::Place;
pub use self::pod::Pod;
pub use self::program::Program;
pub use self::sweep::remains;

/// A node: a namespace that routes between its pods and the wan.
#[derive(Debug)]
pub struct Node {
    /// Its number, from 1.
    pub number: u8,
    /// Its name, as in the objects: `node-1`.
    pub name: String,
    /// Its network namespace.
    pub namespace: Namespace,
    pods: AtomicU8,
}

/// Several nodes on one wire.
#[derive(Debug)]
pub struct Lab {
    nodes: Vec<Arc<Node>>,
    wan: Arc<Namespace>,
    prefix: String,
    // After the namespaces: dropped when no program can write there any more.
    dir: Folder,
    memory: Folder,
    _permit: Permit,
}

impl Lab {
    /// Builds `nodes` nodes and joins them; waits while two other labs of this process are up.
    pub fn new(nodes: u8) -> Result<Self> {
        if !Uid::effective().is_root() {
            bail!("a lab is made of network namespaces and needs root: run it with sudo");
        }
        raise_file_limit()?;
        let permit = Permit::take();
        sweep::sweep();
        let prefix = sweep::next_prefix();
        let [on_disk, in_memory] = sweep::FOLDERS;
        let dir = Folder::create(Path::new(on_disk).join(&prefix))?;
        let memory = Folder::create(Path::new(in_memory).join(&prefix))?;
        let wan = Namespace::create(&format!("{prefix}-wan"), false)?;
        wan.batch(&format!(
            "link add wan type bridge\n\
             link set wan up\n\
             addr add {WAN_V4}/24 dev wan\n\
             addr add {WAN_V6}/64 dev wan nodad\n"
        ))?;
        let mut lab = Self {
            nodes: Vec::new(),
            wan: Arc::new(wan),
            prefix,
            dir,
            memory,
            _permit: permit,
        };
        for number in 1..=nodes {
            let node = lab.build_node(number, nodes)?;
            lab.nodes.push(Arc::new(node));
        }
        Ok(lab)
    }

    /// Adds a pod to a node.
    pub fn pod(&self, node: u8, name: &str) -> Result<Arc<Pod>> {
        let home = self.node(node)?;
        let index = home.pods.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            prefix: &self.prefix,
            node,
            bridge: &home.namespace,
        };
        let pod = Pod::create(&place, name, index, self.dir())
            .with_context(|| format!("making pod {name} on {}", home.name))?;
        Ok(Arc::new(pod))
    }

    /// A node by its number.
    pub fn node(&self, number: u8) -> Result<&Arc<Node>> {
        let found = self.nodes.iter().find(|node| node.number == number);
        found.with_context(|| format!("this lab has no node {number}"))
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The namespace that holds the wan bridge, with one port `nodeN` per node.
    pub fn wan(&self) -> &Arc<Namespace> {
        &self.wan
    }

    /// A folder for files and programs' output, gone with the lab; readable by every uid.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// Such a folder on tmpfs.
    pub fn memory_dir(&self) -> &Path {
        &self.memory.0
    }

    /// What the names of all its things begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn build_node(&self, number: u8, nodes: u8) -> Result<Node> {
        let name = format!("node-{number}");
        let namespace = Namespace::create(&format!("{}-{name}", self.prefix), true)?;
        let (uplink4, uplink6) = (node_v4(number), node_v6(number));
        self.wan.batch(&format!(
            "link add node{number} type veth peer name uplink netns {}\n\
             link set node{number} master wan up\n\
             route add 10.244.{number}.0/24 via {uplink4}\n\
             route add fd00:244:{number:x}::/64 via {uplink6}\n",
            namespace.name()
        ))?;
        let (pods4, pods6) = (bridge_v4(number), bridge_v6(number));
        let mut lines = format!(
            "addr add {uplink4}/24 dev uplink\n\
             addr add {uplink6}/64 dev uplink nodad\n\
             link set uplink up\n\
             link add pods type bridge\n\
             link set pods up\n\
             addr add {pods4}/24 dev pods\n\
             addr add {pods6}/64 dev pods nodad\n"
        );
        for other in (1..=nodes).filter(|other| *other != number) {
            lines.push_str(&format!(
                "route add 10.244.{other}.0/24 via {}\n\
                 route add fd00:244:{other:x}::/64 via {}\n",
                node_v4(other),
                node_v6(other)
            ));
        }
        namespace.batch(&lines)?;
        Ok(Node {
            number,
            name,
            namespace,
            pods: AtomicU8::new(0),
        })
    }
}

/// Lets this process, which plays thousands of clients and servers, and all it starts, open as
/// many files as the machine allows.
fn raise_file_limit() -> Result<()> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("reading the file limit")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the file limit")
}

/// A folder removed on drop.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
