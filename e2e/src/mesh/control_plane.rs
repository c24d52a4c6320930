//! The control plane as a process on the wan.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{START, binary, folder};
use crate::clients::{self, Answer};
use crate::lab::address::WAN_V4;
use crate::lab::{Lab, Namespace, Program};
use crate::wait::wait_until;

/// Where agents find it.
pub(super) const PORT: u16 = 15012;
const METRICS_PORT: u16 = 15014;
const ADMIN_PORT: u16 = 15016;
const END: Duration = Duration::from_secs(20);

/// A control plane, running or stopped.
#[derive(Debug)]
pub struct ControlPlane {
    program: Option<Program>,
    wan: Arc<Namespace>,
    state: PathBuf,
    outputs: PathBuf,
    args: Vec<String>,
}

impl ControlPlane {
    pub(super) fn start(lab: &Lab, objects: &Path, more: &[String]) -> Result<Self> {
        let state = folder(&lab.memory_dir().join("control-plane"))?;
        let mut args = vec![
            "control-plane".to_owned(),
            "--from".to_owned(),
            format!("dir:{}", objects.display()),
            "--state".to_owned(),
            state.display().to_string(),
        ];
        args.extend(more.iter().cloned());
        let wan = Arc::clone(lab.wan());
        let mut control_plane = Self {
            program: None,
            wan,
            state,
            outputs: lab.dir().to_path_buf(),
            args,
        };
        control_plane.start_again()?;
        Ok(control_plane)
    }

    /// Starts it, after it was stopped or killed, on the same state, and waits until it serves.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = self.wan.enter(&binary("ambit")?.display().to_string());
        command.args(&self.args);
        let program = self
            .program
            .insert(Program::start("control-plane", command, &self.outputs)?);
        let at = SocketAddr::new(IpAddr::V4(WAN_V4), PORT);
        wait_until("the control plane to serve", START, || {
            !program.is_running() || clients::connect(&self.wan, at).is_ok()
        })?;
        if !program.is_running() {
            anyhow::bail!(
                "the control plane ended: {}{}",
                program.errors(),
                program.output()
            );
        }
        Ok(())
    }

    /// Kills it without notice.
    pub fn kill(&mut self) -> Result<()> {
        let mut program = self
            .program
            .take()
            .context("the control plane is not running")?;
        program.signal(Signal::SIGKILL)?;
        program.wait(END)?;
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(&mut self) -> Result<()> {
        let mut program = self
            .program
            .take()
            .context("the control plane is not running")?;
        program.terminate(END)?;
        Ok(())
    }

    /// The process, if it runs.
    pub fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// What it printed, stdout and stderr.
    pub fn log(&self) -> String {
        let read = |end| std::fs::read_to_string(self.outputs.join(end)).unwrap_or_default();
        format!("{}{}", read("control-plane.err"), read("control-plane.out"))
    }

    /// The text of its metrics page.
    pub fn metrics(&self) -> Result<String> {
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), METRICS_PORT);
        Ok(clients::get(&self.wan, at, "/metrics")?.body)
    }

    /// Asks a page of the admin port, which only the control plane's own machine reaches.
    pub fn admin(&self, method: &str, path: &str) -> Result<Answer> {
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ADMIN_PORT);
        clients::request(&self.wan, at, method, path)
    }

    /// The token file of a node, once the control plane has written it.
    pub fn token(&self, node: &str) -> Result<PathBuf> {
        let file = self.state.join("tokens").join(node);
        wait_until(&format!("the token of {node}"), START, || file.is_file())?;
        Ok(file)
    }

    /// The token file of a waypoint, by `NAMESPACE_NAME` of its Gateway, once it is there.
    pub fn waypoint_token(&self, gateway: &str) -> Result<PathBuf> {
        let file = self.state.join("waypoint-tokens").join(gateway);
        wait_until(&format!("the token of {gateway}"), START, || file.is_file())?;
        Ok(file)
    }

    /// The file that holds the mesh's root certificates.
    pub fn root(&self) -> PathBuf {
        self.state.join("root.pem")
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }
}
