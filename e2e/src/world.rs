//! A lab with a mesh on it and one namespace of pods: what most scenarios start from.
//!
//! Each pod has a service account and a service of its own name; the service's addresses are in
//! every pod's hosts file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::lab::address::{Family, node_v4, node_v6, vip_v4, vip_v6};
use crate::lab::{Lab, Namespace, Pod};
use crate::mesh::{Enrolment, Mesh, Options, Waypoint};
use crate::wait::wait_until;
use crate::yaml;

/// The namespace of all pods.
pub const NAMESPACE: &str = "shop";
/// Name of the Gateway, the service and the service account of a world's waypoint.
pub const WAYPOINT: &str = "waypoint";
/// Service port and target port of every service.
pub const HTTP: (u16, u16) = (80, 8080);
/// A second port, served as it is called.
pub const TCP: (u16, u16) = (9000, 9000);
/// Port of a waypoint's service, and on its pods.
const TUNNELS: (u16, u16) = (15008, 15008);
/// How long a change may take to reach every agent.
pub const SPREAD: Duration = Duration::from_secs(20);

/// Nodes, pods, and a mesh that may capture them.
#[derive(Debug)]
pub struct World {
    /// The mesh; dropped before the lab it runs on.
    pub mesh: Mesh,
    pods: Vec<Arc<Pod>>,
    /// The wires.
    pub lab: Lab,
}

impl World {
    /// Two nodes, these pods (name and node's number), none captured yet.
    pub fn prepare(pods: &[(&str, u8)], options: &Options) -> Result<Self> {
        let lab = Lab::new(2)?;
        let made: Result<Vec<_>> = pods
            .iter()
            .map(|(name, node)| lab.pod(*node, name))
            .collect();
        let made = made?;
        let hosts: String = made
            .iter()
            .zip(0..)
            .map(|(pod, index)| hosts_of(&pod.name, index))
            .collect();
        for pod in &made {
            pod.set_hosts(&hosts)?;
        }
        let objects = [
            ("cluster", cluster(&lab)),
            ("pods", objects(&made, options)),
        ];
        let mesh = Mesh::start(&lab, &objects, options)?;
        Ok(Self {
            mesh,
            pods: made,
            lab,
        })
    }

    /// As [`World::prepare`], with every pod captured and advertised.
    pub fn start(pods: &[(&str, u8)]) -> Result<Self> {
        let world = Self::prepare(pods, &Options::default())?;
        world.enrol_all()?;
        Ok(world)
    }

    /// As [`World::prepare`], with every pod captured but those of the waypoint and these, and
    /// every agent knowing of that and of what is bound. The waypoint does not run yet.
    pub fn fronted(pods: &[(&str, u8)], options: &Options, outside: &[&str]) -> Result<Self> {
        let world = Self::prepare(pods, options)?;
        let meshed = || {
            pods.iter()
                .map(|(name, _)| *name)
                .filter(|name| !outside.contains(name))
        };
        let is_waypoint = |name: &str| options.waypoints.iter().any(|waypoint| waypoint == name);
        for name in meshed().filter(|name| !is_waypoint(name)) {
            world.enrol(name)?;
        }
        for name in meshed() {
            world.mesh.await_advertised(&uid(name), true, SPREAD)?;
        }
        for service in &options.bound {
            world.await_bound(service, true)?;
        }
        Ok(world)
    }

    /// Captures every pod and waits until every agent knows.
    pub fn enrol_all(&self) -> Result<()> {
        for pod in &self.pods {
            self.enrol(&pod.name)?;
        }
        for pod in &self.pods {
            self.mesh.await_advertised(&uid(&pod.name), true, SPREAD)?;
        }
        Ok(())
    }

    /// Captures a pod.
    pub fn enrol(&self, name: &str) -> Result<()> {
        let pod = self.pod(name)?;
        let uid = uid(name);
        let what = Enrolment {
            pod: &pod,
            uid: &uid,
            namespace: NAMESPACE,
            service_account: name,
        };
        self.mesh.agent(pod.node)?.enrol(&what)?;
        Ok(())
    }

    /// Starts the waypoint in a pod that is one of its, and waits until it is ready.
    pub fn waypoint(&self, name: &str, more: &[&str]) -> Result<Waypoint> {
        self.waypoint_of(WAYPOINT, name, more)
    }

    /// As [`World::waypoint`], of another Gateway.
    pub fn waypoint_of(&self, gateway: &str, name: &str, more: &[&str]) -> Result<Waypoint> {
        let pod = self.pod(name)?;
        let waypoint = Waypoint::start(&self.mesh, gateway, pod, &self.lab, more)?;
        waypoint.await_ready()?;
        Ok(waypoint)
    }

    /// As [`World::waypoint`], with the `/etc` of its pod: it asks the resolver that this names.
    pub fn waypoint_that_resolves(&self, name: &str, more: &[&str]) -> Result<Waypoint> {
        let pod = self.pod(name)?;
        let way = Namespace::command;
        let waypoint = Waypoint::start_by(way, &self.mesh, WAYPOINT, pod, &self.lab, more)?;
        waypoint.await_ready()?;
        Ok(waypoint)
    }

    /// Waits until every agent sends what is for a service through its waypoint, or no agent does.
    pub fn await_bound(&self, service: &str, expected: bool) -> Result<()> {
        for agent in &self.mesh.agents {
            let what = format!("service {service} to be bound: {expected}");
            wait_until(&what, SPREAD, || {
                agent.pages().is_bound(service) == Some(expected)
            })?;
        }
        Ok(())
    }

    /// Captures a pod no longer.
    pub fn release(&self, name: &str) -> Result<()> {
        self.mesh.agent(self.pod(name)?.node)?.release(&uid(name))?;
        Ok(())
    }

    /// A pod by its name.
    pub fn pod(&self, name: &str) -> Result<Arc<Pod>> {
        let found = self.pods.iter().find(|pod| pod.name == name);
        found
            .cloned()
            .with_context(|| format!("this world has no pod {name}"))
    }

    /// Where a pod's service is reached.
    pub fn service(&self, name: &str, family: Family, port: u16) -> Result<SocketAddr> {
        let found = self.pods.iter().zip(0..).find(|(pod, _)| pod.name == name);
        let (_, index) = found.with_context(|| format!("this world has no service {name}"))?;
        Ok(SocketAddr::new(
            family.of(vip_v4(index), vip_v6(index)),
            port,
        ))
    }

    /// A folder for a program's files.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.lab.dir().join(name)
    }
}

/// The uid that a pod of a world has.
pub fn uid(name: &str) -> String {
    format!("uid-{name}")
}

/// The SPIFFE id of a pod of a world.
pub fn identity(name: &str) -> String {
    format!("spiffe://cluster.local/ns/{NAMESPACE}/sa/{name}")
}

/// The objects that describe a lab's nodes, and the namespace.
fn cluster(lab: &Lab) -> String {
    let mut parts = vec![yaml::namespace(NAMESPACE, true)];
    for node in lab.nodes() {
        let addresses = [
            IpAddr::V4(node_v4(node.number)),
            IpAddr::V6(node_v6(node.number)),
        ];
        parts.push(yaml::node(&node.name, &addresses));
    }
    yaml::documents(&parts)
}

fn objects(pods: &[Arc<Pod>], options: &Options) -> String {
    let mut parts = Vec::new();
    if !options.waypoints.is_empty() {
        parts.push(yaml::waypoint(NAMESPACE, WAYPOINT));
    }
    for (pod, index) in pods.iter().zip(0..) {
        let name = pod.name.as_str();
        let addresses = [IpAddr::V4(pod.v4), IpAddr::V6(pod.v6)];
        let vips = [IpAddr::V4(vip_v4(index)), IpAddr::V6(vip_v6(index))];
        let is_waypoint = options.waypoints.contains(&pod.name);
        // What belongs to the waypoint has its name.
        let owner = if is_waypoint { WAYPOINT } else { name };
        let object = yaml::PodObject {
            namespace: NAMESPACE,
            name,
            app: owner,
            gateway: is_waypoint.then_some(WAYPOINT),
            uid: &uid(name),
            node: &format!("node-{}", pod.node),
            service_account: owner,
            addresses: &addresses,
        };
        let labels = match name {
            WAYPOINT if is_waypoint => yaml::made_for(WAYPOINT),
            _ if options.bound.contains(&pod.name) => yaml::bound_to(WAYPOINT),
            _ => String::new(),
        };
        parts.push(yaml::service_account(NAMESPACE, name));
        parts.push(object.text());
        let ports = match is_waypoint {
            true => &[HTTP, TCP, TUNNELS][..],
            false => &[HTTP, TCP],
        };
        parts.push(yaml::service(NAMESPACE, name, &labels, &vips, ports));
    }
    yaml::documents(&parts)
}

fn hosts_of(name: &str, index: u8) -> String {
    let names = format!("{name} {name}.{NAMESPACE} {name}.{NAMESPACE}.svc.cluster.local");
    format!("{} {names}\n{} {names}\n", vip_v4(index), vip_v6(index))
}
