//! The control plane's metrics on 15014: Istio's names where the meaning is the same, ours for the
//! rest.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ambit_kit::clock;
use ambit_kit::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::caller::Reason;
use super::publication::Publication;
use super::subscription::Kind;
use crate::ca::Bundle;
use crate::config::problem::{Cause, Problem, Severity};

/// Buckets of Istio's convergence histogram, with finer ones below.
const CONVERGENCE_SECONDS: [f64; 11] =
    [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];

/// One label.
type Label = [(&'static str, &'static str); 1];
/// Two labels.
type Labels = [(&'static str, &'static str); 2];

/// Why a certificate was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateRefusal {
    /// The identity is of no workload on the caller's node.
    NotOnNode,
    /// The request is wrong.
    Request,
    /// Something of ours failed.
    Internal,
}

impl CertificateRefusal {
    const ALL: [Self; 3] = [Self::NotOnNode, Self::Request, Self::Internal];

    /// The word for metrics and logs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotOnNode => "not_on_node",
            Self::Request => "bad_request",
            Self::Internal => "internal",
        }
    }
}

/// Handles on all of them; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Discovery streams.
    pub(crate) agents: Gauge,
    /// Connections on the control plane's port.
    pub(crate) connections: Gauge,
    /// TLS handshakes on it that failed.
    pub(crate) failed_handshakes: Counter,
    /// Connections closed because their source had its share.
    pub(crate) refused_connections: Counter,
    /// Certificate requests.
    pub(crate) certificate_requests: Counter,
    /// Certificates signed.
    pub(crate) certificates_signed: Counter,
    /// Publications.
    pub(crate) publications: Counter,
    /// Time from a publication to an agent's answer.
    pub(crate) convergence: Histogram,
    /// Withdrawals that did not see every agent's answer in time.
    pub(crate) withdrawals_unanswered: Counter,
    /// Pods that agents captured.
    pub(crate) captured: Gauge,
    rejects: Counter,
    pushes: Family<Label, Counter>,
    resources: Family<Label, Counter>,
    removals: Family<Label, Counter>,
    bytes: Family<Label, Counter>,
    refused_certificates: Family<Label, Counter>,
    unauthenticated: Counter,
    refused_calls: Family<Label, Counter>,
    workloads: Gauge,
    services: Gauge,
    policies: Gauge,
    updated: Gauge,
    problems: Family<Labels, Gauge>,
    roots: Gauge,
    root_until: Gauge,
    bundle: Gauge,
}

impl Metrics {
    /// Makes them all.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.register(name, help, Counter::default());
        let gauge = |name, help| registry.register(name, help, Gauge::default());
        let by_type = |name, help| {
            let family = registry.register(name, help, Family::<Label, Counter>::default());
            for kind in Kind::ALL {
                drop(family.get_or_create(&[("type", kind.word())]));
            }
            family
        };
        let refused_certificates = registry.register(
            "ambit_ca_refusals",
            "Certificate requests refused, by reason",
            Family::<Label, Counter>::default(),
        );
        for refusal in CertificateRefusal::ALL {
            drop(refused_certificates.get_or_create(&[("reason", refusal.word())]));
        }
        let refused_calls = registry.register(
            "ambit_calls_refused",
            "Calls that were not let in, of any service, by reason",
            Family::<Label, Counter>::default(),
        );
        for reason in Reason::ALL {
            drop(refused_calls.get_or_create(&[("reason", reason.word())]));
        }
        let build = Family::<Label, Gauge>::default();
        build
            .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        registry.register("ambit_build_info", "Version of this program", build);
        Self {
            agents: gauge("pilot_xds", "Agents connected for discovery"),
            connections: gauge(
                "ambit_connections",
                "Connections on the control plane's port",
            ),
            failed_handshakes: counter(
                "ambit_tls_handshake_failures",
                "TLS handshakes on the control plane's port that failed or took too long",
            ),
            refused_connections: counter(
                "ambit_connections_refused",
                "Connections closed at once because their source address had its share",
            ),
            unauthenticated: counter(
                "citadel_server_authentication_failure_count",
                "Calls without an agent's token, of any service",
            ),
            certificate_requests: counter("citadel_server_csr_count", "Certificate requests"),
            certificates_signed: counter(
                "citadel_server_success_cert_issuance_count",
                "Certificates signed",
            ),
            publications: counter("ambit_publications", "Changes of what is served"),
            convergence: registry.register(
                "pilot_proxy_convergence_time",
                "Seconds from a change to an agent's answer",
                Histogram::new(CONVERGENCE_SECONDS),
            ),
            withdrawals_unanswered: counter(
                "ambit_withdrawals_unanswered",
                "Withdrawals of captured pods that some agent did not answer in time",
            ),
            captured: gauge("ambit_captured_pods", "Pods that agents captured"),
            rejects: counter(
                "pilot_total_xds_rejects",
                "Responses that an agent refused in part",
            ),
            pushes: by_type("pilot_xds_pushes", "Responses sent, by type"),
            resources: by_type("ambit_xds_resources", "Resources sent, by type"),
            removals: by_type("ambit_xds_removals", "Removals sent, by type"),
            bytes: by_type("ambit_xds_sent_bytes", "Bytes of resources sent, by type"),
            refused_certificates,
            refused_calls,
            workloads: gauge("ambit_workloads", "Workloads in the mesh"),
            services: gauge("ambit_services", "Services in the mesh"),
            policies: gauge("ambit_policies", "Policies in the mesh"),
            updated: gauge(
                "ambit_config_last_change_timestamp_seconds",
                "When what is served last changed",
            ),
            problems: registry.register(
                "ambit_config_problems",
                "Things wrong with the configuration now, by severity and cause",
                Family::default(),
            ),
            roots: gauge("ambit_ca_trusted_roots", "Roots in the trust bundle"),
            root_until: gauge(
                "citadel_server_root_cert_expiry_timestamp",
                "When the life of the root that signs ends",
            ),
            bundle: gauge(
                "ambit_ca_bundle_generation",
                "Generation of the trust bundle",
            ),
        }
    }

    /// A response was sent.
    pub(crate) fn pushed(&self, kind: Kind, resources: usize, removals: usize, bytes: usize) {
        let label = [("type", kind.word())];
        self.pushes.get_or_create(&label).inc();
        self.resources
            .get_or_create(&label)
            .inc_by(resources as u64);
        self.removals.get_or_create(&label).inc_by(removals as u64);
        self.bytes.get_or_create(&label).inc_by(bytes as u64);
    }

    /// An agent refused a response in part.
    pub(crate) fn rejected(&self) {
        self.rejects.inc();
    }

    /// A call was not let in.
    pub(crate) fn call_refused(&self, reason: Reason) {
        let label = [("reason", reason.word())];
        self.refused_calls.get_or_create(&label).inc();
        if !reason.passes() {
            self.unauthenticated.inc();
        }
    }

    /// A certificate was not given.
    pub(crate) fn certificate_refused(&self, refusal: CertificateRefusal) {
        self.refused_certificates
            .get_or_create(&[("reason", refusal.word())])
            .inc();
    }

    /// How many pods are captured now.
    pub(crate) fn captured_pods(&self, pods: usize) {
        self.captured.set(count(pods));
    }

    /// Something new is served.
    pub(crate) fn published(&self, publication: &Publication) {
        self.publications.inc();
        self.workloads.set(count(publication.mesh.workload_count()));
        self.services.set(count(publication.mesh.service_count()));
        self.policies.set(count(publication.mesh.policy_count()));
        self.updated.set(unix(clock::wall()));
    }

    /// What is wrong with the configuration now.
    pub(crate) fn config_problems(&self, problems: &BTreeSet<Problem>) {
        for (severity, word) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
            for cause in Cause::ALL {
                let of = problems
                    .iter()
                    .filter(|p| p.severity == severity && p.cause == *cause);
                let labels = [("severity", word), ("cause", cause.word())];
                self.problems.get_or_create(&labels).set(count(of.count()));
            }
        }
    }

    /// The trust bundle changed.
    pub(crate) fn trust(&self, bundle: &Arc<Bundle>) {
        self.roots.set(count(bundle.roots.len()));
        self.bundle
            .set(i64::try_from(bundle.generation).unwrap_or(i64::MAX));
        self.root_until.set(unix(bundle.signing_until));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A gauge that stands one higher for as long as this lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    /// Counts one more.
    pub(crate) fn one(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unix(time: std::time::SystemTime) -> i64 {
    i64::try_from(clock::unix_seconds(time)).unwrap_or(i64::MAX)
}
