//! The ways that a connection can take from node 1 to node 2, side by side on one lab.
//!
//! Each way has a client's pod and a server's pod of its own, the same programs in them and the
//! same kernel settings, so that they can be measured in turns without changing anything.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

use super::load::{BODY, HTTP, Route};
use super::relay::{self, RULES, write_certificate};
use super::{serve, usage};
use crate::lab::{Pod, Program};
use crate::mesh::Options;
use crate::programs;
use crate::shell;
use crate::wait::wait_until;
use crate::world::{SPREAD, World, uid};

const START: Duration = Duration::from_secs(20);

/// Ports for tens of thousands of short connections in a row, on every way alike.
const SETTINGS: [&str; 2] = [
    "net.ipv4.ip_local_port_range=20000 65000",
    "net.ipv4.tcp_tw_reuse=1",
];
/// As the mesh sets it in the pods it captures.
const CONNTRACK: [&str; 4] = [
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait=10",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait=10",
    "net.netfilter.nf_conntrack_tcp_timeout_fin_wait=10",
    "net.netfilter.nf_conntrack_tcp_timeout_last_ack=10",
];

/// What stands between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Nothing.
    Direct,
    /// Two relays, plain TCP between them.
    TcpRelay,
    /// Two relays, TLS between them.
    TlsRelay,
    /// Two node agents.
    Mesh,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Direct, Self::TcpRelay, Self::TlsRelay, Self::Mesh];

    /// As a column's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::TcpRelay => "TCP relay",
            Self::TlsRelay => "TLS relay",
            Self::Mesh => "mesh",
        }
    }

    /// Names of the client's and the server's pod.
    fn pods(self) -> [&'static str; 2] {
        match self {
            Self::Direct => ["direct-client", "direct-server"],
            Self::TcpRelay => ["tcp-client", "tcp-server"],
            Self::TlsRelay => ["tls-client", "tls-server"],
            Self::Mesh => ["mesh-client", "mesh-server"],
        }
    }
}

/// One way, ready.
#[derive(Debug)]
pub struct Track {
    /// Which.
    pub way: Way,
    client: Arc<Pod>,
    server: Arc<Pod>,
    relays: Vec<Program>,
    _servers: Vec<Program>,
}

/// Every way, ready.
#[derive(Debug)]
pub struct Bed {
    tracks: Vec<Track>,
    /// The mesh and the lab; dropped after the programs that run there.
    pub world: World,
}

impl Bed {
    /// Builds these ways.
    pub fn new(ways: &[Way]) -> Result<Self> {
        let pods: Vec<(&str, u8)> = ways
            .iter()
            .flat_map(|way| way.pods().into_iter().zip([1, 2]))
            .collect();
        let world = World::prepare(&pods, &Options::default())?;
        let tracks: Result<Vec<_>> = ways.iter().map(|way| track(&world, *way)).collect();
        Ok(Self {
            tracks: tracks?,
            world,
        })
    }

    /// A way.
    pub fn track(&self, way: Way) -> Result<&Track> {
        let found = self.tracks.iter().find(|track| track.way == way);
        found.with_context(|| format!("the way `{}` was not built", way.name()))
    }

    /// The processes that carry a way's bytes, none for the direct one.
    pub fn carriers(&self, way: Way) -> Result<Vec<Pid>> {
        if way == Way::Mesh {
            return Ok(mesh_processes(&self.world));
        }
        Ok(self.track(way)?.relays.iter().map(Program::pid).collect())
    }
}

impl Track {
    /// From the client's pod to the server's.
    pub fn route(&self) -> Route<'_> {
        Route {
            from: self.client.namespace(),
            to: IpAddr::V4(self.server.v4),
        }
    }
}

/// All processes of a mesh: both agents with their children, and the control plane.
fn mesh_processes(world: &World) -> Vec<Pid> {
    let agents = world.mesh.agents.iter().filter_map(|agent| agent.program());
    let programs = agents.chain(world.mesh.control_plane.program());
    programs
        .flat_map(|program| usage::family(program.pid()))
        .collect()
}

fn track(world: &World, way: Way) -> Result<Track> {
    let [client, server] = way.pods();
    let (client, server) = (world.pod(client)?, world.pod(server)?);
    for pod in [&client, &server] {
        pod.namespace().sysctl(&SETTINGS)?;
    }
    let site =
        format!("server {{ listen {HTTP} backlog=4096; location / {{ return 200 \"{BODY}\"; }} }}");
    let dir = world.dir(&format!("nginx-{}", server.name));
    let servers = vec![
        programs::nginx(&server, &dir, &site, HTTP)?,
        start(&server, &["serve"], serve::READY)?,
    ];
    let relays = match way {
        Way::Direct => Vec::new(),
        Way::TcpRelay => relays(&client, &server, &[])?,
        Way::TlsRelay => {
            let dir = world.dir("relay");
            std::fs::create_dir_all(&dir).context("making the relay's folder")?;
            write_certificate(&dir)?;
            let dir = dir.display().to_string();
            relays(&client, &server, &["--tls", &dir])?
        }
        Way::Mesh => {
            for pod in [&client, &server] {
                world.enrol(&pod.name)?;
                world.mesh.await_advertised(&uid(&pod.name), true, SPREAD)?;
            }
            Vec::new()
        }
    };
    Ok(Track {
        way,
        client,
        server,
        relays,
        _servers: servers,
    })
}

fn relays(client: &Pod, server: &Pod, more: &[&str]) -> Result<Vec<Program>> {
    let inside = format!("--net={}", client.namespace().path().display());
    shell::feed("nsenter", &[&inside, "nft", "-f", "-"], RULES)?;
    client.namespace().sysctl(&CONNTRACK)?;
    let sides = [(server, "server"), (client, "client")];
    let start = |(pod, side): (&Pod, &str)| {
        let args = [&["relay", "--side", side], more].concat();
        start(pod, &args, relay::READY)
    };
    sides.into_iter().map(start).collect()
}

/// Starts a hidden subcommand of this very program in a pod.
fn start(pod: &Pod, args: &[&str], ready: &str) -> Result<Program> {
    let itself = std::env::current_exe().context("finding this program")?;
    let mut program = pod.start(&itself.display().to_string(), args)?;
    let what = format!("`bench {}` in pod {}", args.join(" "), pod.name);
    wait_until(&what, START, || {
        !program.is_running() || program.output().contains(ready)
    })?;
    if !program.is_running() {
        anyhow::bail!("{what} ended: {}", program.errors());
    }
    Ok(program)
}
