//! Public keys of issuers, as far as they were fetched: what is wanted, and what came of it. Who fetches them
//! is elsewhere (`crate::jwks`).
//!
//! What was good stays: a fetch that fails changes nothing but what is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::JwtRule;

/// How long a fetch may take if the rule does not say, and the longest that it may say.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySource {
    /// From here.
    Uri(Arc<str>),
    /// From where the discovery document of this issuer says.
    Issuer(Arc<str>),
}

/// Where an issuer says where its keys are (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The longest URL that travels with a rule.
const LONGEST: usize = 1024;

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => f.write_str(uri),
            Self::Issuer(issuer) => write!(f, "the discovery document of {issuer}"),
        }
    }
}

/// Sources that keys are wanted from.
pub type Wanted = BTreeMap<KeySource, Want>;

/// Who wants keys of a source, and how long fetching them may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The longest that anybody is ready to wait.
    pub patience: Duration,
    /// Namespaces whose objects name the source.
    pub namespaces: BTreeSet<Arc<str>>,
}

/// What came of a fetch: a key set, or why not, for people.
pub type Fetched = Result<Arc<str>, String>;

impl KeySource {
    /// What is asked first.
    pub fn url(&self) -> Arc<str> {
        match self {
            Self::Uri(uri) => Arc::clone(uri),
            Self::Issuer(issuer) => format!("{}{DISCOVERY}", issuer.trim_end_matches('/')).into(),
        }
    }

    /// Where the keys of a rule are to be fetched, if it has none of its own; none if nobody knows where.
    pub fn of(rule: &JwtRule) -> Option<Self> {
        if rule.jwks.is_some() {
            return None;
        }
        let uri = rule.jwks_uri.clone().map(Self::Uri);
        let is_url = |issuer: &&Arc<str>| {
            let is_http = issuer.starts_with("https://") || issuer.starts_with("http://");
            is_http && issuer.len() + DISCOVERY.len() <= LONGEST
        };
        let issuer = rule.issuer.as_ref().filter(is_url);
        uri.or_else(|| issuer.cloned().map(Self::Issuer))
    }
}

/// How long fetching the keys of a rule may take.
pub fn patience(rule: &JwtRule) -> Duration {
    let (usual, longest) = PATIENCE;
    let said = rule.timeout.filter(|timeout| !timeout.is_zero());
    said.unwrap_or(usual).min(longest)
}

/// All keys that were fetched.
#[derive(Debug, Default)]
pub struct Keys(BTreeMap<KeySource, Known>);

/// What is known of a source.
#[derive(Debug, Default)]
struct Known {
    /// The last good set.
    set: Option<Arc<str>>,
    /// Why the last fetch was none.
    problem: Option<String>,
}

impl Keys {
    /// The last good set of a source.
    pub fn of(&self, source: &KeySource) -> Option<&Arc<str>> {
        self.0.get(source)?.set.as_ref()
    }

    /// Whether keys were fetched from a source, or could not be.
    pub fn were_asked(&self, source: &KeySource) -> bool {
        self.0.contains_key(source)
    }

    /// Why the last fetch failed, if it did; also if there was none yet.
    pub fn problem(&self, source: &KeySource) -> Option<&str> {
        match self.0.get(source) {
            Some(known) => known.problem.as_deref(),
            None => Some("they have not been fetched yet"),
        }
    }

    /// Takes in what came of a fetch. True if the set is another one now.
    pub(super) fn take(&mut self, source: KeySource, fetched: Fetched) -> bool {
        let known = self.0.entry(source).or_default();
        match fetched {
            Ok(set) => {
                known.problem = None;
                let before = known.set.replace(set);
                before != known.set
            }
            Err(problem) => {
                known.problem = Some(problem);
                false
            }
        }
    }

    /// Forgets what nobody wants any more.
    pub(super) fn keep(&mut self, wanted: &Wanted) {
        self.0.retain(|source, _| wanted.contains_key(source));
    }
}

#[cfg(test)]
mod tests;
