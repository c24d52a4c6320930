//! What the fuzz targets do with bytes: each function takes any bytes and must come back.
//!
//! `fuzz/fuzz_targets/` hands them to libFuzzer (nightly); `tests/corpora.rs` replays the corpora
//! with the ordinary tests. A new parser of foreign bytes gets a line in [`TARGETS`].

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ambit::ca::{Authority, Settings};
use ambit::config::problem::Origin;
use ambit::config::store::ObjectEvent;
use ambit::config::{self, Batch, Configuration, documents, objects};
use ambit_model::TrustDomain;
use ambit_wire::delta::{Catalog, Client, Entry, Server};
use ambit_wire::{discovery, node};
use prost::Message as _;
use rustls_pki_types::CertificateDer;

mod kinds;
mod lines;
mod mesh;
mod names;
mod plugin;
mod requests;
mod routes;
mod texts;
mod tokens;

pub use kinds::{
    authorization_policy, destination_rule, request_authentication, service_entry, telemetry,
    virtual_service,
};
pub use lines::{log_filter, log_format};
pub use mesh::mesh_config;
pub use names::{dns_question, dns_reply};
pub use plugin::{network_list, plugin_input};
pub use requests::{
    client_hello, client_reader, first_bytes, forwarded, grpc_messages, request_head,
};
pub use routes::{path, query, redirect, route, service_routes, session_cookie};
pub use texts::{path_template, trace_context};
pub use tokens::{authentication, key_set, token};

/// A function from any bytes to nothing.
pub type Body = fn(&[u8]);

/// Every target by name; the corpus of each is `fuzz/corpus/NAME`.
pub const TARGETS: &[(&str, Body)] = &[
    ("yaml", yaml),
    ("address", address),
    ("policy", policy),
    ("discovery_request", discovery_request),
    ("discovery_response", discovery_response),
    ("agent_request", agent_request),
    ("proxy_record", proxy_record),
    ("feed", feed),
    ("certificate", certificate),
    ("signing_request", signing_request),
    ("route", route),
    ("query", query),
    ("redirect", redirect),
    ("session_cookie", session_cookie),
    ("service_routes", service_routes),
    ("request_head", request_head),
    ("forwarded", forwarded),
    ("client_reader", client_reader),
    ("client_hello", client_hello),
    ("first_bytes", first_bytes),
    ("grpc_messages", grpc_messages),
    ("path", path),
    ("plugin_input", plugin_input),
    ("network_list", network_list),
    ("token", token),
    ("key_set", key_set),
    ("authentication", authentication),
    ("log_format", log_format),
    ("dns_question", dns_question),
    ("dns_reply", dns_reply),
    ("virtual_service", virtual_service),
    ("destination_rule", destination_rule),
    ("service_entry", service_entry),
    ("authorization_policy", authorization_policy),
    ("request_authentication", request_authentication),
    ("telemetry", telemetry),
    ("mesh_config", mesh_config),
    ("log_filter", log_filter),
    ("path_template", path_template),
    ("trace_context", trace_context),
];

/// Configuration files: from users. What can be read is translated and told of.
pub fn yaml(bytes: &[u8]) {
    let Ok(documents) = documents::parse_documents(bytes) else {
        return;
    };
    let origin = Origin::file(&"file".into());
    let items = documents.into_iter().flatten().flat_map(objects::items);
    // Either an object or an error that names the field.
    let objects = items.filter_map(|(_, item)| objects::read(item).ok());
    let events = objects.map(|object| ObjectEvent::Put {
        origin: origin.clone(),
        object: Arc::new(object),
    });
    let mut configuration = Configuration::new(config::Settings::default());
    configuration.apply(Batch {
        events: events.collect(),
        ..Batch::default()
    });
    drop(configuration.problems());
}

/// Workloads and services: from a control plane.
pub fn address(bytes: &[u8]) {
    let decoded = ambit_wire::decode::address_from_bytes(bytes, "cluster.local");
    drop(decoded);
}

/// Policies: from a control plane.
pub fn policy(bytes: &[u8]) {
    drop(ambit_wire::decode::policy_from_bytes(bytes));
    drop(ambit_wire::decode::waypoint_policy_from_bytes(bytes));
}

/// Requests of discovery: from an agent of any make.
pub fn discovery_request(bytes: &[u8]) {
    let Ok(request) = discovery::DeltaDiscoveryRequest::decode(bytes) else {
        return;
    };
    let mut server = Server::new("type.googleapis.com/istio.workload.Address", 0);
    let _outcome = server.request(request.clone(), &Nothing);
    while server.poll(&Nothing).is_some() {
        let _outcome = server.request(request.clone(), &Nothing);
        if server.nacks() > 4 || server.awaits_answer() {
            break;
        }
    }
}

/// Responses of discovery: from a control plane of any make.
pub fn discovery_response(bytes: &[u8]) {
    let Ok(response) = discovery::DeltaDiscoveryResponse::decode(bytes) else {
        return;
    };
    let mut client = Client::new("type.googleapis.com/istio.workload.Address");
    let update = client.receive(response, |_| Ok(()));
    let _answer = client.answer(&update.nonce, &update.rejected);
}

/// The host role's socket: from whoever may open it.
pub fn agent_request(bytes: &[u8]) {
    drop(ambit_node_agent::host::api::parse(bytes));
}

/// Records from a proxy that may be an attacker's.
pub fn proxy_record(bytes: &[u8]) {
    drop(ambit_node_agent::link::ToHost::decode(bytes));
}

/// Messages between the roles of one agent.
pub fn feed(bytes: &[u8]) {
    drop(node::Feed::decode(bytes));
    drop(node::FeedAnswer::decode(bytes));
    drop(node::HostToProxy::decode(bytes));
    drop(node::HostToControl::decode(bytes));
}

/// A peer's certificate.
pub fn certificate(bytes: &[u8]) {
    let chain = [CertificateDer::from(bytes)];
    drop(ambit_identity::peer_identity(&chain));
}

/// Certificate signing requests: from an agent.
pub fn signing_request(bytes: &[u8]) {
    let (Some(authority), Ok(pem)) = (authority(), std::str::from_utf8(bytes)) else {
        return;
    };
    let Ok(identity) = "spiffe://cluster.local/ns/shop/sa/web".parse() else {
        return;
    };
    let signed = authority.sign(pem, &identity, Duration::ZERO, SystemTime::now());
    drop(signed);
}

/// One authority for all runs; its folder is gone once it is open.
fn authority() -> Option<&'static Authority> {
    static AUTHORITY: OnceLock<Option<Authority>> = OnceLock::new();
    AUTHORITY
        .get_or_init(|| {
            let state = tempfile::tempdir().ok()?;
            let settings = Settings {
                trust_domain: TrustDomain::new("cluster.local").ok()?,
                certificate_life: Duration::from_secs(86_400),
                patience: Duration::ZERO,
            };
            Authority::open(state.path(), settings, SystemTime::now()).ok()
        })
        .as_ref()
}

/// A catalog without resources.
struct Nothing;

impl Catalog for Nothing {
    fn get(&self, _name: &str) -> Option<&Entry> {
        None
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        std::iter::empty()
    }

    fn named_by(&self, _alias: &str) -> Option<Arc<str>> {
        None
    }
}
