//! The objects that claim one key: nearly always one, for a moment or by design several.
//!
//! An address can be reused before the record of its old owner is gone, and pods on the host's
//! network share the node's. A claim is taken back by the *name* of its owner, so the end of one
//! owner never removes another's claim. Owners are kept in the order of their names: what a
//! look-up answers does not depend on the order in which the claims came.

use std::hash::Hash;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use crate::names::{PolicyName, ServiceName, WorkloadUid};
use crate::policy::Policy;
use crate::service::Service;
use crate::workload::Workload;

/// An object with a name that is unique among its kind.
pub(crate) trait Named {
    /// What the name looks like.
    type Name: Ord + Clone;

    /// The name.
    fn name(&self) -> &Self::Name;
}

impl Named for Workload {
    type Name = WorkloadUid;

    fn name(&self) -> &WorkloadUid {
        &self.uid
    }
}

impl Named for Service {
    type Name = ServiceName;

    fn name(&self) -> &ServiceName {
        &self.name
    }
}

impl Named for Policy {
    type Name = PolicyName;

    fn name(&self) -> &PolicyName {
        &self.name
    }
}

/// All objects of one kind that claim the same key; never empty while it stands in an index.
#[derive(Debug)]
pub(crate) enum Claims<T: Named> {
    /// The usual case, without a map of its own.
    One(Arc<T>),
    /// Several, by name.
    Several(OrdMap<T::Name, Arc<T>>),
}

impl<T: Named> Clone for Claims<T> {
    fn clone(&self) -> Self {
        match self {
            Self::One(object) => Self::One(Arc::clone(object)),
            Self::Several(objects) => Self::Several(objects.clone()),
        }
    }
}

impl<T: Named> Claims<T> {
    /// Adds a claim, in the place of an earlier one by an object of the same name.
    pub(crate) fn add(&mut self, object: &Arc<T>) {
        match self {
            Self::One(other) if other.name() == object.name() => *other = Arc::clone(object),
            Self::One(other) => {
                let both = [Arc::clone(other), Arc::clone(object)];
                *self = Self::Several(both.into_iter().map(|o| (o.name().clone(), o)).collect());
            }
            Self::Several(objects) => {
                objects.insert(object.name().clone(), Arc::clone(object));
            }
        }
    }

    /// What is left when the named object takes its claim back.
    pub(crate) fn without(mut self, name: &T::Name) -> Option<Self> {
        match &mut self {
            Self::One(object) => (object.name() != name).then_some(self),
            Self::Several(objects) => {
                objects.remove(name);
                match objects.len() {
                    0 => None,
                    1 => objects
                        .values()
                        .next()
                        .map(|last| Self::One(Arc::clone(last))),
                    _ => Some(self),
                }
            }
        }
    }

    /// The claimant whose name comes first.
    pub(crate) fn first(&self) -> Option<&Arc<T>> {
        self.iter().next()
    }

    /// The claimant, if there is just one.
    pub(crate) fn only(&self) -> Option<&Arc<T>> {
        match self {
            Self::One(object) => Some(object),
            Self::Several(_) => None,
        }
    }

    /// All claimants, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        let (one, several) = match self {
            Self::One(object) => (Some(object), None),
            Self::Several(objects) => (None, Some(objects.values())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}

/// Adds an object's claim to a key.
pub(crate) fn claim<K, T>(index: &mut HashMap<K, Claims<T>>, key: K, object: &Arc<T>)
where
    K: Hash + Eq + Clone,
    T: Named,
{
    match index.get_mut(&key) {
        Some(claims) => claims.add(object),
        None => {
            index.insert(key, Claims::One(Arc::clone(object)));
        }
    }
}

/// Takes an object's claim to a key back.
pub(crate) fn disclaim<K, T>(index: &mut HashMap<K, Claims<T>>, key: &K, name: &T::Name)
where
    K: Hash + Eq + Clone,
    T: Named,
{
    if let Some(claims) = index.remove(key)
        && let Some(left) = claims.without(name)
    {
        index.insert(key.clone(), left);
    }
}
