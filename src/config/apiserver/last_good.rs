//! Last good versions of policies that cannot be read, as they outlive the process: a ConfigMap in
//! our own namespace, a document each.
//!
//! A document is for the very object that it was a version of, known by its uid: another one of
//! that name never was good.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::config::objects::{self, Object, ObjectKey};

/// The ConfigMap.
pub const CONFIG_MAP: &str = "ambit-last-good";
/// Longest key of a ConfigMap.
const LONGEST_KEY: usize = 253;

/// Versions that were kept.
#[derive(Debug, Default)]
pub struct LastGood(BTreeMap<ObjectKey, (String, Object)>);

impl LastGood {
    /// Reads documents; those that cannot be read are left out, which refuses more, not less.
    pub fn of(documents: impl IntoIterator<Item = String>) -> Self {
        let read = |text: String| {
            let document: Value = serde_json::from_str(&text)
                .inspect_err(|error| tracing::warn!(%error, "a last good policy cannot be read"))
                .ok()?;
            let uid = document.pointer("/metadata/uid")?.as_str()?.to_owned();
            let object = objects::read(document)
                .inspect_err(|error| tracing::warn!(%error, "a last good policy cannot be read"))
                .ok()?;
            Some((object.key(), (uid, object)))
        };
        Self(documents.into_iter().filter_map(read).collect())
    }

    /// The version of this very object.
    pub fn get(&self, key: &ObjectKey, uid: &str) -> Option<&Object> {
        let (of, object) = self.0.get(key)?;
        (of == uid).then_some(object)
    }
}

/// Where a policy's version stands in the ConfigMap.
pub fn entry_of(key: &ObjectKey) -> String {
    let entry = format!("{}.{}.{}", key.kind.name(), key.namespace, key.name);
    if entry.len() <= LONGEST_KEY {
        return entry;
    }
    let digest = digest(&SHA256, entry.as_bytes());
    let hash: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("{}.{}.{hash}", key.kind.name(), key.namespace)
}

/// The namespace of the policy that stands there: neither it nor a kind has a dot in it.
pub fn namespace_of(entry: &str) -> &str {
    entry.split('.').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests;
