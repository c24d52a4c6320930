//! `ambit uninstall`: has the mesh leave every node of a cluster, before what it is made of is
//! deleted. The chart runs it as a job ahead of `helm uninstall`.
//!
//! It asks by the ConfigMap `ambit-uninstall`, in which the control plane notes the nodes that have
//! been left. When all have, it deletes what was published in other namespaces, and the ConfigMap.
//! Asking twice is the same as once.

mod progress;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use ambit_kit::clock;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::Instant;

use self::progress::Progress;
use super::access::{Access, block_on};
use super::live::{AGENTS, CONTROL_PLANES, is_ready};
use crate::cluster::call::{CallError, call};
use crate::cluster::leaving::NAME;
use crate::cluster::{ROOTS, labels, redirection};

/// Not every node has been left.
const UNFINISHED: u8 = 1;
/// How often it is looked how far it is, and how often that is said.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What to leave.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Namespace of the mesh
    #[arg(long, env = "AMBIT_NAMESPACE", default_value = "ambit-system")]
    pub namespace: String,
    /// Wait until every node has been left, and delete what was published in other namespaces
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 90s or 2m
    #[arg(long, default_value = "2m", value_parser = clock::parse_span)]
    pub timeout: Duration,
    /// The cluster
    #[command(flatten)]
    pub access: Access,
}

/// Asks, and waits if it is to.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = args.access.client().await?;
        let departure = Departure {
            maps: Api::namespaced(client.clone(), &args.namespace),
            agents: Api::namespaced(client.clone(), &args.namespace),
            client,
        };
        departure.ask().await?;
        if !args.wait {
            writeln!(
                out,
                "asked; `ambit uninstall --wait` tells when every node has been left"
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        departure.until_left(args.timeout, out, err).await
    })
}

/// The way to what is asked and answered.
struct Departure {
    client: Client,
    maps: Api<ConfigMap>,
    agents: Api<Pod>,
}

impl Departure {
    async fn ask(&self) -> anyhow::Result<()> {
        let request = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "labels": labels()},
        });
        let parameters = PatchParams::apply("ambit-uninstall").force();
        let asked = call(self.maps.patch(NAME, &parameters, &Patch::Apply(request))).await;
        asked.with_context(|| format!("cannot write ConfigMap {NAME}"))?;
        Ok(())
    }

    /// Waits, saying how far it is, and clears up.
    async fn until_left(
        &self,
        timeout: Duration,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let deadline = Instant::now() + timeout;
        let mut say_at = Instant::now();
        let mut progress = self.look().await?;
        while !progress.waiting.is_empty() && Instant::now() < deadline {
            if say_at <= Instant::now() {
                writeln!(out, "{progress}")?;
                out.flush()?;
                say_at += SAY_EVERY;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            match self.look().await {
                Ok(now) => progress = now,
                Err(error) => writeln!(err, "{error:#}; asked again")?,
            }
        }
        writeln!(out, "{progress}")?;
        for node in &progress.unreachable {
            writeln!(
                err,
                "warning: node {node} is not ready and was not left: remove it from the cluster, or \
                 reboot it before it comes back"
            )?;
        }
        if !progress.waiting.is_empty() {
            self.explain(&progress, err).await?;
            return Ok(UNFINISHED.into());
        }
        self.clear(deadline, out, err).await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn look(&self) -> anyhow::Result<Progress> {
        let request = match call(self.maps.get(NAME)).await {
            Ok(request) => request,
            Err(CallError::Missing(_)) => {
                anyhow::bail!("ConfigMap {NAME} was deleted meanwhile: ask again")
            }
            Err(error) => return Err(error).context("cannot read how far it is"),
        };
        let of_agents = ListParams::default().labels(AGENTS);
        let agents = call(self.agents.list(&of_agents)).await;
        let agents = agents.context("cannot list the agents")?.items;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = call(nodes.list(&ListParams::default())).await;
        let nodes = nodes.context("cannot list the nodes")?.items;
        Ok(Progress::of(&request, &agents, &nodes))
    }

    /// Says what keeps nodes from being left, as far as that can be seen from here.
    async fn explain(&self, progress: &Progress, err: &mut impl Write) -> anyhow::Result<()> {
        let names: Vec<&str> = progress.waiting.iter().map(String::as_str).collect();
        writeln!(
            err,
            "error: still on {}: {}",
            counted(names.len()),
            names.join(", ")
        )?;
        let planes = ListParams::default().labels(CONTROL_PLANES);
        let planes = call(self.agents.list(&planes)).await;
        if planes.is_ok_and(|planes| !planes.items.iter().any(is_ready)) {
            writeln!(err, "  no control plane is ready, so no agent hears of it")?;
        }
        writeln!(
            err,
            "  see the logs of the agents there; ask again with `ambit uninstall --wait`. To stay \
             instead, delete ConfigMap {NAME}, then restart the control plane and the agents"
        )?;
        Ok(())
    }

    /// Deletes what the mesh has written beside its own namespace, and the request.
    async fn clear(
        &self,
        deadline: Instant,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<()> {
        let all: Api<ConfigMap> = Api::all(self.client.clone());
        let published = ListParams::default().fields(&format!("metadata.name={ROOTS}"));
        let published = call(all.list(&published)).await;
        let published = published.context("cannot list the published roots")?.items;
        let ours = published.iter().filter(|map| is_ours(map));
        let namespaces: Vec<&str> = ours
            .filter_map(|map| map.meta().namespace.as_deref())
            .collect();
        for namespace in &namespaces {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            match call(maps.delete(ROOTS, &DeleteParams::default())).await {
                Ok(_) | Err(CallError::Missing(_)) => {}
                Err(error) => writeln!(err, "warning: {ROOTS} stays in {namespace}: {error}")?,
            }
        }
        writeln!(out, "{ROOTS} deleted in {} namespaces", namespaces.len())?;
        let marked = self.until_unmarked(deadline).await?;
        if marked > 0 {
            let annotation = redirection::ANNOTATION;
            writeln!(
                err,
                "warning: {marked} pods still have the annotation {annotation}"
            )?;
        }
        match call(self.maps.delete(NAME, &DeleteParams::default())).await {
            Ok(_) | Err(CallError::Missing(_)) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("ConfigMap {NAME} stays")),
        }
    }

    /// Waits until the control plane has taken its marks off all pods; answers how many have one.
    async fn until_unmarked(&self, deadline: Instant) -> anyhow::Result<usize> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        loop {
            let found = call(pods.list_metadata(&ListParams::default())).await;
            let found = found.context("cannot list the pods")?.items;
            let is_marked = |annotations: &std::collections::BTreeMap<String, String>| {
                annotations.contains_key(redirection::ANNOTATION)
            };
            let annotations = found
                .iter()
                .filter_map(|pod| pod.metadata.annotations.as_ref());
            let marked = annotations.filter(|found| is_marked(found)).count();
            if marked == 0 || Instant::now() >= deadline {
                return Ok(marked);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn is_ours(map: &ConfigMap) -> bool {
    let found = map.meta().labels.clone().unwrap_or_default();
    labels()
        .iter()
        .all(|(key, value)| found.get(key) == Some(value))
}

fn counted(nodes: usize) -> String {
    let plural = if nodes == 1 { "" } else { "s" };
    format!("{nodes} node{plural}")
}
