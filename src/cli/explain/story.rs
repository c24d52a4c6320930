//! The way of a connection from end to end, as it is written.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ambit_decide::{
    EgressMode, InboundQuery, OutboundPlan, OutboundQuery, Reason, Step, explain_inbound,
    explain_outbound,
};
use ambit_model::{Mesh, Target, TunnelProtocol, Workload};

use super::place::{self, Origins, UsageError, destination, endpoint_at, source};
use super::request::{Request, RequestArgs};
use super::views::Views;
use crate::config::Configuration;

/// The explanation as it is written.
pub(super) struct Story<'a> {
    pub(super) configuration: &'a Configuration,
    views: &'a Views,
    egress: EgressMode,
    /// What is asked for on the connection, if that is no matter of connections alone.
    pub(super) request: Option<Request>,
    /// How many waypoints it has come through.
    pub(super) passed: usize,
    pub(super) text: String,
    origins: Origins,
    /// Nodes whose agents decide.
    pub(super) nodes: BTreeSet<String>,
    /// Whether the connection would be let through to its end.
    pub(super) allowed: bool,
    /// How many of how many would be, where that is some of them.
    pub(super) partly: Option<(u64, u64)>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) source: &'a str,
    pub(super) destination: &'a str,
    /// What happens to unknown destinations, as far as agents do not tell.
    pub(super) egress: EgressMode,
    /// The request.
    pub(super) request: &'a RequestArgs,
}

impl<'a> Story<'a> {
    /// Objects say who is meant; agents that were asked say what is decided.
    pub(super) fn of(
        configuration: &'a Configuration,
        question: &Question<'_>,
        views: &'a Views,
    ) -> Result<Self, UsageError> {
        let mesh = configuration.mesh();
        let source = source(mesh, question.source)?;
        let to = destination(configuration, source, question.destination)?;
        let request = question.request.read(&host(mesh, &source.namespace, to));
        let mut story = Self {
            configuration,
            views,
            egress: question.egress,
            request: request.map_err(UsageError::Request)?,
            passed: 0,
            text: String::new(),
            origins: Origins::new(),
            nodes: BTreeSet::new(),
            allowed: false,
            partly: None,
        };
        story.line(&format!("from {}", place::describe(source)));
        story.line(&format!("to   {to}"));
        if !is_captured(source) {
            story.line("\noutbound: the client is not captured, it connects as without the mesh");
            match endpoint_at(mesh, &source.namespace, source, to) {
                Some((workload, to)) => story.arrive(source, workload, to, false),
                None => story.allow("nothing of the mesh is at the destination"),
            }
        } else {
            story.depart(source, to);
        }
        story.finish();
        Ok(story)
    }

    fn depart(&mut self, source: &Workload, to: SocketAddr) {
        let (mesh, egress) = self.side("outbound", &source.node);
        let Some(source) = mesh.workload(&source.uid) else {
            self.line(
                "  the agent does not know this pod yet: its connections wait, then are refused",
            );
            return;
        };
        let outbound = explain_outbound(
            mesh,
            &OutboundQuery {
                source,
                destination: to,
                egress,
                pick: 0,
                avoid: None,
            },
        );
        self.steps(&outbound.steps);
        match outbound.outcome {
            Err(_) => self.allowed = false,
            Ok(OutboundPlan::Tunnel {
                authority,
                workload,
                waypoint,
                ..
            }) => {
                if waypoint {
                    self.pass(source, &workload, authority);
                } else {
                    self.arrive(source, &workload, authority, true);
                }
            }
            Ok(OutboundPlan::Passthrough {
                to,
                workload: Some(workload),
                ..
            }) => {
                self.arrive(source, &workload, to, false);
            }
            Ok(OutboundPlan::Passthrough { .. }) => self.allow("it leaves the mesh in plaintext"),
            Ok(OutboundPlan::Resolve { hostname, .. }) => self.allow(&format!(
                "it leaves the mesh in plaintext, to where {hostname} leads: not to a pod or service of the mesh"
            )),
            Ok(OutboundPlan::Own { .. }) => self.allow("it stays within the pod"),
        }
    }

    pub(super) fn arrive(
        &mut self,
        source: &Workload,
        workload: &Workload,
        to: SocketAddr,
        tunnel: bool,
    ) {
        let (mesh, _) = self.side("inbound", &workload.node);
        self.line(&format!("  at {}", place::describe(workload)));
        if !is_captured(workload) {
            self.allow("the destination is not captured, no policy is enforced there");
            return;
        }
        let Some(workload) = mesh.workload(&workload.uid) else {
            self.line("  the agent does not know this pod yet: it lets nobody in");
            return;
        };
        let identity = source.identity();
        let query = InboundQuery {
            workload,
            destination: to,
            source: address_for(source, to),
            peer: tunnel.then_some(&identity),
        };
        let inbound = explain_inbound(mesh, &query);
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

    /// Begins the part of one node; answers with what is decided by there.
    fn side(&mut self, direction: &str, node: &str) -> (&'a Mesh, EgressMode) {
        self.nodes.insert(node.to_owned());
        let (known, by) = match self.views.on(node) {
            None => ((self.configuration.mesh(), self.egress), String::new()),
            Some(Ok(view)) => (
                (&view.mesh, view.egress),
                ", with what its agent knows".to_owned(),
            ),
            Some(Err(why)) => (
                (self.configuration.mesh(), self.egress),
                format!(", as the objects say (its agent cannot be asked: {why})"),
            ),
        };
        self.line(&format!("\n{direction}, decided on node {node}{by}:"));
        known
    }

    pub(super) fn allow(&mut self, why: &str) {
        self.line(&format!("  {why}"));
        self.allowed = true;
    }

    pub(super) fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.object {
                Some(object) => self.step(&step.text, object),
                None => self.line(&format!("  {}", step.text)),
            }
        }
    }

    /// A step that an object decides.
    pub(super) fn step(&mut self, text: &str, object: &str) {
        let (name, origin) = place::origin_of(self.configuration, object);
        self.line(&format!("  {text} [{name}]"));
        self.origins.insert(name, origin);
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
        let verdict = match (self.allowed, self.partly) {
            (true, _) => "allowed".to_owned(),
            (false, Some((well, whole))) => format!("refused, but for {well} of {whole}"),
            (false, None) => "refused".to_owned(),
        };
        self.line(&format!("\n=> {verdict}"));
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The host that a client of a namespace would ask for at an address.
pub(super) fn host(mesh: &Mesh, client: &str, to: SocketAddr) -> String {
    match mesh.target_for(client, to) {
        Target::Service(service, _) => service.name.hostname.to_string(),
        _ => to.ip().to_string(),
    }
}

/// The address that a workload connects from.
pub(super) fn address_for(source: &Workload, to: SocketAddr) -> IpAddr {
    let same_family = |address: &&IpAddr| address.is_ipv4() == to.is_ipv4();
    let mut addresses = source.addresses.iter();
    let from = addresses
        .find(same_family)
        .or_else(|| source.addresses.first());
    from.map_or_else(|| to.ip(), |address| *address)
}

fn is_captured(workload: &Workload) -> bool {
    workload.protocol == TunnelProtocol::Hbone
}
