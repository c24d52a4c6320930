//! Which keys of issuers are wanted, and what is made of those that come.

use std::sync::Arc;

use super::Configuration;
use super::keys::{Fetched, KeySource, Wanted, patience};
use super::objects::{Kind, Object, ObjectKey};
use super::translate::Dirty;
use ambit_model::Change;

impl Configuration {
    /// Where keys are to be fetched now. Of rules that differ in how long that may take, the longest counts.
    pub fn wanted_keys(&self) -> Wanted {
        let mut wanted = Wanted::new();
        for (key, object) in self.request_authentications() {
            for rule in object.to_model().rules {
                if let Some(source) = KeySource::of(&rule) {
                    let want = wanted.entry(source).or_default();
                    want.patience = patience(&rule).max(want.patience);
                    want.namespaces.insert(Arc::clone(&key.namespace));
                }
            }
        }
        wanted
    }

    /// Forgets keys that nobody wants any more.
    pub fn keep_keys(&mut self, wanted: &Wanted) {
        self.keys.keep(wanted);
    }

    /// Takes in what came of a fetch.
    pub fn take_keys(&mut self, source: &KeySource, fetched: Fetched) -> Vec<Change> {
        if !self.keys.take(source.clone(), fetched) {
            return Vec::new();
        }
        let mut dirty = Dirty::default();
        for (key, object) in self.request_authentications() {
            let rules = object.to_model().rules;
            if rules
                .iter()
                .any(|rule| KeySource::of(rule).as_ref() == Some(source))
            {
                dirty.authentication(key);
            }
        }
        self.recompute(dirty)
    }

    fn request_authentications(
        &self,
    ) -> impl Iterator<
        Item = (
            &ObjectKey,
            &super::objects::request_authentication::RequestAuthentication,
        ),
    > {
        let all = self.objects.of_kind(Kind::RequestAuthentication);
        all.filter_map(|(key, object)| match object {
            Object::RequestAuthentication(object) => Some((key, &**object)),
            _ => None,
        })
    }
}
