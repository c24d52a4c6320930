//! Request authentications, made ready when they come so that no request has to.
//!
//! Services and workloads name those that hold for them. Of each distinct list of names there is one
//! [`Authenticator`], made when the list comes up or one of its objects changes, and shared by all that
//! name it. It is kept as long as anybody does.
//!
//! What is not known opens no door: a list of which an object is missing, or cannot be used, refuses. Two
//! things are kept longer than the control plane tells of them: an object that is gone, until nobody
//! names it (names travel after objects); and the keys of a rule, while what comes has none (the control
//! plane has started anew and not fetched them yet, or cannot).

use std::sync::Arc;

use ambit_jwt::{Cache, Verifier};
use ambit_model::{Change, JwtRule, Mesh, PolicyName, RequestAuthentication};
use http::HeaderName;

/// Bytes of tokens that were found good.
const CACHE: usize = 8 << 20;

/// What judges the tokens of requests, by one list of objects.
#[derive(Debug)]
pub(crate) enum Authenticator {
    /// By all of them.
    Ready(Verifier),
    /// One is missing, or cannot be used: every request is refused.
    Refusing {
        /// Which one.
        name: PolicyName,
        /// Why.
        why: String,
    },
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Authenticators {
    /// None if the system has no random numbers: then every list refuses.
    cache: Option<Arc<Cache>>,
    objects: imbl::HashMap<PolicyName, Held>,
    lists: imbl::HashMap<Arc<[PolicyName]>, Listed>,
    /// For a list that nobody is known to name.
    unknown: Arc<Authenticator>,
    /// Workloads that have authentications of their own.
    of_workloads: usize,
}

/// An object.
#[derive(Clone, Debug)]
struct Held {
    object: Arc<RequestAuthentication>,
    /// The control plane tells of it no longer.
    gone: bool,
}

/// What is made of a list.
#[derive(Clone, Debug)]
struct Listed {
    /// How many services and workloads name it.
    by: usize,
    made: Arc<Authenticator>,
}

impl Authenticators {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        let cache =
            Cache::new(CACHE).map_err(|error| tracing::error!(%error, "no token is believed"));
        let unknown = Authenticator::Refusing {
            name: PolicyName::new("", ""),
            why: "it is not known who asks for it".to_owned(),
        };
        Self {
            cache: cache.ok().map(Arc::new),
            objects: imbl::HashMap::new(),
            lists: imbl::HashMap::new(),
            unknown: Arc::new(unknown),
            of_workloads: 0,
        }
    }

    /// What judges by a list; `None` if there is nothing to judge by.
    pub(crate) fn of(&self, names: &[PolicyName]) -> Option<&Arc<Authenticator>> {
        if names.is_empty() {
            return None;
        }
        let listed = self.lists.get(names);
        Some(listed.map_or(&self.unknown, |listed| &listed.made))
    }

    /// Whether anything has authentications.
    pub(crate) fn any(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Whether any workload has authentications of its own.
    pub(crate) fn any_of_workloads(&self) -> bool {
        self.of_workloads > 0
    }

    /// The headers that have tokens, or are made of what these say, wherever that is.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        let made = self.lists.values().map(|listed| &*listed.made);
        let verifiers = made.filter_map(|made| match made {
            Authenticator::Ready(verifier) => Some(verifier),
            Authenticator::Refusing { .. } => None,
        });
        verifiers.flat_map(Verifier::header_names)
    }

    /// Takes a change in that the mesh has not taken in yet.
    pub(super) fn follow(&mut self, change: &Change, mesh: &Mesh) {
        match change {
            Change::PutService(now) => {
                let was = mesh.service(&now.name);
                let was = was.map_or(&[][..], |was| &was.authentications);
                self.relist(was, &now.authentications);
            }
            Change::RemoveService(name) => {
                let was = mesh.service(name);
                self.relist(was.map_or(&[][..], |was| &was.authentications), &[]);
            }
            Change::PutWorkload(now) => {
                let was = mesh.workload(&now.uid);
                let (own, asked) = was.map_or((&[][..], &[][..]), |was| {
                    (&was.authentications, &was.asked_authentications)
                });
                self.relist_own(own, &now.authentications);
                self.relist(asked, &now.asked_authentications);
            }
            Change::RemoveWorkload(uid) => {
                if let Some(was) = mesh.workload(uid) {
                    self.relist_own(&was.authentications, &[]);
                    self.relist(&was.asked_authentications, &[]);
                }
            }
            Change::PutAuthentication(object) => self.put(object),
            Change::RemoveAuthentication(name) => {
                if let Some(held) = self.objects.get_mut(name) {
                    held.gone = true;
                }
                self.forget_what_nobody_names();
            }
            Change::PutPolicy(_)
            | Change::RemovePolicy(_)
            | Change::PutRoutes(_)
            | Change::RemoveRoutes(_) => {}
        }
    }

    fn put(&mut self, object: &Arc<RequestAuthentication>) {
        let before = self.objects.get(&object.name);
        let object = match before {
            Some(before) => with_keys_of(&before.object, object),
            None => Arc::clone(object),
        };
        let name = object.name.clone();
        let gone = false;
        self.objects.insert(name.clone(), Held { object, gone });
        let lists: Vec<Arc<[PolicyName]>> = self.lists.keys().cloned().collect();
        for list in lists.into_iter().filter(|list| list.contains(&name)) {
            let made = self.make(&list);
            if let Some(listed) = self.lists.get_mut(&list) {
                listed.made = made;
            }
        }
    }

    fn relist_own(&mut self, was: &[PolicyName], now: &[PolicyName]) {
        let (had, has) = (usize::from(!was.is_empty()), usize::from(!now.is_empty()));
        self.of_workloads = (self.of_workloads + has).saturating_sub(had);
        self.relist(was, now);
    }

    /// Somebody names another list now.
    fn relist(&mut self, was: &[PolicyName], now: &[PolicyName]) {
        if was == now {
            return;
        }
        if !now.is_empty() {
            match self.lists.get_mut(now) {
                Some(listed) => listed.by += 1,
                None => {
                    let made = self.make(now);
                    self.lists.insert(now.into(), Listed { by: 1, made });
                }
            }
        }
        let Some(listed) = self.lists.get_mut(was) else {
            return;
        };
        listed.by = listed.by.saturating_sub(1);
        if listed.by == 0 {
            self.lists.remove(was);
            self.forget_what_nobody_names();
        }
    }

    fn forget_what_nobody_names(&mut self) {
        let lists = &self.lists;
        let named = |name: &PolicyName| lists.keys().any(|list| list.contains(name));
        self.objects.retain(|name, held| !held.gone || named(name));
    }

    fn make(&self, names: &[PolicyName]) -> Arc<Authenticator> {
        let refusing = |name: &PolicyName, why: String| {
            let name = name.clone();
            Arc::new(Authenticator::Refusing { name, why })
        };
        let mut objects = Vec::with_capacity(names.len());
        for name in names {
            match self.objects.get(name) {
                Some(held) => objects.push(&*held.object),
                None => return refusing(name, "it is not known, or cannot be read".to_owned()),
            }
        }
        let made = self
            .cache
            .as_ref()
            .map(|cache| Verifier::new(objects, cache));
        match (made, names.first()) {
            (Some(Ok(verifier)), _) => Arc::new(Authenticator::Ready(verifier)),
            (Some(Err(unusable)), _) => refusing(&unusable.name, unusable.problem.to_string()),
            (None, Some(first)) => refusing(first, "there are no random numbers".to_owned()),
            (None, None) => Arc::clone(&self.unknown),
        }
    }
}

/// An object, with keys that were fetched for rules of it before and are not there now. Those that its author
/// wrote into it are gone when he takes them out.
fn with_keys_of(
    before: &RequestAuthentication,
    now: &Arc<RequestAuthentication>,
) -> Arc<RequestAuthentication> {
    let known = |rule: &JwtRule| {
        rule.jwks_uri.as_ref()?;
        let mut rules = before.rules.iter();
        let same = rules.find(|was| {
            was.issuer == rule.issuer && was.jwks_uri == rule.jwks_uri && was.jwks.is_some()
        })?;
        same.jwks.clone()
    };
    if now.rules.iter().all(|rule| rule.jwks.is_some()) {
        return Arc::clone(now);
    }
    let mut with = RequestAuthentication::clone(now);
    for rule in with.rules.iter_mut().filter(|rule| rule.jwks.is_none()) {
        rule.jwks = known(rule);
    }
    Arc::new(with)
}

#[cfg(test)]
mod tests;
