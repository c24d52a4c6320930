//! A waypoint as a process in a pod.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::control_plane::PORT;
use super::{Mesh, START, binary};
use crate::clients::{self, Answer};
use crate::lab::address::{Family, WAN_V4};
use crate::lab::{Lab, Namespace, Pod, Program};
use crate::wait::wait_until;
use crate::world::{NAMESPACE, uid};

const METRICS: u16 = 15020;
const READY: u16 = 15021;
const ADMIN: u16 = 15000;
const END: Duration = Duration::from_secs(60);

/// A waypoint, running.
#[derive(Debug)]
pub struct Waypoint {
    /// Its process.
    pub program: Program,
    pod: Arc<Pod>,
    outputs: PathBuf,
}

impl Waypoint {
    /// Starts that of a Gateway in a pod that the objects say is one of its, with these arguments
    /// too.
    pub fn start(
        mesh: &Mesh,
        gateway: &str,
        pod: Arc<Pod>,
        lab: &Lab,
        more: &[&str],
    ) -> Result<Self> {
        Self::start_by(Namespace::enter, mesh, gateway, pod, lab, more)
    }

    /// The same, by a way to start programs in a namespace.
    pub fn start_by(
        way: fn(&Namespace, &str) -> Command,
        mesh: &Mesh,
        gateway: &str,
        pod: Arc<Pod>,
        lab: &Lab,
        more: &[&str],
    ) -> Result<Self> {
        let token = mesh
            .control_plane
            .waypoint_token(&format!("{NAMESPACE}_{gateway}"))?;
        let (root, address) = (mesh.control_plane.root(), pod.ip(Family::V4));
        let program = binary("ambit-waypoint")?;
        let mut command = way(pod.namespace(), &program.display().to_string());
        let node = format!("node-{}", pod.node);
        command
            .args(["--control-plane", &format!("{WAN_V4}:{PORT}")])
            .args(["--namespace", NAMESPACE, "--gateway", gateway])
            .args(["--node", &node, "--pod-name", &pod.name])
            .args(["--pod-uid", &uid(&pod.name)])
            .args(["--pod-ip", &address.to_string()])
            .arg("--token-file")
            .arg(token)
            .arg("--root-cert")
            .arg(root)
            .args(more)
            .env("POD_NAME", &pod.name);
        let outputs = lab.dir().to_path_buf();
        let program = Program::start(&format!("waypoint-{}", pod.name), command, &outputs)?;
        Ok(Self {
            program,
            pod,
            outputs,
        })
    }

    /// Waits until it says that it is ready.
    pub fn await_ready(&self) -> Result<()> {
        let ready = wait_until("the waypoint to be ready", START, || {
            let answer = self.get(READY, "/healthz/ready");
            answer.is_ok_and(|answer| answer.status == 200)
        });
        ready.with_context(|| format!("its log:\n{}", self.log()))?;
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(mut self) -> Result<()> {
        self.program.terminate(END)?;
        Ok(())
    }

    /// What it printed on stderr.
    pub fn log(&self) -> String {
        let file = self.outputs.join(format!("waypoint-{}.err", self.pod.name));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// The lines of its access log.
    pub fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.access_log_file()).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str);
        lines.filter_map(Result::ok).collect()
    }

    /// Where its access log is, also when it has ended.
    pub fn access_log_file(&self) -> PathBuf {
        self.outputs.join(format!("waypoint-{}.out", self.pod.name))
    }

    /// The text of its metrics page.
    pub fn metrics(&self) -> Result<String> {
        Ok(self.get(METRICS, "/metrics")?.body)
    }

    /// What it knows.
    pub fn config_dump(&self) -> Result<Value> {
        let dump = self.get(ADMIN, "/config_dump")?.body;
        serde_json::from_str(&dump).context("the waypoint's dump is no JSON")
    }

    fn get(&self, port: u16, path: &str) -> Result<Answer> {
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        clients::get(self.pod.namespace(), at, path)
    }
}
