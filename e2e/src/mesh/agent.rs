//! One node's agent as a process, and its host role's socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::control_plane::PORT;
use super::pages::Pages;
use super::{Options, binary, folder};
use crate::lab::address::{WAN_V4, bridge_v4, bridge_v6, node_v4, node_v6};
use crate::lab::{Node, Pod, Program};

const ANSWER: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(30);
/// How much of a log is shown when something failed.
const LOG_END: usize = 4000;

/// A node agent, running or stopped.
#[derive(Debug)]
pub struct Agent {
    program: Option<Program>,
    node: Arc<Node>,
    run: PathBuf,
    outputs: PathBuf,
    args: Vec<String>,
    programs: Option<PathBuf>,
}

/// Which pod is to be captured, as the CNI plugin would say it.
#[derive(Debug, Clone)]
pub struct Enrolment<'a> {
    /// The pod's network namespace and addresses.
    pub pod: &'a Pod,
    /// Its uid.
    pub uid: &'a str,
    /// Its Kubernetes namespace.
    pub namespace: &'a str,
    /// Its service account.
    pub service_account: &'a str,
}

impl Agent {
    pub(super) fn new(node: Arc<Node>, home: &Path, outputs: PathBuf) -> Result<Self> {
        let run = folder(home)?;
        Ok(Self {
            program: None,
            node,
            run,
            outputs,
            args: Vec::new(),
            programs: None,
        })
    }

    pub(super) fn configure(&mut self, token: &Path, root: &Path, options: &Options) {
        let number = self.node.number;
        self.args = vec![
            "--control-plane".to_owned(),
            format!("{WAN_V4}:{PORT}"),
            "--token-file".to_owned(),
            token.display().to_string(),
            "--root-cert".to_owned(),
            root.display().to_string(),
            "--run-dir".to_owned(),
            self.run.join("run").display().to_string(),
            "--state-dir".to_owned(),
            self.run.join("state").display().to_string(),
        ];
        let addresses = [
            node_v4(number).to_string(),
            node_v6(number).to_string(),
            bridge_v4(number).to_string(),
            bridge_v6(number).to_string(),
        ];
        for address in addresses {
            self.args.extend(["--node-ip".to_owned(), address]);
        }
        self.args.extend(options.agent.iter().cloned());
        self.programs.clone_from(&options.programs);
    }

    /// Has an option, `--name`, in every start from now on, in place of what it was given before.
    pub fn set(&mut self, option: &str, value: &str) {
        let given = format!("{option}=");
        self.args.retain(|argument| !argument.starts_with(&given));
        self.args.push(given + value);
    }

    /// Has an option that stands alone, `--name`, in every start from now on, or has it no longer.
    pub fn switch(&mut self, option: &str, on: bool) {
        self.args.retain(|argument| argument != option);
        if on {
            self.args.push(option.to_owned());
        }
    }

    /// Starts it, or another one while the first still runs: then that one is kept running and
    /// answered, to be dropped by the caller.
    pub fn start(&mut self) -> Result<Option<Program>> {
        let mut command = self.node.namespace.enter("env");
        if let Some(programs) = &self.programs {
            command.arg(format!("PATH={}", programs.display()));
        }
        command.arg(binary("ambit-node-agent")?);
        // One setting from the environment: as good as an argument, and only the host role's.
        command.args(&self.args).env("AMBIT_NODE", &self.node.name);
        let name = format!("agent-{}", self.node.name);
        Ok(self
            .program
            .replace(Program::start(&name, command, &self.outputs)?))
    }

    /// Kills the host role without notice; what it started is left to itself.
    pub fn kill_host(&mut self) -> Result<()> {
        let program = self.program.as_mut().context("the agent is not running")?;
        program.signal(Signal::SIGKILL)?;
        program.wait(END)?;
        Ok(())
    }

    /// Takes the whole agent, all roles, away at once: it ends when the answer is dropped.
    pub fn stop(&mut self) -> Result<Program> {
        self.program.take().context("the agent is not running")
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(&mut self) -> Result<()> {
        let mut program = self.program.take().context("the agent is not running")?;
        program.terminate(END)?;
        Ok(())
    }

    /// The host role's process, if the agent runs.
    pub fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// The node it serves.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Its pages.
    pub fn pages(&self) -> Pages<'_> {
        Pages::new(
            &self.node.namespace,
            self.outputs.join(format!("agent-{}.out", self.node.name)),
        )
    }

    /// The folder of its sockets.
    pub fn run_dir(&self) -> PathBuf {
        self.run.join("run")
    }

    /// The folder of its state.
    pub fn state_dir(&self) -> PathBuf {
        self.run.join("state")
    }

    /// The end of what it printed on stderr, for a failed scenario.
    pub fn log_end(&self) -> String {
        let file = self.outputs.join(format!("agent-{}.err", self.node.name));
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let start = text.len().saturating_sub(LOG_END);
        text.char_indices()
            .find(|(at, _)| *at >= start)
            .map_or_else(String::new, |(at, _)| {
                text.get(at..).unwrap_or_default().to_owned()
            })
    }

    /// Captures a pod; answers once the host role says it is captured.
    pub fn enrol(&self, what: &Enrolment<'_>) -> Result<Value> {
        let pod = what.pod;
        self.ask(&json!({
            "op": "enrol",
            "netns": pod.namespace().path(),
            "uid": what.uid,
            "namespace": what.namespace,
            "name": pod.name,
            "service_account": what.service_account,
            "ips": [pod.v4, pod.v6],
        }))
    }

    /// Captures a pod no longer.
    pub fn release(&self, uid: &str) -> Result<Value> {
        self.ask(&json!({ "op": "release", "uid": uid }))
    }

    /// What the host role knows.
    pub fn list(&self) -> Result<Value> {
        self.ask(&json!({ "op": "list" }))
    }

    /// Starts a new generation of the proxy role.
    pub fn replace_proxy(&self) -> Result<Value> {
        self.ask(&json!({ "op": "replace-proxy" }))
    }

    /// The process ids of the proxy generations that live, oldest first.
    pub fn proxies(&self) -> Result<Vec<i32>> {
        let listed = self.list()?;
        let proxies = listed
            .get("proxies")
            .and_then(Value::as_array)
            .context("no proxies listed")?;
        let pid = |proxy: &Value| proxy.get("pid")?.as_i64()?.try_into().ok();
        Ok(proxies.iter().filter_map(pid).collect())
    }

    fn ask(&self, request: &Value) -> Result<Value> {
        let socket = self.run_dir().join("agent.sock");
        let stream = UnixStream::connect(&socket)
            .with_context(|| format!("connecting to {}", socket.display()))?;
        stream.set_read_timeout(Some(ANSWER))?;
        (&stream)
            .write_all(format!("{request}\n").as_bytes())
            .context("asking the host role")?;
        let mut line = String::new();
        BufReader::new(&stream)
            .read_line(&mut line)
            .context("reading the host role's answer")?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("the host role answered {line:?}"))?;
        if answer.get("ok") != Some(&Value::Bool(true)) {
            bail!(
                "the host role of {} refused {request}: {answer}",
                self.node.name
            );
        }
        Ok(answer)
    }
}
