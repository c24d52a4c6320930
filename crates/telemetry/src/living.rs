//! Which series still speak of workloads that exist.
//!
//! Making the answer costs a walk over the mesh: the caller does it seldom, after workloads went.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
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
    /// Whether there are workloads of names of which some are not known, once that was asked.
    some_known: RefCell<HashMap<[Option<String>; 4], bool>>,
}

impl<'a> Living<'a> {
    /// What lives in this mesh.
    pub(crate) fn of(mesh: &'a Mesh) -> Self {
        Self {
            mesh,
            names: mesh.workloads().map(names_of).collect(),
            some_known: RefCell::default(),
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
                some => self.has_some(some),
            }
        })
    }

    /// True if a workload has these names; the others are not in the labels.
    fn has_some(&self, names: [Option<&str>; 4]) -> bool {
        if names == [None; 4] {
            return true;
        }
        let key = names.map(|name| name.map(str::to_owned));
        let mut some_known = self.some_known.borrow_mut();
        *some_known.entry(key).or_insert_with(|| {
            self.names.iter().any(|all| {
                let mut both = all.iter().zip(names);
                both.all(|(known, name)| name.is_none_or(|name| name == *known))
            })
        })
    }
}

/// What a workload is called in labels, as [`NAMES`] lists it.
fn names_of(workload: &Arc<Workload>) -> [&str; 4] {
    let (name, revision) = (&workload.canonical_name, &workload.canonical_revision);
    [&workload.workload_name, &workload.namespace, name, revision].map(|name| known(name))
}
