//! A pod: a network namespace behind its node's bridge, with one address of each family.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::address::{Family, bridge_v4, bridge_v6, pod_v4, pod_v6};
use super::namespace::Namespace;
use super::program::Program;
use crate::shell;

/// A pod and where it is reached.
#[derive(Debug)]
pub struct Pod {
    /// Its name, as in the objects.
    pub name: String,
    /// The number of its node.
    pub node: u8,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    namespace: Namespace,
    outputs: PathBuf,
    started: AtomicU32,
}

impl Pod {
    /// Makes the namespace and joins it to the bridge of `node` as port `pINDEX`.
    pub(super) fn create(place: &Place<'_>, name: &str, index: u8, outputs: &Path) -> Result<Self> {
        let namespace = Namespace::create(&format!("{}-{name}", place.prefix), false)?;
        let (v4, v6) = (pod_v4(place.node, index), pod_v6(place.node, index));
        place.bridge.batch(&format!(
            "link add p{index} type veth peer name eth0 netns {}\n\
             link set p{index} master pods up\n",
            namespace.name()
        ))?;
        let (gateway4, gateway6) = (bridge_v4(place.node), bridge_v6(place.node));
        namespace.batch(&format!(
            "addr add {v4}/24 dev eth0\n\
             addr add {v6}/64 dev eth0 nodad\n\
             link set eth0 up\n\
             route add default via {gateway4}\n\
             route add default via {gateway6}\n"
        ))?;
        // Nothing answers names in a lab but the hosts file: fail at once instead of asking.
        fs::write(
            namespace.etc().join("resolv.conf"),
            "options timeout:1 attempts:1\n",
        )
        .context("writing a pod's resolv.conf")?;
        let outputs = outputs.to_path_buf();
        let started = AtomicU32::new(0);
        let pod = Self {
            name: name.to_owned(),
            node: place.node,
            v4,
            v6,
            namespace,
            outputs,
            started,
        };
        pod.set_hosts("")?;
        Ok(pod)
    }

    /// Its address of one family.
    pub fn ip(&self, family: Family) -> IpAddr {
        family.of(self.v4, self.v6)
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Gives programs that are started from now on, or that read the file again, these names.
    pub fn set_hosts(&self, lines: &str) -> Result<()> {
        let name = &self.name;
        let hosts = format!(
            "127.0.0.1 localhost\n::1 localhost\n{} {name}\n{} {name}\n{lines}",
            self.v4, self.v6
        );
        fs::write(self.namespace.etc().join("hosts"), hosts).context("writing a pod's hosts file")
    }

    /// Has programs that are started from now on ask this resolver about names.
    pub fn set_resolver(&self, resolver: Ipv4Addr) -> Result<()> {
        let text = format!("nameserver {resolver}\noptions timeout:2 attempts:3\n");
        let file = self.namespace.etc().join("resolv.conf");
        fs::write(file, text).context("writing a pod's resolv.conf")
    }

    /// Starts a program in the pod; it runs until the answer is dropped.
    pub fn start(&self, program: &str, args: &[&str]) -> Result<Program> {
        let mut command = self.namespace.command(program);
        command.args(args);
        self.start_command(program, command)
    }

    /// Starts a command made by [`Namespace::command`].
    pub fn start_command(&self, program: &str, command: Command) -> Result<Program> {
        let turn = self.started.fetch_add(1, Ordering::Relaxed);
        let short = Path::new(program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let name = format!("{}-{short}-{turn}", self.name);
        Program::start(&name, command, &self.outputs)
    }

    /// Runs a program in the pod to its end and answers its stdout.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.namespace.command(program);
        let what = format!("{program} {} (in pod {})", args.join(" "), self.name);
        shell::finish(command.args(args), &what)
    }
}

/// Where a pod is put.
pub(super) struct Place<'a> {
    /// What the namespace's name begins with.
    pub(super) prefix: &'a str,
    /// The node's number.
    pub(super) node: u8,
    /// The node's namespace, which holds the bridge.
    pub(super) bridge: &'a Namespace,
}
