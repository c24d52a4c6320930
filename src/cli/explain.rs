//! `ambit explain --from dir:PATH SRC DST:PORT`: what would happen to a connection, and which
//! objects decide it, without any traffic.
//!
//! The steps are those of the very functions that the node agents call. What cannot be known from
//! files is assumed: pods that are enrolled are also captured.

mod place;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use ambit_decide::{
    EgressMode, Explanation, InboundQuery, OutboundPlan, OutboundQuery, Reason, Step,
    explain_inbound, explain_outbound,
};
use ambit_model::{TunnelProtocol, Workload};

use self::place::{Origins, UsageError, destination, endpoint_at, source};
use crate::config::Configuration;
use crate::config::directory::Scanner;
use crate::config::problem::Severity;
use crate::mesh_names::MeshNames;

/// The connection would be refused.
const REFUSED: u8 = 1;
/// The question cannot be answered.
const USAGE: u8 = 2;

/// What to explain.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the objects are: `dir:PATH`
    #[arg(long, value_name = "dir:PATH")]
    pub from: DirectoryPath,
    /// The pod that connects: NAMESPACE/NAME or an address
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Where it connects to: an address, a host name, or NAMESPACE/NAME of a service or a pod
    #[arg(value_name = "DST:PORT")]
    pub destination: String,
    /// Which pods to take for captured
    #[arg(long, value_enum, default_value_t)]
    pub captured: Captured,
    /// What happens to unknown destinations: ALLOW_ANY or REGISTRY_ONLY
    #[arg(long, default_value_t)]
    pub egress: EgressMode,
    /// Names of the mesh
    #[command(flatten)]
    pub names: MeshNames,
}

/// A folder, written `dir:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryPath(pub PathBuf);

impl FromStr for DirectoryPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(format!("`{text}` is not a source; write dir:PATH")),
        }
    }
}

/// Which pods to take for captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Captured {
    /// Those whose labels or namespace enrol them
    #[default]
    Enrolled,
    /// Every pod with a network of its own
    All,
    /// None
    None,
}

/// Prints the explanation; succeeds if the connection would be allowed.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> io::Result<ExitCode> {
    if let Err(error) = std::fs::metadata(&args.from.0) {
        writeln!(
            err,
            "{}: {error}; name a folder of YAML files",
            args.from.0.display()
        )?;
        return Ok(USAGE.into());
    }
    let configuration = read(args);
    let problems = configuration.problems();
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    if errors > 0 {
        writeln!(
            err,
            "{errors} errors in the objects; see `ambit vet {}`",
            args.from.0.display()
        )?;
    }
    let story = match Story::of(&configuration, args) {
        Ok(story) => story,
        Err(error) => {
            writeln!(err, "{error}")?;
            return Ok(USAGE.into());
        }
    };
    write!(out, "{}", story.text)?;
    Ok(if story.allowed {
        ExitCode::SUCCESS
    } else {
        REFUSED.into()
    })
}

fn read(args: &Args) -> Configuration {
    let mut configuration = Configuration::new(args.names.settings());
    configuration.apply(Scanner::new(&args.from.0, None).scan());
    let pods = configuration.pods().filter(|pod| match args.captured {
        Captured::Enrolled => pod.enrolled,
        Captured::All => true,
        Captured::None => false,
    });
    let captured: Vec<Arc<str>> = pods.map(|pod| pod.uid).collect();
    for uid in captured {
        configuration.set_captured(&uid, true);
    }
    configuration
}

/// The explanation as it is written.
struct Story<'a> {
    configuration: &'a Configuration,
    text: String,
    origins: Origins,
    allowed: bool,
}

impl<'a> Story<'a> {
    fn of(configuration: &'a Configuration, args: &Args) -> Result<Self, UsageError> {
        let mesh = configuration.mesh();
        let source = source(mesh, &args.source)?;
        let to = destination(configuration, source, &args.destination)?;
        let (text, origins) = (String::new(), BTreeMap::new());
        let mut story = Self {
            configuration,
            text,
            origins,
            allowed: false,
        };
        story.line(&format!("from {}", place::describe(source)));
        story.line(&format!("to   {to}"));
        if !is_captured(source) {
            story.line("\noutbound: the client is not captured, it connects as without the mesh");
            match endpoint_at(mesh, source, to) {
                Some((workload, to)) => story.arrive(source, workload, to, false),
                None => story.allow("nothing of the mesh is at the destination"),
            }
        } else {
            let query = OutboundQuery {
                source,
                destination: to,
                egress: args.egress,
                pick: 0,
            };
            story.depart(source, explain_outbound(mesh, &query));
        }
        story.finish();
        Ok(story)
    }

    fn depart(&mut self, source: &Workload, outbound: Explanation<OutboundPlan>) {
        self.line(&format!("\noutbound, decided on node {}:", source.node));
        self.steps(&outbound.steps);
        match outbound.outcome {
            Err(_) => self.allowed = false,
            Ok(OutboundPlan::Tunnel {
                authority,
                workload,
                ..
            }) => {
                self.arrive(source, &workload, authority, true);
            }
            Ok(OutboundPlan::Passthrough {
                to,
                workload: Some(workload),
                ..
            }) => {
                self.arrive(source, &workload, to, false);
            }
            Ok(OutboundPlan::Passthrough { .. }) => self.allow("it leaves the mesh in plaintext"),
            Ok(OutboundPlan::Own { .. }) => self.allow("it stays within the pod"),
        }
    }

    fn arrive(
        &mut self,
        source: &Workload,
        workload: &Workload,
        to: std::net::SocketAddr,
        tunnel: bool,
    ) {
        self.line(&format!("\ninbound, decided on node {}:", workload.node));
        self.line(&format!("  at {}", place::describe(workload)));
        if !is_captured(workload) {
            self.allow("the destination is not captured, no policy is enforced there");
            return;
        }
        let identity = source.identity();
        let same_family = |address: &&std::net::IpAddr| address.is_ipv4() == to.is_ipv4();
        let from = source
            .addresses
            .iter()
            .find(same_family)
            .or_else(|| source.addresses.first());
        let query = InboundQuery {
            workload,
            destination: to,
            source: from.map_or_else(|| to.ip(), |address| *address),
            peer: tunnel.then_some(&identity),
        };
        let inbound = explain_inbound(self.configuration.mesh(), &query);
        self.steps(&inbound.steps);
        let configuration = self.configuration;
        match inbound.outcome {
            Ok(_) => self.allowed = true,
            Err(refusal) if refusal.reason == Reason::PlaintextRefused => {
                let (namespace, name) = (&workload.namespace, &workload.name);
                if let Some(key) = configuration.peer_authentication_of(namespace, name) {
                    let origin = configuration.objects().origin(&key).cloned();
                    self.origins.insert(key.to_string(), origin);
                }
            }
            Err(_) => {}
        }
    }

    fn allow(&mut self, why: &str) {
        self.line(&format!("  {why}"));
        self.allowed = true;
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            let Some(object) = &step.object else {
                self.line(&format!("  {}", step.text));
                continue;
            };
            let (name, origin) = place::origin_of(self.configuration, object);
            self.line(&format!("  {} [{name}]", step.text));
            self.origins.insert(name, origin);
        }
    }

    fn finish(&mut self) {
        if !self.origins.is_empty() {
            self.line("\nobjects:");
        }
        for (object, origin) in std::mem::take(&mut self.origins) {
            match origin {
                Some(origin) => self.line(&format!("  {object}: {origin}")),
                None => self.line(&format!("  {object}: made by the control plane")),
            }
        }
        self.line(if self.allowed {
            "\n=> allowed"
        } else {
            "\n=> refused"
        });
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn is_captured(workload: &Workload) -> bool {
    workload.protocol == TunnelProtocol::Hbone
}

#[cfg(test)]
mod tests;
