//! Which selectors may select a pod, without trying every selector of its namespace.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::objects::ObjectKey;
use crate::config::objects::metadata::Labels;

type Label = (Arc<str>, Arc<str>);

/// Objects with a selector, by namespace and by the first label that their selector asks for.
#[derive(Debug, Default)]
pub(super) struct LabelIndex {
    namespaces: HashMap<Arc<str>, HashMap<Label, BTreeSet<ObjectKey>>>,
}

impl LabelIndex {
    /// Adds an object; one whose selector is empty selects nothing and is left out.
    pub(super) fn add(&mut self, selector: &Labels, key: &ObjectKey) {
        if let Some((name, value)) = selector.first_key_value() {
            let labels = self
                .namespaces
                .entry(Arc::clone(&key.namespace))
                .or_default();
            let label = (Arc::clone(name), Arc::clone(value));
            labels.entry(label).or_default().insert(key.clone());
        }
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, selector: &Labels, key: &ObjectKey) {
        let Some((name, value)) = selector.first_key_value() else {
            return;
        };
        let Some(labels) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        let label = (Arc::clone(name), Arc::clone(value));
        if let Some(keys) = labels.get_mut(&label) {
            keys.remove(key);
            if keys.is_empty() {
                labels.remove(&label);
            }
        }
        if labels.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
    }

    /// Objects whose selector asks first for a label that is among these.
    pub(super) fn candidates<'a>(
        &'a self,
        namespace: &str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a ObjectKey> + use<'a> {
        let index = self.namespaces.get(namespace);
        labels.iter().flat_map(move |(name, value)| {
            let label = (Arc::clone(name), Arc::clone(value));
            index
                .and_then(|index| index.get(&label))
                .into_iter()
                .flatten()
        })
    }
}
