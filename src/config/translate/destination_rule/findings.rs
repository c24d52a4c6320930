//! What a destination rule says that is not followed as it is written, whatever the service.

use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::destination_rule::balancing::{
    ConsistentHash, LoadBalancer, Simple, Warmup,
};
use crate::config::objects::destination_rule::policy::{
    ConnectionPool, OutlierDetection, Tls, TrafficPolicy,
};
use crate::config::objects::virtual_service::hosts::{Export, Host};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Severity};
use crate::config::translate::service_entry::{self, Way};
use crate::config::translate::{Inputs, subject};

use super::keepalive;
use super::policy::hash_key;
use super::tls::{self, Secrets, Towards};

/// Largest ring and table that waypoints make: each subset of each port has one of its own.
const LARGEST_RING: u64 = 1 << 16;
const LARGEST_TABLE: u64 = 131_071;
/// Labels of a failover that are looked at.
const MOST_LABELS: usize = 16;

/// Findings, as they are found.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<(Severity, Finding)>);

impl Notes {
    pub(super) fn warn(&mut self, field: String, what: &str, advice: &str) {
        let finding = Finding::new(field, what, advice);
        self.0.push((Severity::Warning, finding));
    }

    pub(super) fn wrong(&mut self, field: String, what: &str, advice: &str) {
        let finding = Finding::new(field, what, advice);
        self.0.push((Severity::Error, finding));
    }
}

/// What a destination rule says that is not followed as it is written.
pub fn findings(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &DestinationRule,
) -> Vec<(Severity, Finding)> {
    let mut notes = Notes::default();
    host(inputs, key, object, &mut notes);
    let export = Export::of(&key.namespace, &object.spec.export_to);
    if matches!(&export, Export::To(namespaces) if namespaces.is_empty()) {
        let what = "exported nowhere, so that it has no effect";
        notes.warn(
            "spec.exportTo".to_owned(),
            what,
            "write `.`, `*` or a namespace",
        );
    }
    let about = About {
        towards: towards(inputs, key, object),
        are_named: are_named(inputs, key, object),
        secrets: Secrets {
            are_read: inputs.settings.reads_credentials,
            namespace: &key.namespace,
            known: inputs.credentials,
        },
    };
    for (field, policy) in object.policies() {
        of_policy(&field, policy, &about, &mut notes);
    }
    notes.0
}

/// What a rule is about.
struct About<'a> {
    towards: Towards,
    /// Whether clients name the endpoints of all that it is for.
    are_named: bool,
    secrets: Secrets<'a>,
}

/// Whether all that a rule is for are hosts whose endpoints clients name.
fn are_named(inputs: &Inputs<'_>, key: &ObjectKey, object: &DestinationRule) -> bool {
    let subjects = inputs.objects.services_ruled(key, object).into_iter();
    let is_meant = |subject: &ObjectKey| {
        subject::precision(inputs, &key.namespace, &object.spec.host, subject).is_some()
    };
    let mut ways = subjects
        .filter(is_meant)
        .map(|subject| service_entry::way_of(inputs, &subject))
        .peekable();
    ways.peek().is_some() && ways.all(|way| matches!(way, Some(Way::Kept | Way::Named)))
}

/// Whether a rule is about services of the cluster: a wildcard is, if it is for one of them.
fn towards(inputs: &Inputs<'_>, key: &ObjectKey, object: &DestinationRule) -> Towards {
    let is_of_mesh = match Host::of(&key.namespace, &object.spec.host) {
        Host::Service(_, given) => given.is_none_or(|it| *it == *inputs.settings.cluster_domain),
        Host::Wildcard(suffix) => inputs
            .objects
            .services_ruled(key, object)
            .iter()
            .filter(|service| service.kind == Kind::Service)
            .any(|service| inputs.service_name(service).hostname.ends_with(&*suffix)),
        Host::Outside => false,
    };
    match is_of_mesh {
        true => Towards::Mesh,
        false => Towards::Outside,
    }
}

fn host(inputs: &Inputs<'_>, key: &ObjectKey, object: &DestinationRule, notes: &mut Notes) {
    let given = &object.spec.host;
    let services = inputs.objects.services_ruled(key, object);
    let is_meant = services.iter().any(|service| {
        inputs.is_there(service)
            && subject::precision(inputs, &key.namespace, given, service).is_some()
    });
    if !is_meant {
        let what = format!("`{given}` is no service of the cluster, and no host of a ServiceEntry");
        let advice = "correct the name, write it as NAME.NAMESPACE.svc.cluster.local, or make the service \
                      or ServiceEntry";
        notes.warn("spec.host".to_owned(), &what, advice);
    }
}

fn outliers(field: &str, given: Option<&OutlierDetection>, notes: &mut Notes) {
    if given.is_some_and(|given| given.consecutive.is_some()) {
        let what = "an old form, which counts where consecutiveGatewayErrors is not given";
        let field = format!("{field}.outlierDetection.consecutiveErrors");
        let advice = "write consecutiveGatewayErrors, or consecutive5xxErrors";
        notes.warn(field, what, advice);
    }
}

fn of_policy(field: &str, policy: &TrafficPolicy, about: &About<'_>, notes: &mut Notes) {
    of_part(
        field,
        Part {
            balancer: policy.load_balancer.as_ref(),
            pool: policy.connection_pool.as_ref(),
            outliers: policy.outlier_detection.as_ref(),
            tls: policy.tls.as_ref(),
        },
        about,
        notes,
    );
    for (index, port) in policy.port_level_settings.iter().enumerate() {
        let part = Part {
            balancer: port.load_balancer.as_ref(),
            pool: port.connection_pool.as_ref(),
            outliers: port.outlier_detection.as_ref(),
            tls: port.tls.as_ref(),
        };
        let field = format!("{field}.portLevelSettings[{index}]");
        of_part(&field, part, about, notes);
    }
    if policy.tunnel.is_some() {
        let what = "tunnels lead to hosts outside of the mesh, which are not reached from here";
        notes.wrong(format!("{field}.tunnel"), what, "leave it out");
    }
    if policy.proxy_protocol.is_some() {
        let what = "the PROXY protocol is not spoken to endpoints";
        let advice = "leave it out: HTTP has the client in `x-forwarded-for`, other connections have its address";
        notes.wrong(format!("{field}.proxyProtocol"), what, advice);
    }
}

/// What is said of all ports, or of one.
#[derive(Clone, Copy)]
struct Part<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outliers: Option<&'a OutlierDetection>,
    tls: Option<&'a Tls>,
}

fn of_part(field: &str, part: Part<'_>, about: &About<'_>, notes: &mut Notes) {
    if let Some(balancer) = part.balancer {
        let field = format!("{field}.loadBalancer");
        of_balancer(&field, balancer, about.are_named, notes);
    }
    let given = part
        .pool
        .and_then(|pool| pool.tcp.as_ref())
        .and_then(|tcp| tcp.tcp_keepalive.as_ref());
    if let Some(given) = given {
        let field = format!("{field}.connectionPool.tcp.tcpKeepalive");
        keepalive::findings(&field, given, about.towards, notes);
    }
    outliers(field, part.outliers, notes);
    if let Some(tls) = part.tls {
        let field = format!("{field}.tls");
        tls::findings(&field, tls, about.towards, about.secrets, notes);
    }
}

fn of_balancer(field: &str, balancer: &LoadBalancer, are_named: bool, notes: &mut Notes) {
    if balancer.simple == Some(Simple::Passthrough) && !are_named {
        let what =
            "a waypoint is asked for a service, not for one of its pods: followed as LEAST_REQUEST";
        notes.warn(format!("{field}.simple"), what, "write LEAST_REQUEST");
    }
    if let Some(hash) = &balancer.consistent_hash {
        of_hash(&format!("{field}.consistentHash"), hash, notes);
        if balancer.warmup.is_some() || balancer.warmup_duration_secs.is_some() {
            let what = "no endpoint warms up where a hash decides";
            notes.warn(format!("{field}.warmup"), what, "leave it out");
        }
    }
    if let Some(warmup) = &balancer.warmup {
        of_warmup(&format!("{field}.warmup"), warmup, notes);
    }
    let setting = balancer.locality_lb_setting.as_ref();
    if setting.is_some_and(|setting| setting.failover_priority.len() > MOST_LABELS) {
        let field = format!("{field}.localityLbSetting.failoverPriority");
        let what = format!("only the first {MOST_LABELS} labels count");
        notes.warn(field, &what, "leave the others out");
    }
}

fn of_warmup(field: &str, warmup: &Warmup, notes: &mut Notes) {
    if warmup.minimum_percent.is_some_and(|percent| percent != 10) {
        let what = "an endpoint begins with a tenth of its share, whatever is written";
        notes.warn(
            format!("{field}.minimumPercent"),
            what,
            "leave it out, or write 10",
        );
    }
    let aggression = warmup
        .aggression
        .as_ref()
        .and_then(serde_json::Number::as_f64);
    if aggression.is_some_and(|given| (given - 1.0).abs() > f64::EPSILON) {
        let what = "the share of an endpoint grows evenly, whatever is written";
        notes.warn(
            format!("{field}.aggression"),
            what,
            "leave it out, or write 1",
        );
    }
}

fn of_hash(field: &str, hash: &ConsistentHash, notes: &mut Notes) {
    if hash_key(hash).is_none() {
        let what = "nothing to hash: endpoints are picked by chance";
        let advice =
            "write one of httpHeaderName, httpCookie, useSourceIp: true and httpQueryParameterName";
        notes.warn(field.to_owned(), what, advice);
    }
    let ring = hash
        .ring_hash
        .as_ref()
        .and_then(|ring| ring.minimum_ring_size);
    for (name, size, largest) in [
        ("ringHash.minimumRingSize", ring, LARGEST_RING),
        ("minimumRingSize", hash.minimum_ring_size, LARGEST_RING),
        (
            "maglev.tableSize",
            hash.maglev.as_ref().and_then(|m| m.table_size),
            LARGEST_TABLE,
        ),
    ] {
        if size.is_some_and(|size| size > largest) {
            let what = format!("no more than {largest} are made");
            notes.warn(format!("{field}.{name}"), &what, "write no more than that");
        }
    }
}
