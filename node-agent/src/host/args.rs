//! What the host role is told on its command line, and what it passes on to the other two.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ambit_cni::keeper::Keeper;
use ambit_cni::spec::Entry;
use ambit_decide::EgressMode;

use super::child::Roles;
use super::filters::Choice;
use super::resolvers;
use super::state::{Cni, Limits};

/// The node agent.
#[derive(Clone, Debug, clap::Args)]
pub struct HostArgs {
    /// Name of this node.
    #[arg(long, env = "AMBIT_NODE")]
    pub node: String,
    /// The control plane, HOST:PORT.
    #[arg(long, env = "AMBIT_CONTROL_PLANE")]
    pub control_plane: String,
    /// File with this node's token.
    #[arg(long, env = "AMBIT_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// File with the roots (PEM) that the control plane is verified against.
    #[arg(long, env = "AMBIT_ROOT_CERT")]
    pub root_cert: PathBuf,
    /// Name in the control plane's certificate.
    #[arg(long, env = "AMBIT_SERVER_NAME", default_value = "ambit-control-plane")]
    pub server_name: String,
    /// Folder of the agent's sockets; root alone may enter it.
    #[arg(long, env = "AMBIT_RUN_DIR", default_value = "/run/ambit")]
    pub run_dir: PathBuf,
    /// Folder of what outlives the agent, on a tmpfs; not inside the folder of the sockets.
    #[arg(long, env = "AMBIT_STATE_DIR", default_value = "/run/ambit-state")]
    pub state_dir: PathBuf,
    /// Folder of the container runtime's network configuration, to have new pods wait for their
    /// capture; without it they are captured once the control plane tells of them.
    #[arg(long, env = "AMBIT_CNI_CONF_DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Folder of the container runtime's plugins, to remove ours from when the mesh leaves the node.
    #[arg(long, env = "AMBIT_CNI_BIN_DIR")]
    pub cni_bin_dir: Option<PathBuf>,
    /// Namespace whose pods start without this agent, its own among them; once for each.
    #[arg(
        long = "exclude-namespace",
        env = "AMBIT_EXCLUDED_NAMESPACES",
        value_delimiter = ','
    )]
    pub excluded_namespaces: Vec<String>,
    /// An address of this node; once for each. Those on its interfaces are found without.
    #[arg(long = "node-ip", env = "AMBIT_NODE_IPS", value_delimiter = ',')]
    pub node_ips: Vec<IpAddr>,
    /// What redirects pods' connections: `auto` takes nft where it works, else iptables in a
    /// flavour that does.
    #[arg(long, env = "AMBIT_FIREWALL", default_value = "auto")]
    pub(crate) firewall: Choice,
    /// What happens to connections to unknown destinations: `ALLOW_ANY` or `REGISTRY_ONLY`.
    #[arg(long, env = "AMBIT_EGRESS", default_value = "ALLOW_ANY")]
    pub egress: EgressMode,
    /// Redirect pods' questions about names to the resolvers of /etc/resolv.conf and those given, too: the
    /// mesh answers those about its services, and passes on all others.
    #[arg(long, env = "AMBIT_DNS_CAPTURE")]
    pub dns_capture: bool,
    /// A resolver that questions are passed on to, ADDRESS or ADDRESS:PORT; once for each. It must be
    /// reachable from pods. Without any: those of /etc/resolv.conf.
    #[arg(long = "dns-upstream", env = "AMBIT_DNS_UPSTREAMS", value_delimiter = ',', value_parser = resolvers::address)]
    pub dns_upstreams: Vec<SocketAddr>,
    /// Trust domain of the mesh.
    #[arg(long, env = "AMBIT_TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Name of the cluster.
    #[arg(long, env = "AMBIT_CLUSTER", default_value = "Kubernetes")]
    pub cluster: String,
    /// Most connections that one pod may have open.
    #[arg(long, env = "AMBIT_POD_CONNECTIONS")]
    pub pod_connections: Option<usize>,
    /// Most TLS handshakes under way towards one pod; with one client an eighth of them.
    #[arg(long, env = "AMBIT_POD_HANDSHAKES")]
    pub pod_handshakes: Option<usize>,
    /// Threads of the proxy; 0 is one for each processor.
    #[arg(long, env = "AMBIT_THREADS")]
    pub threads: Option<usize>,
    /// Limit of the proxy's private memory, in MiB.
    #[arg(long, env = "AMBIT_PROXY_MEMORY", default_value_t = 1024)]
    pub proxy_memory: u64,
    /// How long a replaced proxy may live on with its open connections, such as `10m`.
    #[arg(long, env = "AMBIT_DRAIN_TIME", default_value = "10m", value_parser = duration)]
    pub drain_time: Duration,
    /// How long an agent that was told to stop waits for its successor, such as `10s`.
    #[arg(long, env = "AMBIT_HANDOVER_WAIT", default_value = "10s", value_parser = duration)]
    pub handover_wait: Duration,
    /// How long an agent that was told to stop lets open connections live on after a handover.
    #[arg(long, env = "AMBIT_STOP_TIME", default_value = "20s", value_parser = duration)]
    pub stop_time: Duration,
    /// Log lines as JSON.
    #[arg(long, env = "AMBIT_LOG_JSON")]
    pub log_json: bool,
    /// Log level, such as `info` or `info,ambit_node_agent=debug`.
    #[arg(long, env = "AMBIT_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

impl HostArgs {
    /// Times of this role.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            drain_time: self.drain_time,
            handover_wait: self.handover_wait,
            stop_time: self.stop_time,
            ..Limits::default()
        }
    }

    /// What is ours of the container runtime's network configuration.
    pub(crate) fn cni(&self) -> Option<Cni> {
        let list = self.run_dir.join("cni-namespaces.json");
        let mut entry = Entry {
            agent_socket: self.run_dir.join("agent.sock"),
            namespace_list: list.clone(),
            ..Entry::default()
        };
        entry
            .system_namespaces
            .extend(self.excluded_namespaces.iter().cloned());
        entry.system_namespaces.sort();
        entry.system_namespaces.dedup();
        let directory = self.cni_conf_dir.as_ref()?;
        let keeper = Keeper::new(directory, entry);
        Some(Cni {
            keeper,
            list,
            bin_dir: self.cni_bin_dir.clone(),
        })
    }

    /// How the other roles are started.
    pub(crate) fn roles(&self, node_ips: &[IpAddr], resolvers: &[SocketAddr]) -> Roles {
        Roles {
            proxy_memory: self.proxy_memory << 20,
            proxy_arguments: self.proxy_arguments(resolvers),
            control_arguments: self.control_arguments(node_ips),
        }
    }

    fn proxy_arguments(&self, resolvers: &[SocketAddr]) -> Vec<OsString> {
        let mut arguments = self.common_arguments();
        flag(&mut arguments, "--egress", self.egress.to_string());
        for resolver in resolvers {
            flag(&mut arguments, "--dns-upstream", resolver.to_string());
        }
        for (name, number) in [
            ("--pod-connections", self.pod_connections),
            ("--pod-handshakes", self.pod_handshakes),
            ("--threads", self.threads),
        ] {
            if let Some(number) = number {
                flag(&mut arguments, name, number.to_string());
            }
        }
        arguments
    }

    fn control_arguments(&self, node_ips: &[IpAddr]) -> Vec<OsString> {
        let mut arguments = self.common_arguments();
        flag(&mut arguments, "--control-plane", &self.control_plane);
        flag(&mut arguments, "--token-file", &self.token_file);
        flag(&mut arguments, "--root-cert", &self.root_cert);
        flag(&mut arguments, "--server-name", &self.server_name);
        flag(&mut arguments, "--state-dir", &self.state_dir);
        for ip in node_ips {
            flag(&mut arguments, "--node-ip", ip.to_string());
        }
        arguments
    }

    fn common_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        flag(&mut arguments, "--node", &self.node);
        flag(&mut arguments, "--cluster", &self.cluster);
        flag(&mut arguments, "--trust-domain", &self.trust_domain);
        flag(&mut arguments, "--log-level", &self.log_level);
        if self.log_json {
            arguments.push("--log-json".into());
        }
        arguments
    }
}

/// As one word, so that a value with a leading dash is not read as another flag.
fn flag(arguments: &mut Vec<OsString>, name: &str, value: impl Into<OsString>) {
    let mut word = OsString::from(name);
    word.push("=");
    word.push(value.into());
    arguments.push(word);
}

/// Reads `500ms`, `10s`, `5m` or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_not_a_number| format!("{text:?} is no time; expected such as 10s or 5m"))?;
    match text.strip_prefix(digits) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s" | "") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(format!("{text:?} has an unknown unit; use ms, s or m")),
    }
}

#[cfg(test)]
mod tests;
