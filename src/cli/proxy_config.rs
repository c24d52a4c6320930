//! `ambit proxy-config NODE|NAMESPACE/POD [SECTION]`: what the agent of a node knows and does at
//! this moment.
//!
//! With a pod, certificates and connections are those of the pod alone; the rest of what an agent
//! knows is the same for all pods of its node.

mod sections;

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde_json::Value;

use self::sections::Of;
use super::access::{block_on, or_said};
use super::live::{AGENT_ADMIN, AGENTS, Cluster, Live, Wanted, is_ready, node_of};
use super::status::Output;
use crate::cluster::call::{CallError, call};

/// The agent cannot be asked.
const UNKNOWN: u8 = 2;

/// What of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Section {
    /// How it is, in numbers
    #[default]
    Summary,
    /// Whom it knows
    Workloads,
    /// Services
    Services,
    /// Authorization policies
    Policies,
    /// Certificates of its pods
    Certificates,
    /// Connections that are open
    Connections,
}

/// Whose, and what of it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit code: 0, or 2 if the agent cannot be asked.

Rights: list pods, and get and create pods/portforward, in the namespace of the mesh; for a pod \
also get it.")]
pub struct Args {
    /// A node, or NAMESPACE/POD for the agent of its node
    #[arg(value_name = "NODE|NAMESPACE/POD")]
    pub target: String,
    /// What of it
    #[arg(value_enum, default_value_t)]
    pub section: Section,
    /// How to tell
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Asks the agent, and prints.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let answer = block_on(async {
        let live = Live::new(&args.cluster).await?;
        let of = target(&live, &args.target).await?;
        let page = Box::pin(ask(&live, &of, args.section)).await?;
        Ok((of, page))
    });
    let Some((of, page)) = or_said(answer, err)? else {
        return Ok(UNKNOWN.into());
    };
    let part = sections::part(&page, args.section, &of);
    match args.output {
        Output::Text => write!(out, "{}", sections::text(&part, args.section))?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &part)?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The node, and the pod if there is one.
async fn target(live: &Live, text: &str) -> anyhow::Result<Of> {
    let Some((namespace, name)) = text.split_once('/') else {
        return Ok(Of {
            node: text.to_owned(),
            ..Of::default()
        });
    };
    let pods: Api<Pod> = Api::namespaced(live.client.clone(), namespace);
    let pod = match call(pods.get(name)).await {
        Ok(pod) => pod,
        Err(CallError::Missing(_)) => bail!("there is no pod {text}"),
        Err(error) => return Err(error).with_context(|| format!("cannot read pod {text}")),
    };
    let node = node_of(&pod).to_owned();
    if node.is_empty() {
        bail!("pod {text} runs on no node yet");
    }
    let ips = pod
        .status
        .iter()
        .flat_map(|status| status.pod_ips.iter().flatten());
    let addresses: Vec<IpAddr> = ips.filter_map(|ip| ip.ip.parse().ok()).collect();
    let account = pod.spec.and_then(|spec| spec.service_account_name);
    let account = account.unwrap_or_else(|| "default".to_owned());
    Ok(Of {
        node,
        addresses,
        account: Some(format!("/ns/{namespace}/sa/{account}")),
    })
}

async fn ask(live: &Live, of: &Of, section: Section) -> anyhow::Result<Value> {
    let agents = live.pods(AGENTS).await;
    let agents = agents.with_context(|| format!("cannot list the pods of {}", live.namespace))?;
    let mut there = agents.iter().filter(|agent| node_of(agent) == of.node);
    let mut agent = there.clone().find(|agent| is_ready(agent));
    agent = agent.or_else(|| there.next());
    let Some(name) = agent.and_then(|agent| agent.metadata.name.clone()) else {
        bail!("no agent runs on node {}", of.node);
    };
    let path = match section {
        Section::Connections => "/debug/connections",
        _ => "/config_dump",
    };
    let wanted = Wanted {
        pod: name,
        port: AGENT_ADMIN,
        path,
    };
    let page = live.page(&wanted).await;
    let page = page.with_context(|| format!("agent {} cannot be asked", wanted.pod))?;
    serde_json::from_str(&page).with_context(|| format!("{path} of {} is no JSON", wanted.pod))
}
