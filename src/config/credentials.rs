//! What users give for TLS with hosts outside of the mesh, as far as it was read: which Secrets are wanted, and
//! what came of it. Who reads them is elsewhere (`crate::credentials`).
//!
//! A Secret is wanted while a DestinationRule of its own namespace names it, and no other Secret is. What was good
//! stays while the next version is not, or cannot be read, here and with waypoints ([`Configuration::credential`]), so
//! that a control plane that is started anew takes nothing from them; of one that is gone nothing stays: whoever deletes
//! it means that. What those of one namespace, and of all, have is bounded; what is beyond is as what is not good, so
//! that nobody fills the memory of the control plane. Nothing here is part of the model, so that nothing that shows the model shows a key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_identity::outside::OutsidePapers;
use ambit_model::{CredentialUse, OutsideCredential};

use super::Configuration;
use super::objects::destination_rule::DestinationRule;
use super::objects::destination_rule::policy::{Tls, TlsMode};
use super::objects::names::Name;
use super::objects::{Kind, ObjectKey};

/// Most bytes that the Secrets of one namespace have together.
const MOST_OF_NAMESPACE: usize = 1 << 20;
/// Most that all of them have.
const MOST_OF_ALL: usize = 64 << 20;

/// A Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Secrets that are wanted.
pub type Wanted = BTreeSet<SecretName>;

/// What a Secret has; none if it is not there; or why it cannot be read.
pub type Given = Result<Option<OutsideCredential>, String>;

/// All that was read.
#[derive(Debug, Default)]
pub struct Credentials {
    known: BTreeMap<SecretName, Known>,
    /// What is held of all of them.
    held: usize,
}

#[derive(Debug)]
struct Known {
    good: Option<(OutsideCredential, OutsidePapers)>,
    /// It was not there when it was looked for last.
    is_missing: bool,
    /// Why the last version is not the good one.
    problem: Option<String>,
    /// When it was looked at last.
    seen: SystemTime,
}

impl Credentials {
    /// Takes in what was read. True if other things are to be told of it now.
    fn take(&mut self, name: &SecretName, given: Given, now: SystemTime) -> bool {
        let given = given.and_then(|given| {
            let room = given.as_ref().map(|given| self.has_room(name, given));
            room.unwrap_or(Ok(())).map(|()| given)
        });
        let known = self.known.entry(name.clone()).or_insert(Known {
            good: None,
            is_missing: false,
            problem: Some(String::new()),
            seen: now,
        });
        let before = (known.problem.clone(), known.is_valid());
        known.is_missing = match &given {
            Ok(given) => given.is_none(),
            Err(_) => known.is_missing,
        };
        let was = known.good.as_ref().map(|(given, _)| given.clone());
        let held = known.length();
        known.seen = now;
        known.problem = match given {
            Err(why) => Some(why),
            Ok(None) => {
                known.good = None;
                Some("it is not there".to_owned())
            }
            Ok(Some(given)) if was.as_ref() == Some(&given) => None,
            Ok(Some(given)) => match OutsidePapers::read(&given) {
                Err(error) => Some(error.to_string()),
                Ok(papers) => match papers.is_valid(now) {
                    Err(error) if was.is_some() => Some(error.to_string()),
                    Ok(()) | Err(_) => {
                        known.good = Some((given, papers));
                        None
                    }
                },
            },
        };
        self.held = self.held.saturating_sub(held) + known.length();
        if let Some(why) = known
            .problem
            .as_ref()
            .filter(|why| before.0.as_ref() != Some(why))
        {
            tracing::warn!(secret = %name, "for TLS with hosts outside of the mesh: {why}");
        }
        let is_other = was.as_ref() != known.good.as_ref().map(|(given, _)| given);
        is_other || before != (known.problem.clone(), known.is_valid())
    }

    /// Forgets what nobody wants any more: these.
    fn keep(&mut self, wanted: &Wanted) -> Vec<SecretName> {
        let names = self.known.keys().filter(|name| !wanted.contains(*name));
        let unwanted: Vec<SecretName> = names.cloned().collect();
        for name in &unwanted {
            let held = self.known.remove(name).map_or(0, |known| known.length());
            self.held = self.held.saturating_sub(held);
        }
        unwanted
    }

    /// Whether this may be held in the place of what is held of a Secret; why not.
    fn has_room(&self, name: &SecretName, given: &OutsideCredential) -> Result<(), String> {
        let from = SecretName {
            namespace: Arc::clone(&name.namespace),
            name: Arc::default(),
        };
        let of_namespace = self.known.range(from..);
        let of_namespace = of_namespace.take_while(|(other, _)| other.namespace == name.namespace);
        let of_namespace: usize = of_namespace.map(|(_, known)| known.length()).sum();
        let before = self.known.get(name).map_or(0, Known::length);
        let room = |all: usize, most: usize| all.saturating_sub(before) + length(given) <= most;
        if !room(of_namespace, MOST_OF_NAMESPACE) {
            return Err("with it the Secrets of its namespace have more than 1 MiB".to_owned());
        }
        if !room(self.held, MOST_OF_ALL) {
            return Err("with it the Secrets of all namespaces have more than 64 MiB".to_owned());
        }
        Ok(())
    }

    /// What is wrong with a Secret for somebody who asks for it so; nothing while it has not been looked at.
    pub fn problem(&self, name: &SecretName, tls: &Tls) -> Option<String> {
        let known = self.known.get(name)?;
        let stays = match (&known.good, known.is_missing) {
            (Some(_), _) => "the last good version stays in force",
            (None, true) => "nothing is sent to the host",
            (None, false) => {
                "nothing is sent to the host but by waypoints that have a good version of before"
            }
        };
        if let Some(problem) = &known.problem {
            return Some(format!("Secret {name}: {problem}; {stays}"));
        }
        let asked = CredentialUse {
            name: name.to_string().into(),
            certificate: tls.mode == Some(TlsMode::Mutual),
        };
        let unverified = tls.insecure_skip_verify == Some(true);
        let (_, papers) = known.good.as_ref()?;
        let error = papers.will_do(&asked, unverified, known.seen).err()?;
        Some(format!(
            "Secret {name}: {error}; nothing is sent to the host"
        ))
    }
}

impl Known {
    fn is_valid(&self) -> bool {
        let papers = self.good.as_ref().map(|(_, papers)| papers);
        papers.is_some_and(|papers| papers.is_valid(self.seen).is_ok())
    }

    /// What is held of it.
    fn length(&self) -> usize {
        self.good.as_ref().map_or(0, |(given, _)| length(given))
    }
}

fn length(given: &OutsideCredential) -> usize {
    given.chain.len() + given.key.len() + given.roots.len()
}

/// The Secret that TLS with a host outside takes its certificates from, for a rule of this namespace; `Err` for
/// one that is no name.
pub fn named(namespace: &Arc<str>, tls: &Tls) -> Option<Result<SecretName, ()>> {
    let name = tls.credential_name.as_ref()?;
    if !matches!(tls.mode, Some(TlsMode::Simple | TlsMode::Mutual)) {
        return None;
    }
    let secret = SecretName {
        namespace: Arc::clone(namespace),
        name: Arc::clone(name),
    };
    Some(Name::new(name).map(|_| secret).map_err(drop))
}

impl Configuration {
    /// Secrets that destination rules of their own namespaces name, if any are read.
    pub fn wanted_credentials(&self) -> Wanted {
        if !self.settings.reads_credentials {
            return Wanted::new();
        }
        let keys = self.objects.of_kind(Kind::DestinationRule);
        let rules = keys.filter_map(|(key, _)| Some((key, self.objects.destination_rule(key)?)));
        rules.flat_map(|(key, rule)| wanted_by(key, rule)).collect()
    }

    /// Forgets Secrets that nobody wants any more, and says which.
    pub fn keep_credentials(&mut self, wanted: &Wanted) -> Vec<SecretName> {
        self.credentials.keep(wanted)
    }

    /// Takes in what was read of a Secret. True if other things are to be told of it now.
    pub fn take_credential(&mut self, name: &SecretName, given: Given, now: SystemTime) -> bool {
        self.credentials.take(name, given, now)
    }

    /// What is handed to waypoints of a Secret's namespace: what is good, and an empty one of what is not there. Of
    /// what is not known they are not told, and keep what they have.
    pub fn credential(&self, name: &SecretName) -> Option<OutsideCredential> {
        let known = self.credentials.known.get(name)?;
        match &known.good {
            Some((given, _)) => Some(given.clone()),
            None => known.is_missing.then(OutsideCredential::default),
        }
    }
}

fn wanted_by(key: &ObjectKey, rule: &DestinationRule) -> Vec<SecretName> {
    let policies = rule.policies();
    let all = policies.flat_map(|(_, policy)| {
        let ports = policy.port_level_settings.iter();
        let of_ports = ports.filter_map(|port| port.tls.as_ref());
        policy.tls.iter().chain(of_ports)
    });
    all.filter_map(|tls| named(&key.namespace, tls)?.ok())
        .collect()
}

#[cfg(test)]
mod tests;
