//! What Istio's `DestinationRule`s come to for one service.
//!
//! - Who sends requests to the endpoints is the waypoint: a rule counts if it is of the waypoint's
//!   namespace, or else of the service's, or else of a root of the mesh, and exported to the
//!   waypoint's namespace. (So it is with Istio's waypoints. Rules that clients wrote in namespaces
//!   of their own do not count: what there is at once, and who is ejected, is one for all clients.)
//! - Within the namespace that decides one that names the host in full goes before one that names it
//!   by a wildcard, and a longer wildcard before a shorter one.
//! - What is left is put together, the oldest first, then by name: the first with a `trafficPolicy`
//!   decides what holds for the whole service, subsets are added to those that are there.
//! - A subset's policy goes over the service's, field by field of the policy; what is said of a port
//!   takes the place of all that is said of the others.

mod findings;
mod keepalive;
mod named;
mod policy;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use ambit_model::{GatewayAddress, ServiceTraffic, Subset};

use self::policy::policies;
use self::tls::Towards;
use super::waypoint::{Bound, waypoint};
use super::{Inputs, service_entry, subject};
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::metadata::Metadata;
use crate::config::objects::virtual_service::hosts::{Export, Host};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Severity};

pub use self::findings::findings as rule_findings;

/// What destination rules come to for one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslatedTraffic {
    /// What holds, if somebody says something.
    pub traffic: Option<ServiceTraffic>,
    /// What is said of each rule that may be for the service.
    pub verdicts: BTreeMap<ObjectKey, RuleVerdict>,
}

/// What is said of a destination rule, for one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleVerdict {
    /// Whether anything of it holds.
    pub in_force: bool,
    /// What does not.
    pub findings: Vec<(Severity, Finding)>,
}

/// A rule that may be for a service.
struct Rule<'a> {
    key: &'a ObjectKey,
    object: &'a DestinationRule,
    /// By whose namespace it is: the first that has one decides.
    rank: usize,
    /// How much of the name its host says.
    precision: usize,
}

type Verdicts = BTreeMap<ObjectKey, RuleVerdict>;

/// What rules may be about.
struct Ruled<'a> {
    /// Its full name.
    host: Arc<str>,
    /// The service of the cluster that it is, if it is one.
    service: Option<&'a ObjectKey>,
    namespace: &'a Arc<str>,
    /// What is said of the object: whether it is bound to a waypoint.
    metadata: &'a Metadata,
    /// Numbers of its ports.
    ports: BTreeSet<u16>,
}

pub(super) fn translate(inputs: &Inputs<'_>, service: &ObjectKey) -> TranslatedTraffic {
    let Some(of) = ruled(inputs, service) else {
        return TranslatedTraffic::default();
    };
    let mut verdicts = Verdicts::new();
    let rules = deciding(inputs, &of, &mut verdicts);
    let mut traffic = (!rules.is_empty()).then(|| merged(&rules, &of, &mut verdicts));
    if let (Some(traffic), Some(first)) = (&mut traffic, rules.first()) {
        settle(inputs, traffic, first, &mut verdicts);
    }
    if let Some(way) = service_entry::way_of(inputs, service) {
        for rule in &rules {
            let found = named::findings(&of.host, way, rule.object);
            let found = found
                .into_iter()
                .map(|finding| (Severity::Warning, finding));
            let verdict = verdicts.entry(rule.key.clone()).or_default();
            verdict.findings.extend(found);
        }
    }
    TranslatedTraffic { traffic, verdicts }
}

/// A service of the cluster, or a host of service entries.
fn ruled<'a>(inputs: &Inputs<'a>, service: &'a ObjectKey) -> Option<Ruled<'a>> {
    let subject = subject::of(inputs, service)?;
    Some(Ruled {
        host: inputs.service_name(service).hostname,
        service: (service.kind == Kind::Service).then_some(service),
        namespace: &service.namespace,
        metadata: subject.metadata,
        ports: subject.ports.into_iter().map(|(port, _)| port).collect(),
    })
}

/// The subset of that name is there.
pub(super) fn has_subset(inputs: &Inputs<'_>, service: &ObjectKey, subset: &str) -> bool {
    let Some(ruled) = ruled(inputs, service) else {
        return false;
    };
    let rules = deciding(inputs, &ruled, &mut Verdicts::new());
    let mut subsets = rules.iter().flat_map(|rule| &rule.object.spec.subsets);
    subsets.any(|there| *there.name == *subset)
}

/// Says whose Secrets the policies of a service name. Rules that hold together are of one namespace, but for those
/// of several roots of the mesh; and only a waypoint of that namespace is given its Secrets.
fn settle(
    inputs: &Inputs<'_>,
    traffic: &mut ServiceTraffic,
    first: &Rule<'_>,
    verdicts: &mut Verdicts,
) {
    let own = &*first.key.namespace;
    let elsewhere =
        "tls.credentialName: Secrets are given to waypoints of their own namespace only";
    let namespace = match (inputs.settings.reads_credentials, first.rank) {
        (false, _) => Err(tls::NOT_READ.0),
        (true, 0) => Ok(own),
        (true, _) => Err(elsewhere),
    };
    let any = tls::settle(traffic, namespace);
    if any && namespace == Err(elsewhere) {
        let what = format!(
            "Secrets of namespace {own} are given to waypoints of that namespace only, and the host is behind one of \
             another: nothing is sent to it"
        );
        let advice = "put rule and Secret into the namespace of the waypoint";
        let finding = Finding::new("spec.trafficPolicy.tls.credentialName", what, advice);
        let verdict = verdicts.entry(first.key.clone()).or_default();
        verdict.findings.push((Severity::Error, finding));
    }
}

impl Ruled<'_> {
    fn towards(&self) -> Towards {
        match self.service {
            Some(_) => Towards::Mesh,
            None => Towards::Outside,
        }
    }

    /// Rules that may be for it.
    fn rules<'a>(&self, inputs: &Inputs<'a>) -> Vec<(&'a ObjectKey, &'a DestinationRule)> {
        match self.service {
            Some(service) => inputs.objects.destination_rules_of(service).collect(),
            None => inputs
                .objects
                .destination_rules_of_host(&self.host)
                .collect(),
        }
    }
}

impl fmt::Display for Ruled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.service {
            Some(service) => service.fmt(f),
            None => write!(f, "{} of namespace {}", self.host, self.namespace),
        }
    }
}

/// The rules that hold for a service, the oldest first.
fn deciding<'a>(
    inputs: &Inputs<'a>,
    service: &Ruled<'_>,
    verdicts: &mut Verdicts,
) -> Vec<Rule<'a>> {
    let bound = waypoint(inputs, Bound::Service, service.metadata, service.namespace);
    let client = match bound {
        Some(GatewayAddress::Service(name, _)) => name.namespace,
        _ => Arc::clone(service.namespace),
    };
    let mut rules = Vec::new();
    for (key, object) in service.rules(inputs) {
        let Some(precision) = precision(inputs, service, key, object) else {
            continue;
        };
        let verdict = verdicts.entry(key.clone()).or_default();
        match rank(inputs, service, &client, key, object) {
            Ok(rank) => rules.push(Rule {
                key,
                object,
                rank,
                precision,
            }),
            Err(finding) => verdict.findings.push((Severity::Warning, finding)),
        }
    }
    rules.sort_by_key(|rule| {
        let precision = std::cmp::Reverse(rule.precision);
        (rule.rank, precision, rule.object.metadata.age(), rule.key)
    });
    let Some(first) = rules
        .first()
        .map(|rule| (rule.rank, rule.precision, rule.key))
    else {
        return rules;
    };
    let decides = |rule: &Rule<'_>| (rule.rank, rule.precision) == (first.0, first.1);
    for rule in rules.iter().filter(|rule| !decides(rule)) {
        let what = format!("for {service} {} counts instead", first.2);
        let advice = "put both into one object, or leave this one out";
        warn(verdicts, rule.key, "spec.host", what, advice);
    }
    rules.retain(decides);
    rules
}

/// How much of the name of a service the host of a rule says; none if it is another's.
fn precision(
    inputs: &Inputs<'_>,
    service: &Ruled<'_>,
    key: &ObjectKey,
    object: &DestinationRule,
) -> Option<usize> {
    let is_meant = match Host::of(&key.namespace, &object.spec.host) {
        // A host that is a wildcard itself is named in full by the same one.
        Host::Wildcard(_) if object.spec.host == service.host => true,
        Host::Wildcard(suffix) => {
            return service.host.ends_with(&*suffix).then_some(suffix.len());
        }
        Host::Outside => service.service.is_none() && object.spec.host == service.host,
        host @ Host::Service(..) => {
            let meant = host.service(&inputs.settings.cluster_domain)?;
            service.service == Some(&meant)
        }
    };
    is_meant.then_some(usize::MAX)
}

/// Whose rule it is: of the waypoint's namespace, the service's, or a root's.
fn rank(
    inputs: &Inputs<'_>,
    service: &Ruled<'_>,
    client: &Arc<str>,
    key: &ObjectKey,
    object: &DestinationRule,
) -> Result<usize, Finding> {
    if object.spec.workload_selector.is_some() {
        let what = "for some clients alone, which is not supported: it has no effect";
        let advice = "leave workloadSelector out, so that it is for all clients";
        return Err(Finding::new("spec.workloadSelector", what, advice));
    }
    let own = &key.namespace;
    let export = Export::of(own, &object.spec.export_to);
    if !export.reaches(client) {
        let what = format!("not exported to namespace {client}, from where {service} is sent to");
        let advice = "add that namespace, or write `*`";
        return Err(Finding::new("spec.exportTo", what, advice));
    }
    if own == client {
        Ok(0)
    } else if own == service.namespace {
        Ok(1)
    } else if inputs.settings.is_root(own) {
        Ok(2)
    } else {
        let what = format!(
            "of namespace {own}, which is neither that of {service}, nor of its waypoint, nor a root of \
             the mesh: it has no effect"
        );
        let advice = "put it into the namespace of the service";
        Err(Finding::new("metadata.namespace", what, advice))
    }
}

/// What rules for one service come to together.
fn merged(rules: &[Rule<'_>], of: &Ruled<'_>, verdicts: &mut Verdicts) -> ServiceTraffic {
    let (ports, towards) = (&of.ports, of.towards());
    let mut with_policy = rules
        .iter()
        .filter_map(|rule| Some((rule.key, rule.object.spec.traffic_policy.as_ref()?)));
    let first = with_policy.next();
    for (key, _) in with_policy {
        let decides = first
            .map(|(first, _)| first.to_string())
            .unwrap_or_default();
        let what = format!("that of {decides}, which is older, counts instead");
        warn(verdicts, key, "spec.trafficPolicy", what, ONE);
    }
    let whole = first.map(|(_, policy)| policy);
    let mut subsets: BTreeMap<Arc<str>, Subset> = BTreeMap::new();
    let mut told = 0;
    for rule in rules {
        verdicts.entry(rule.key.clone()).or_default().in_force = true;
        for (index, subset) in rule.object.spec.subsets.iter().enumerate() {
            if subsets.contains_key(&subset.name) {
                let field = format!("spec.subsets[{index}]");
                let what = format!("another object has a subset `{}` already", subset.name);
                warn(verdicts, rule.key, &field, what, ONE);
                continue;
            }
            let made = (told < MOST_TOLD).then(|| Subset {
                labels: subset.labels.clone(),
                policies: policies(whole, subset.traffic_policy.as_ref(), ports, towards),
            });
            told += made.as_ref().map_or(0, length);
            let Some(made) = made.filter(|_| told < MOST_TOLD) else {
                let field = format!("spec.subsets[{index}]");
                let what = format!(
                    "the subsets of {} are more than waypoints are told of: it counts as not there",
                    rule.object.spec.host
                );
                let advice = "leave subsets out, or say for the whole service what holds for all";
                warn(verdicts, rule.key, &field, what, advice);
                continue;
            };
            subsets.insert(Arc::clone(&subset.name), made);
        }
    }
    ServiceTraffic {
        whole: policies(whole, None, ports, towards),
        subsets,
    }
}

/// Most bytes in which waypoints are told of the subsets of one service: all that are told of it come at once.
const MOST_TOLD: usize = 1 << 20;

fn length(subset: &Subset) -> usize {
    serde_json::to_vec(subset).map_or(0, |text| text.len())
}

const ONE: &str = "put both into one object";

fn warn(verdicts: &mut Verdicts, key: &ObjectKey, field: &str, what: String, advice: &str) {
    let finding = Finding::new(field, what, advice);
    let verdict = verdicts.entry(key.clone()).or_default();
    verdict.findings.push((Severity::Warning, finding));
}
