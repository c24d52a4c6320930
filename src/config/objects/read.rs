//! From a parsed document to a typed object, with errors that lead to the field.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::metadata::METADATA_FIELDS;
use super::names::{Label, Name};
use super::route_parts;
use super::{Kind, Object, ObjectKey};
use crate::config::problem::{Cause, Finding};

/// API group of the kinds that can refuse connections.
const POLICY_GROUP: &str = "security.istio.io/";

/// As much as can be said about a document that could not be read as an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its kind, if it is one that is known.
    pub kind: Option<Kind>,
    /// Its namespace, if readable; an absent one is read as `default`, unless a field that is not
    /// known may have been meant for it.
    pub namespace: Option<Arc<str>>,
    /// Its name, if readable.
    pub name: Option<Arc<str>>,
    /// True if it is, or may well be meant to be, a policy.
    pub policy: bool,
}

impl Identity {
    /// The object that it is, if that can be said.
    pub fn key(&self) -> Option<ObjectKey> {
        let kind = self.kind?;
        let namespace = if kind.is_namespaced() {
            self.namespace.clone()?
        } else {
            "".into()
        };
        Some(ObjectKey {
            kind,
            namespace,
            name: self.name.clone()?,
        })
    }

    /// The same in words, for messages.
    pub fn words(&self, kind: &str) -> String {
        let kind = self.kind.map_or(kind, |kind| kind.name());
        let mut words: Vec<&str> = Vec::new();
        words.extend((!kind.is_empty()).then_some(kind));
        let name = self.name.as_deref().unwrap_or_default();
        let place = match &self.namespace {
            Some(namespace) if self.kind.is_none_or(Kind::is_namespaced) && !name.is_empty() => {
                format!("{namespace}/{name}")
            }
            _ => name.to_owned(),
        };
        words.extend((!place.is_empty()).then_some(place.as_str()));
        words.join(" ")
    }
}

/// Why a document cannot be read as an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {}: {}", .finding.field, .finding.what)]
pub struct ReadError {
    /// What is known of the object.
    pub identity: Identity,
    /// `KIND NAMESPACE/NAME`, as far as readable.
    pub object: String,
    /// What kind of problem it is.
    pub cause: Cause,
    /// Which field is wrong, and how.
    pub finding: Finding,
}

/// The objects of a document: the items of a `List`, otherwise the document itself.
pub fn items(document: Value) -> Vec<(Option<u32>, Value)> {
    match document {
        Value::Object(mut map) if is_list(&map) => {
            let Some(Value::Array(items)) = map.remove("items") else {
                return Vec::new();
            };
            (1..).map(Some).zip(items).collect()
        }
        document => vec![(None, document)],
    }
}

fn is_list(map: &Map<String, Value>) -> bool {
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
    let known = kind
        .strip_suffix("List")
        .is_some_and(|of| of.is_empty() || Kind::of(of).is_some());
    known && map.get("items").is_some_and(Value::is_array)
}

/// Reads one object.
pub fn read(document: Value) -> Result<Object, Box<ReadError>> {
    let Value::Object(mut map) = document else {
        let what = format!(
            "found {}, expected an object with apiVersion and kind",
            a(&document)
        );
        let advice = "write a Kubernetes object or remove the document";
        return Err(Box::new(ReadError {
            identity: Identity::default(),
            object: String::new(),
            cause: Cause::Field,
            finding: Finding::new("", what, advice),
        }));
    };
    let head = Head::of(&map);
    let kind = head.known_kind()?;
    map.remove("apiVersion");
    map.remove("kind");
    if kind.is_policy() || kind.is_traffic() || kind == Kind::Telemetry {
        head.check_metadata(&map)?;
        forget_status(kind, &mut map);
    }
    if kind.is_route() {
        forget_foreign_rules(&mut map);
    }
    let body = Value::Object(map);
    let object = match kind {
        Kind::Namespace => head.typed(&body).map(Object::Namespace),
        Kind::Node => head.typed(&body).map(Object::Node),
        Kind::ServiceAccount => head.typed(&body).map(Object::ServiceAccount),
        Kind::Pod => head.typed(&body).map(Object::Pod),
        Kind::Service => head.typed(&body).map(Object::Service),
        Kind::EndpointSlice => head.typed(&body).map(Object::EndpointSlice),
        Kind::NetworkPolicy => head.typed(&body).map(Object::NetworkPolicy),
        Kind::AuthorizationPolicy => head.typed(&body).map(Object::AuthorizationPolicy),
        Kind::PeerAuthentication => head.typed(&body).map(Object::PeerAuthentication),
        Kind::GatewayClass => head.typed(&body).map(Object::GatewayClass),
        Kind::Gateway => head.typed(&body).map(Object::Gateway),
        Kind::HttpRoute => head.typed(&body).map(Object::HttpRoute),
        Kind::GrpcRoute => head.typed(&body).map(Object::GrpcRoute),
        Kind::TlsRoute => head.typed(&body).map(Object::TlsRoute),
        Kind::TcpRoute => head.typed(&body).map(Object::TcpRoute),
        Kind::ReferenceGrant => head.typed(&body).map(Object::ReferenceGrant),
        Kind::VirtualService => head.typed(&body).map(Object::VirtualService),
        Kind::DestinationRule => head.typed(&body).map(Object::DestinationRule),
        Kind::Telemetry => head.typed(&body).map(Object::Telemetry),
        Kind::RequestAuthentication => head.typed(&body).map(Object::RequestAuthentication),
        Kind::ServiceEntry => head.typed(&body).map(Object::ServiceEntry),
        Kind::WorkloadEntry => head.typed(&body).map(Object::WorkloadEntry),
        // Said before.
        Kind::Sidecar | Kind::EnvoyFilter => {
            let finding = Finding::new("kind", "it has no effect", "remove it");
            Err(head.error(Cause::UnknownKind, finding))
        }
    }?;
    head.check(&object)?;
    Ok(object)
}

/// A status is no part of what is read strictly, but for the addresses of a service entry.
fn forget_status(kind: Kind, map: &mut Map<String, Value>) {
    let status = map.remove("status");
    let addresses = status.as_ref().and_then(|status| status.get("addresses"));
    if let Some(addresses) = addresses.filter(|_| kind == Kind::ServiceEntry)
        && addresses.is_array()
    {
        let kept = serde_json::json!({ "addresses": addresses });
        map.insert("status".to_owned(), kept);
    }
}

/// What a route says that is for no service is somebody else's to judge: only its parents are read.
fn forget_foreign_rules(map: &mut Map<String, Value>) {
    if route_parts::service_parents(map.get("spec"))
        .next()
        .is_some()
    {
        return;
    }
    if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|field, _| field == "parentRefs");
    }
}

/// What is said of a kind of Istio's that is for sidecars: what takes its place.
pub fn not_applicable(kind: Kind) -> Option<Finding> {
    let advice = match kind {
        Kind::Sidecar => {
            "remove it: agents and waypoints are told what they need; who may use a service say exportTo of \
             its ServiceEntry and AuthorizationPolicies, and what is not registered `outboundTrafficPolicy` of \
             the mesh"
        }
        Kind::EnvoyFilter => {
            "remove it: there is no Envoy; write what it does as VirtualService, DestinationRule, Telemetry, \
             AuthorizationPolicy or RequestAuthentication"
        }
        _ => return None,
    };
    let name = kind.name();
    let what = format!("{name} is for sidecars, of which there are none: it has no effect");
    Some(Finding::new("kind", what, advice))
}

/// True for a field of `metadata` that is not a slip of the pen.
fn is_known(field: &str) -> bool {
    METADATA_FIELDS.contains(&field)
}

/// What a document says of itself, before the rest of it is read.
struct Head {
    api_version: String,
    kind: String,
    identity: Identity,
}

impl Head {
    fn of(map: &Map<String, Value>) -> Self {
        let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        let known = Kind::of(&kind);
        let metadata = map.get("metadata").and_then(Value::as_object);
        let field = |name: &str| metadata.and_then(|metadata| metadata.get(name));
        let namespace = match field("namespace") {
            None if metadata.is_some_and(|m| m.keys().all(|field| is_known(field))) => {
                Some("default".into())
            }
            Some(Value::String(namespace)) => Label::new(namespace).ok().map(|l| l.shared()),
            _ => None,
        };
        let name = field("name")
            .and_then(Value::as_str)
            .and_then(|name| Name::new(name).ok());
        let identity = Identity {
            kind: known,
            namespace,
            name: name.map(|name| name.shared()),
            policy: known.is_some_and(Kind::is_policy) || api_version.starts_with(POLICY_GROUP),
        };
        Self {
            api_version,
            kind,
            identity,
        }
    }

    fn known_kind(&self) -> Result<Kind, Box<ReadError>> {
        if self.kind.is_empty() {
            let finding = Finding::new("kind", "missing", "name the kind, such as `kind: Pod`");
            return Err(self.error(Cause::Field, finding));
        }
        if let Some(finding) = self.identity.kind.and_then(not_applicable) {
            return Err(self.error(Cause::UnknownKind, finding));
        }
        let Some(kind) = self.identity.kind else {
            let known = Kind::ALL.iter().filter(|kind| !kind.is_for_sidecars());
            let known: Vec<&str> = known.map(|kind| kind.name()).collect();
            let what = format!("unknown kind `{}` of `{}`", self.kind, self.api_version);
            let advice = format!(
                "correct it or move it elsewhere; known are {}",
                known.join(", ")
            );
            return Err(self.error(Cause::UnknownKind, Finding::new("kind", what, advice)));
        };
        if !kind.api_versions().contains(&self.api_version.as_str()) {
            let what = format!("unknown version `{}` of {}", self.api_version, kind.name());
            let advice = format!("write {}", kind.api_versions().join(" or "));
            return Err(self.error(Cause::UnknownKind, Finding::new("apiVersion", what, advice)));
        }
        Ok(kind)
    }

    fn check_metadata(&self, map: &Map<String, Value>) -> Result<(), Box<ReadError>> {
        let metadata = map.get("metadata").and_then(Value::as_object);
        let unknown = metadata
            .into_iter()
            .flat_map(Map::keys)
            .find(|field| !is_known(field));
        unknown.map_or(Ok(()), |field| {
            let field = format!("metadata.{field}");
            let finding = Finding::new(field, "unknown field", "correct or remove it");
            Err(self.error(Cause::Field, finding))
        })
    }

    fn typed<T: DeserializeOwned>(&self, body: &Value) -> Result<T, Box<ReadError>> {
        serde_path_to_error::deserialize(body).map_err(|error| {
            let what = what_was_found(body, &error);
            let advice = advice_for(&what);
            let path = error.path().to_string();
            let path = if path == "." { String::new() } else { path };
            self.error(Cause::Field, Finding::new(path, what, advice))
        })
    }

    fn check(&self, object: &Object) -> Result<(), Box<ReadError>> {
        let checked = match object {
            Object::AuthorizationPolicy(policy) => policy.check(),
            Object::PeerAuthentication(policy) => policy.check(),
            Object::HttpRoute(route) => route.check(),
            Object::GrpcRoute(route) => route.check(),
            Object::VirtualService(object) => object.check(),
            Object::DestinationRule(object) => object.check(),
            Object::Telemetry(object) => object.check(),
            Object::RequestAuthentication(object) => object.check(),
            Object::ServiceEntry(object) => object.check(),
            Object::WorkloadEntry(object) => object.check(),
            _ => Ok(()),
        };
        checked.map_err(|finding| self.error(Cause::Field, finding))
    }

    fn error(&self, cause: Cause, finding: Finding) -> Box<ReadError> {
        let object = self.identity.words(&self.kind);
        Box::new(ReadError {
            identity: self.identity.clone(),
            object,
            cause,
            finding,
        })
    }
}

/// The parser's words, in those of somebody who writes YAML, with the value that it is about.
fn what_was_found(body: &Value, error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let mut what = error.inner().to_string();
    for (theirs, ours) in [
        ("u16", "a number from 0 to 65535"),
        ("u32", "a number from 0 to 4294967295"),
        ("a sequence", "a list"),
        ("a map", "an object"),
        ("floating point", "number"),
        ("integer", "number"),
    ] {
        what = what.replace(theirs, ours);
    }
    if let Some((head, _)) = what.split_once("expected struct ") {
        what = format!("{head}expected an object");
    }
    let found = error
        .path()
        .iter()
        .try_fold(body, |value, segment| match segment {
            Segment::Seq { index } => value.get(index),
            Segment::Map { key } => value.get(key.as_str()),
            Segment::Enum { .. } | Segment::Unknown => Some(value),
        });
    match found {
        Some(Value::String(text)) if !what.contains(text.as_str()) => {
            format!("`{}`: {what}", text.chars().take(80).collect::<String>())
        }
        _ => what,
    }
}

fn advice_for(what: &str) -> &'static str {
    if what.contains("unknown field") {
        "correct the field's name or remove it"
    } else if what.starts_with("missing field") {
        "add it"
    } else if what.starts_with("unknown variant") {
        "write one of the values that are known"
    } else if what.contains("expected a string") {
        "write a text; put it in quotes if it looks like something else"
    } else if what.contains("null") {
        "give it a value or remove the field"
    } else {
        "correct the value"
    }
}

fn a(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
