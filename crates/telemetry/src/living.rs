//! Which series still speak of workloads that exist.
//!
//! Making the answer costs a walk over the mesh: the caller does it seldom, after workloads went.

use std::collections::HashSet;
use std::sync::Arc;

use ambit_model::{Mesh, Workload};

use crate::ends::Ends;
use crate::labels::{Labels, UNKNOWN, known};

/// Labels by which a cell is kept: an owner of a pod can change the latter two as often as they like.
const NAMES: [&str; 4] = ["workload", "workload_namespace", "app", "version"];

/// The workloads of a mesh, and what they are called in labels.
#[derive(Debug)]
pub(crate) struct Living<'a> {
    mesh: &'a Mesh,
    names: HashSet<[&'a str; 4]>,
}

impl<'a> Living<'a> {
    /// What lives in this mesh.
    pub(crate) fn of(mesh: &'a Mesh) -> Self {
        Self {
            mesh,
            names: mesh.workloads().map(names_of).collect(),
        }
    }

    /// True if both ends are objects of the mesh as it is now, as far as they are known.
    pub(crate) fn has_both(&self, ends: &Ends) -> bool {
        let is_current = |workload: &Option<Arc<Workload>>| {
            workload.as_ref().is_none_or(|w| {
                let now = self.mesh.workload(&w.uid);
                now.is_some_and(|now| Arc::ptr_eq(now, w))
            })
        };
        is_current(&ends.source) && is_current(&ends.destination)
    }

    /// True if the mesh has workloads of both names in these labels, as far as there are names.
    pub(crate) fn has_names(&self, labels: &Labels) -> bool {
        ["source", "destination"].iter().all(|side| {
            let value = |name| labels.get(&format!("{side}_{name}")).map(|value| &**value);
            match NAMES.map(value) {
                [Some(UNKNOWN), ..] => true,
                [Some(workload), Some(namespace), Some(app), Some(version)] => {
                    self.names.contains(&[workload, namespace, app, version])
                }
                _ => true,
            }
        })
    }
}

/// What a workload is called in labels, as [`NAMES`] lists it.
fn names_of(workload: &Arc<Workload>) -> [&str; 4] {
    let (name, revision) = (&workload.canonical_name, &workload.canonical_revision);
    [&workload.workload_name, &workload.namespace, name, revision].map(|name| known(name))
}
