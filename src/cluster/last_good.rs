//! Keeps last good versions of policies in the ConfigMap `ambit-last-good`, so that a control plane
//! that starts anew has them too.
//!
//! An entry is there while its policy cannot be read: written by a leader that has the version, kept
//! by one that has not, removed when the policy can be read or is gone.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::call::{CallError, call};
use crate::config::apiserver::last_good::{CONFIG_MAP, entry_of, namespace_of};
use crate::config::statuses::Report;

/// Most that is kept, in bytes: a ConfigMap holds a mebibyte.
const MOST: usize = 900_000;

type Entries = BTreeMap<String, String>;

/// The one who keeps them.
pub(super) struct Keeper {
    maps: Api<ConfigMap>,
    /// What is there; none before it was read.
    there: Option<Entries>,
}

impl Keeper {
    /// In the namespace of these.
    pub(super) fn new(maps: Api<ConfigMap>) -> Self {
        Self { maps, there: None }
    }

    /// Another replica writes now.
    pub(super) fn forget(&mut self) {
        self.there = None;
    }

    /// Keeps what a report asks for. What fails is tried again with the next one.
    pub(super) async fn keep(&mut self, report: &Report) {
        if let Err(error) = self.try_keep(report).await {
            self.there = None;
            tracing::warn!(%error, "last good policies are not kept over a restart");
        }
    }

    async fn try_keep(&mut self, report: &Report) -> Result<(), CallError> {
        let there = match self.there.take() {
            Some(there) => there,
            None => self.read().await?,
        };
        let next = next(&there, report);
        if next != there {
            self.write(difference(&there, &next), &next).await?;
        }
        self.there = Some(next);
        Ok(())
    }

    async fn read(&self) -> Result<Entries, CallError> {
        match call(self.maps.get(CONFIG_MAP)).await {
            Ok(map) => Ok(map.data.unwrap_or_default()),
            Err(CallError::Missing(_)) => Ok(Entries::new()),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, patch: Value, next: &Entries) -> Result<(), CallError> {
        let field_manager = Some(FIELD_MANAGER.to_owned());
        let parameters = PatchParams {
            field_manager: field_manager.clone(),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        match call(self.maps.patch(CONFIG_MAP, &parameters, &patch)).await {
            Err(CallError::Missing(_)) => {}
            done => return done.map(drop),
        }
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(CONFIG_MAP.to_owned()),
                labels: Some(super::labels()),
                ..ObjectMeta::default()
            },
            data: Some(next.clone()),
            ..ConfigMap::default()
        };
        let parameters = PostParams {
            field_manager,
            ..PostParams::default()
        };
        call(self.maps.create(&parameters, &map)).await.map(drop)
    }
}

/// What is to be there, as far as there is room.
fn next(there: &Entries, report: &Report) -> Entries {
    let unreadable: BTreeSet<String> = report.unreadable.iter().map(entry_of).collect();
    let mut next: Entries = there
        .iter()
        .filter(|(entry, _)| unreadable.contains(*entry))
        .map(|(entry, document)| (entry.clone(), document.clone()))
        .collect();
    let known = report.last_good.iter();
    next.extend(known.map(|(key, document)| (entry_of(key), document.to_string())));
    fit(next)
}

/// What there is room for: namespaces with little first, so that one with much keeps out none but
/// its own.
fn fit(entries: Entries) -> Entries {
    let size = |(entry, document): &(String, String)| entry.len() + document.len();
    let mut of_namespaces: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (entry, document) in entries {
        let namespace = namespace_of(&entry).to_owned();
        of_namespaces
            .entry(namespace)
            .or_default()
            .push((entry, document));
    }
    let mut by_size: Vec<_> = of_namespaces.into_values().collect();
    by_size.sort_by_key(|entries| entries.iter().map(size).sum::<usize>());
    let mut room = MOST;
    let mut fitting = Entries::new();
    for mut entries in by_size {
        entries.sort_by_key(size);
        for (entry, document) in entries {
            match room.checked_sub(entry.len() + document.len()) {
                Some(left) => {
                    room = left;
                    fitting.insert(entry, document);
                }
                None => {
                    tracing::error!(%entry, "no room to keep this last good policy over a restart");
                }
            }
        }
    }
    fitting
}

/// What has to be changed, as a merge patch.
fn difference(there: &Entries, next: &Entries) -> Value {
    let gone = there.keys().filter(|entry| !next.contains_key(*entry));
    let gone = gone.map(|entry| (entry.clone(), Value::Null));
    let new = next
        .iter()
        .filter(|(entry, document)| there.get(*entry) != Some(document));
    let new = new.map(|(entry, document)| (entry.clone(), document.clone().into()));
    let data: serde_json::Map<String, Value> = gone.chain(new).collect();
    json!({"data": data})
}

#[cfg(test)]
mod tests;
