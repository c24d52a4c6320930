//! `ambit version`: of this program, and of the mesh of a cluster if there is a way to one.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::access::block_on;
use super::live::{
    AGENT_ADMIN, AGENTS, CONTROL_PLANE_ADMIN, CONTROL_PLANES, Cluster, Live, Wanted, is_ready,
};
use super::status::{Output, agent_version, control_plane_version};
use super::table::Table;

/// Whose versions.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Rights: list pods, and get and create pods/portforward, in the namespace \
of the mesh; without them only this program's version is told."
)]
pub struct Args {
    /// Of this program only
    #[arg(long)]
    pub client: bool,
    /// How to tell
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Versions, and how many pods run each; `unknown` for those that do not tell.
#[derive(Debug, Serialize)]
struct Versions {
    client: &'static str,
    control_planes: BTreeMap<String, usize>,
    agents: BTreeMap<String, usize>,
}

/// Prints them; a mesh that cannot be asked is no failure.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        control_planes: BTreeMap::new(),
        agents: BTreeMap::new(),
    };
    if !args.client {
        let asked = block_on(async {
            let live = Live::new(&args.cluster).await?;
            let planes = of(
                &live,
                CONTROL_PLANES,
                CONTROL_PLANE_ADMIN,
                control_plane_version,
            );
            let planes = Box::pin(planes).await?;
            let agents = Box::pin(of(&live, AGENTS, AGENT_ADMIN, agent_version)).await?;
            Ok((planes, agents))
        });
        match asked {
            Ok((planes, agents)) => (versions.control_planes, versions.agents) = (planes, agents),
            Err(error) => writeln!(err, "the mesh of the cluster is not known: {error:#}")?,
        }
    }
    match args.output {
        Output::Text => write!(out, "{}", text(&versions))?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &versions)?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn of(
    live: &Live,
    label: &str,
    port: u16,
    read: fn(&str) -> Option<String>,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let pods = live.pods(label).await?;
    let ready = pods.iter().filter(|pod| is_ready(pod));
    let names = ready.filter_map(|pod| pod.metadata.name.clone());
    let wanted = names.map(|pod| Wanted {
        pod,
        port,
        path: "/metrics",
    });
    let mut versions = BTreeMap::new();
    for (_, page) in live.pages(wanted.collect()).await {
        let version = page.ok().and_then(|page| read(&page));
        let version = version.unwrap_or_else(|| "unknown".to_owned());
        *versions.entry(version).or_default() += 1;
    }
    Ok(versions)
}

fn text(versions: &Versions) -> String {
    let mut text = format!("ambit {}\n", versions.client);
    let of = [
        ("control plane", &versions.control_planes),
        ("agent", &versions.agents),
    ];
    if of.iter().all(|(_, versions)| versions.is_empty()) {
        return text;
    }
    let mut table = Table::new(&["", "VERSION", "PODS"]);
    for (what, versions) in of {
        for (version, pods) in versions {
            table.row([what.to_owned(), version.clone(), pods.to_string()]);
        }
    }
    text.push_str(&table.render());
    text
}

#[cfg(test)]
mod tests;
