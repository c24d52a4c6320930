//! The namespaces in question: their label, and their pods as they are now.

use std::io::Write;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::progress::{Progress, Wish};
use crate::cli::live::Live;
use crate::cluster::call::{CallError, call};
use crate::config::translate::LABELS;
use crate::mesh_names::MeshNames;

/// Namespaces, by name.
pub(super) struct Namespaces<'a> {
    live: &'a Live,
    names: &'a [String],
    mesh: &'a MeshNames,
    all: Api<Namespace>,
}

impl<'a> Namespaces<'a> {
    /// Of a mesh that goes by these names.
    pub(super) fn new(live: &'a Live, names: &'a [String], mesh: &'a MeshNames) -> Self {
        Self {
            live,
            names,
            mesh,
            all: Api::all(live.client.clone()),
        }
    }

    /// Asks by label for what is wished; all are looked at before the first is changed.
    pub(super) async fn label(&self, wish: Wish, out: &mut impl Write) -> anyhow::Result<()> {
        let mut changes = Vec::new();
        for name in self.names {
            if wish == Wish::Captured && is_excluded(self.mesh, &self.live.namespace, name) {
                bail!("namespace {name} is the cluster's or the mesh's own: it is never captured");
            }
            let namespace = match call(self.all.get(name)).await {
                Ok(namespace) => namespace,
                Err(CallError::Missing(_)) => bail!("there is no namespace {name}"),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read namespace {name}"));
                }
            };
            changes.push((name, change(wish, &namespace)));
        }
        for (name, change) in changes {
            let Some(label) = change else {
                writeln!(out, "{name}: its labels say so already")?;
                continue;
            };
            let patch = Patch::Merge(json!({"metadata": {"labels": label}}));
            let patched = call(self.all.patch(name, &PatchParams::default(), &patch)).await;
            patched.with_context(|| format!("cannot label namespace {name}"))?;
            writeln!(out, "{name}: {}", told(&label))?;
        }
        Ok(())
    }

    /// Their pods as they are now.
    pub(super) async fn look(&self, wish: Wish) -> Result<Progress, CallError> {
        let (mut namespaces, mut pods, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let failures = ListParams::default().fields("reason=NotCaptured");
        for name in self.names {
            namespaces.push(call(self.all.get(name)).await?);
            let of_it: Api<Pod> = Api::namespaced(self.live.client.clone(), name);
            pods.extend(call(of_it.list(&ListParams::default())).await?.items);
            let of_it: Api<Event> = Api::namespaced(self.live.client.clone(), name);
            // Without the right to see them nothing but the reasons is missing.
            if let Ok(found) = call(of_it.list(&failures)).await {
                events.extend(found.items);
            }
        }
        Ok(Progress::of(wish, self.mesh, &namespaces, &pods, &events))
    }
}

fn is_excluded(mesh: &MeshNames, own: &str, name: &str) -> bool {
    name == own || mesh.excluded_namespaces.iter().any(|found| found == name)
}

/// The labels to change, if any.
fn change(wish: Wish, namespace: &Namespace) -> Option<Value> {
    let label = |name: &str| {
        let labels = namespace.metadata.labels.as_ref()?;
        labels.get(name).map(String::as_str)
    };
    let [ours, others @ ..] = LABELS else {
        return None;
    };
    let is_others = others.iter().any(|name| label(name) == Some("ambient"));
    match wish {
        Wish::Captured if label(ours) == Some("ambient") => None,
        Wish::Captured if label(ours).is_none() && is_others => None,
        Wish::Captured => Some(json!({*ours: "ambient"})),
        // The label of another mesh is not ours to take off; ours beats it.
        Wish::Released if is_others => {
            (label(ours) != Some("none")).then(|| json!({*ours: "none"}))
        }
        Wish::Released => label(ours).map(|_| json!({*ours: null})),
    }
}

/// The change in kubectl's words.
fn told(label: &Value) -> String {
    let labels = label.as_object().into_iter().flatten();
    let words = labels.map(|(name, value)| match value.as_str() {
        Some(value) => format!("labelled {name}={value}"),
        None => format!("label {name} taken off"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
