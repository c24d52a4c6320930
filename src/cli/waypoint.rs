//! `ambit waypoint generate|apply|list|status|delete`: waypoints of a cluster. The control plane
//! makes them; here only their Gateways are written, and namespaces labelled.

mod plan;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use ambit_kit::clock;
use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::plan::{State, state};
use super::access::{Access, block_on, or_said};
use super::table::Table;
use crate::cluster::call::{CallError, call};

pub use self::plan::For;

/// A waypoint is not as it should be in time.
const UNFINISHED: u8 = 1;
/// It cannot be asked for, or not be seen.
const IMPOSSIBLE: u8 = 2;
/// How often it is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Who writes, as the API server notes it for every field.
const FIELD_MANAGER: &str = "ambit-cli";

/// Waypoints.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 as asked, 1 a waypoint is not ready (in time), 2 it cannot be asked for.

Rights: get, list, patch and delete gateways; --enroll-namespace: get and patch namespaces."
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// The cluster
    #[command(flatten)]
    pub access: Access,
    /// Namespace of the waypoint, instead of the context's own
    #[arg(long, short, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Print the Gateway of a waypoint
    Generate(Shape),
    /// Write the Gateway of a waypoint
    Apply(ApplyArgs),
    /// Tell which waypoints there are
    List {
        /// Of every namespace
        #[arg(long, short = 'A')]
        all_namespaces: bool,
    },
    /// Tell how a waypoint is
    Status {
        /// Its name
        #[arg(default_value = "waypoint")]
        name: String,
    },
    /// Delete waypoints
    Delete {
        /// Their names
        #[arg(
            required_unless_present = "all",
            conflicts_with = "all",
            value_name = "NAME"
        )]
        names: Vec<String>,
        /// Every waypoint of the namespace
        #[arg(long)]
        all: bool,
    },
}

/// What a waypoint is like.
#[derive(Clone, Debug, clap::Args)]
pub struct Shape {
    /// Its name
    #[arg(long, default_value = "waypoint")]
    pub name: String,
    /// Which traffic it is for; services, if nothing is said
    #[arg(long = "for", value_enum, value_name = "TRAFFIC")]
    pub scope: Option<For>,
}

/// How to write a waypoint.
#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// What it is like
    #[command(flatten)]
    pub shape: Shape,
    /// Bind the namespace to it by label; with --wait, once it is ready
    #[arg(long)]
    pub enroll_namespace: bool,
    /// Also if the namespace is bound to another one
    #[arg(long)]
    pub overwrite: bool,
    /// Wait until it is ready
    #[arg(long, short)]
    pub wait: bool,
    /// How long to wait, such as 90s or 2m
    #[arg(long, default_value = "90s", value_parser = clock::parse_span)]
    pub timeout: Duration,
}

/// Does it.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    if let Command::Generate(shape) = &args.command {
        let gateway = plan::gateway(args.namespace.as_deref(), &shape.name, shape.scope);
        write!(out, "{}", serde_saphyr::to_string(&gateway)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let done = block_on(async {
        let client = args.access.client().await?;
        let default = client.default_namespace().to_owned();
        let namespace = args.namespace.clone().unwrap_or(default);
        let waypoints = Waypoints { client, namespace };
        match &args.command {
            Command::Generate(_) => Ok(ExitCode::SUCCESS),
            Command::Apply(apply) => Box::pin(waypoints.apply(apply, out, err)).await,
            Command::List { all_namespaces } => {
                Box::pin(waypoints.list(*all_namespaces, out)).await
            }
            Command::Status { name } => Box::pin(waypoints.status(name, out)).await,
            Command::Delete { names, all } => {
                Box::pin(waypoints.delete(names, *all, out, err)).await
            }
        }
    });
    Ok(or_said(done, err)?.unwrap_or_else(|| IMPOSSIBLE.into()))
}

/// The waypoints of a namespace.
struct Waypoints {
    client: Client,
    namespace: String,
}

impl Waypoints {
    fn gateways(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource())
    }

    async fn get(&self, name: &str) -> anyhow::Result<Option<Value>> {
        match call(self.gateways().get(name)).await {
            Ok(gateway) => Ok(Some(serde_json::to_value(gateway)?)),
            Err(CallError::Missing(_)) => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("cannot read Gateway {}/{name}", self.namespace))
            }
        }
    }

    async fn apply(
        &self,
        args: &ApplyArgs,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let (name, namespace) = (&args.shape.name, &self.namespace);
        if let Some(there) = self.get(name).await?
            && !plan::is_waypoint(&there)
        {
            bail!("Gateway {namespace}/{name} is there and is no waypoint; choose another --name");
        }
        // Before anything is written.
        let change = if args.enroll_namespace {
            self.binding(name, args.overwrite).await?
        } else {
            None
        };
        let gateway = plan::gateway(Some(namespace), name, args.shape.scope);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = call(
            self.gateways()
                .patch(name, &parameters, &Patch::Apply(gateway)),
        )
        .await;
        applied.with_context(|| {
            format!("cannot write Gateway {namespace}/{name}; are the CRDs of Gateway API there?")
        })?;
        writeln!(out, "waypoint {namespace}/{name} applied")?;
        if args.wait && !self.wait(name, args.timeout, out, err).await? {
            return Ok(UNFINISHED.into());
        }
        if let Some(change) = change {
            let all: Api<Namespace> = Api::all(self.client.clone());
            let patch = Patch::Merge(json!({"metadata": {"labels": change}}));
            let patched = call(all.patch(namespace, &PatchParams::default(), &patch)).await;
            patched.with_context(|| format!("cannot label namespace {namespace}"))?;
            writeln!(out, "namespace {namespace} is bound to waypoint {name}")?;
            if !args.wait {
                let what = "connections to its services are refused until a pod of it is ready";
                writeln!(err, "note: {what}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The labels of the namespace that are to be changed.
    async fn binding(&self, name: &str, overwrite: bool) -> anyhow::Result<Option<Value>> {
        let labels = self.labels().await?;
        let change = plan::binding(&labels, name, overwrite);
        change.map_err(|why| anyhow::anyhow!("namespace {}: {why}", self.namespace))
    }

    async fn labels(&self) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
        let namespace = &self.namespace;
        let all: Api<Namespace> = Api::all(self.client.clone());
        match call(all.get(namespace)).await {
            Ok(found) => Ok(found.metadata.labels.unwrap_or_default()),
            Err(CallError::Missing(_)) => bail!("there is no namespace {namespace}"),
            Err(error) => Err(error).with_context(|| format!("cannot read namespace {namespace}")),
        }
    }

    /// Waits until a waypoint is ready; false if it is not in time.
    async fn wait(
        &self,
        name: &str,
        timeout: Duration,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            let now = self.get(name).await?.as_ref().map(state);
            if now.as_ref().is_some_and(|state| state.is_programmed) {
                writeln!(out, "waypoint {}/{name} is ready", self.namespace)?;
                return Ok(true);
            }
            if Instant::now() >= deadline {
                let why = now.map_or_else(|| "it is gone".to_owned(), |state| state.complaint());
                writeln!(
                    err,
                    "waypoint {}/{name} is not ready: {why}",
                    self.namespace
                )?;
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn all(&self, everywhere: bool) -> anyhow::Result<Vec<Value>> {
        let gateways = if everywhere {
            Api::all_with(self.client.clone(), &resource())
        } else {
            self.gateways()
        };
        let found = match call(gateways.list(&ListParams::default())).await {
            Ok(found) => found.items,
            // Without the CRDs there are none.
            Err(CallError::Missing(_)) => Vec::new(),
            Err(error) => return Err(error).context("cannot list gateways"),
        };
        let found: Result<Vec<Value>, _> = found.into_iter().map(serde_json::to_value).collect();
        Ok(found?.into_iter().filter(plan::is_waypoint).collect())
    }

    async fn list(&self, everywhere: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let headings = [
            "NAMESPACE",
            "NAME",
            "CLASS",
            "FOR",
            "ACCEPTED",
            "PROGRAMMED",
            "ADDRESS",
        ];
        let mut table = Table::new(&headings);
        let found = self.all(everywhere).await?;
        for gateway in &found {
            let text = |path: &str| {
                let text = gateway.pointer(path).and_then(Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            let state = state(gateway);
            table.row([
                text("/metadata/namespace"),
                text("/metadata/name"),
                text("/spec/gatewayClassName"),
                plan::scope_of(gateway),
                state.of("Accepted").to_owned(),
                state.of("Programmed").to_owned(),
                state.addresses.join(","),
            ]);
        }
        if found.is_empty() {
            writeln!(out, "no waypoints")?;
        } else {
            write!(out, "{}", table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn status(&self, name: &str, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let found = self.get(name).await?.filter(plan::is_waypoint);
        let Some(gateway) = found else {
            bail!("there is no waypoint {}/{name}", self.namespace);
        };
        let state = state(&gateway);
        let mut table = Table::new(&["CONDITION", "STATUS", "MESSAGE"]);
        let State { conditions, .. } = &state;
        for (kind, status, message) in conditions {
            table.row([kind.clone(), status.clone(), message.clone()]);
        }
        write!(out, "{}", table.render())?;
        if state.is_programmed {
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "not ready: {}", state.complaint())?;
        Ok(UNFINISHED.into())
    }

    async fn delete(
        &self,
        names: &[String],
        all: bool,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let found = self.all(false).await?;
        let name_of = |gateway: &Value| {
            let name = gateway.pointer("/metadata/name").and_then(Value::as_str);
            name.unwrap_or_default().to_owned()
        };
        let there: Vec<String> = found.iter().map(name_of).collect();
        if let Some(name) = names.iter().find(|name| !there.contains(name)) {
            bail!("there is no waypoint {}/{name}", self.namespace);
        }
        for name in if all { &there } else { names } {
            let deleted = call(self.gateways().delete(name, &DeleteParams::default())).await;
            deleted.with_context(|| format!("cannot delete {}/{name}", self.namespace))?;
            writeln!(out, "waypoint {}/{name} deleted", self.namespace)?;
            // Who may not read the namespace is not told.
            let labels = self.labels().await.unwrap_or_default();
            if let Ok(None) = plan::binding(&labels, name, false) {
                let what = "is still bound to it: connections to its services are refused";
                let namespace = &self.namespace;
                writeln!(
                    err,
                    "note: namespace {namespace} {what} until the label is taken off"
                )?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        "gateway.networking.k8s.io",
        "v1",
        "Gateway",
    ))
}
