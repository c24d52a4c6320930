//! What the API server asks of a policy or a route before it is written (`AdmissionReview` of
//! admission.k8s.io/v1), and what it is answered. Pure; the port is [`crate::serve`]'s.
//!
//! Never a reason to refuse: what is in a namespace without pods of ours, a deletion, an object that
//! is being deleted, a status, a kind that we do not judge, a route that is for no service, and an update that leaves what was
//! wrong before as it was. Of a kind that is for sidecars it is said that it has no effect.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::objects::{self, Kind};
use crate::config::problem::{Finding, TOLD, sentences};
use crate::config::verdict::{Read, Verdict};

/// The version that is understood.
const API_VERSION: &str = "admission.k8s.io/v1";
/// Its kind.
const KIND: &str = "AdmissionReview";
/// Longest warning that the API server passes on unchanged.
const LONGEST_WARNING: usize = 256;

/// A review cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON, or not of that shape.
    #[error("not an {KIND}: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of another version or kind.
    #[error("found {kind} of {api_version}, expected {KIND} of {API_VERSION}")]
    Version {
        /// The version.
        api_version: String,
        /// The kind.
        kind: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

/// What is asked.
#[derive(Debug)]
pub struct Question {
    /// By which the answer is known.
    pub uid: String,
    /// The namespace that it is about.
    pub namespace: Arc<str>,
    /// The object that is to be written; none where there is nothing to judge.
    pub new: Option<Read>,
    /// The one that it takes the place of.
    pub old: Option<Read>,
    /// What its author should know where there is nothing to judge.
    pub aside: Option<Finding>,
}

impl Question {
    /// Reads a review.
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        let Review {
            api_version,
            kind,
            request,
        } = serde_json::from_slice(body)?;
        if (&*api_version, &*kind) != (API_VERSION, KIND) {
            return Err(ReviewError::Version { api_version, kind });
        }
        let writes = matches!(&*request.operation, "CREATE" | "UPDATE");
        let writes = writes && request.sub_resource.is_empty();
        let aside = kind_of(&request.object).and_then(objects::not_applicable);
        let aside = aside.filter(|_| writes && !is_leaving(&request.object));
        let new = (writes && is_judged(&request.object)).then(|| read(request.object));
        let old = new
            .is_some()
            .then_some(request.old_object)
            .filter(Value::is_object)
            .map(read);
        Ok(Self {
            uid: request.uid,
            namespace: request.namespace.into(),
            new,
            old,
            aside,
        })
    }
}

/// True for an object that is to be judged.
fn is_judged(object: &Value) -> bool {
    kind_of(object).is_some_and(Kind::is_judged) && !is_leaving(object)
}

fn kind_of(object: &Value) -> Option<Kind> {
    Kind::of(object.get("kind")?.as_str()?)
}

fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn read(document: Value) -> Read {
    let object = objects::read(document).map_err(|error| error.finding)?;
    Ok(Box::new(object))
}

/// The answer to the question of that uid.
pub fn answer(uid: &str, verdict: &Verdict) -> Value {
    let is_allowed = verdict.refused.is_empty();
    let status = (!is_allowed).then(|| {
        json!({
            "status": "Failure", "code": 422, "reason": "Invalid",
            "message": sentences(verdict.refused.iter()),
        })
    });
    let warnings: Vec<String> = verdict.warned.iter().take(TOLD).map(warning).collect();
    let response = json!({
        "uid": uid, "allowed": is_allowed, "warnings": warnings, "status": status,
    });
    json!({"apiVersion": API_VERSION, "kind": KIND, "response": response})
}

fn warning(finding: &Finding) -> String {
    finding.to_string().chars().take(LONGEST_WARNING).collect()
}

#[cfg(test)]
mod tests;
