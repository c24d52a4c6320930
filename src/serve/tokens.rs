//! Who is calling, outside a cluster: one bearer token per node, for discovery, certificates and
//! capture alike.
//!
//! The tokens that the control plane makes lie in `STATE/tokens/NODE` (0600), one per Node object;
//! a node that is gone from the configuration is no longer let in, its open streams end, and it is
//! let in again when it comes back.
//! A file given by the operator may hold further ones, a line `NODE TOKEN` each.
//!
//! Until it is known which nodes there are, callers are asked to come again.
//!
//! A caller's token is compared by its hash: how long that takes tells nothing about any token.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_kit::files::{self, FileError};
use ambit_model::ServiceName;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::watch;

use super::caller::{Caller, Reason, Refusal, WaypointCaller, Who};

/// Bytes of a token before it is written in hexadecimal.
const TOKEN_BYTES: usize = 32;
/// A given token must be at least this long: shorter ones can be guessed.
const SHORTEST: usize = 16;
/// A caller's token is not even hashed above this length.
const LONGEST: usize = 4096;

/// Why tokens could not be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file or directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The operator's file cannot be read.
    #[error("cannot read the tokens of {path}: {source}")]
    Given {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of it is wrong.
    #[error(
        "{path} line {line}: expected `NODE TOKEN`, or `waypoint/NAMESPACE/GATEWAY TOKEN`, with a \
         token of at least {SHORTEST} letters"
    )]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// A name cannot be that of a file.
    #[error("`{0}` is not a name for a file, so it gets no token")]
    Name(String),
    /// The system has no random numbers.
    #[error("no random numbers for a token")]
    Random,
}

/// What a token of ours is made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// The agent of a node.
    Node(Arc<str>),
    /// The waypoint of a Gateway, by namespace and name.
    Waypoint(Arc<str>, Arc<str>),
}

impl Subject {
    /// What logs and limits know it by. No node's name has a slash.
    pub(crate) fn name(&self) -> Arc<str> {
        match self {
            Self::Node(node) => Arc::clone(node),
            Self::Waypoint(namespace, gateway) => format!("waypoint/{namespace}/{gateway}").into(),
        }
    }

    /// Reads what [`Self::name`] writes; `None` if a part of it could not be the name of a file.
    fn parse(name: &str) -> Option<Self> {
        let subject = match name.strip_prefix("waypoint/") {
            None => Self::Node(name.into()),
            Some(rest) => {
                let (namespace, gateway) = rest.split_once('/')?;
                Self::Waypoint(namespace.into(), gateway.into())
            }
        };
        subject.file().map(|_| subject)
    }

    /// Its file, below the state directory; none if its name cannot be that of a file. No name of
    /// an object has an underscore.
    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Node(node) => is_file_name(node).then(|| Path::new("tokens").join(&**node)),
            Self::Waypoint(namespace, gateway) => (is_file_name(namespace)
                && is_file_name(gateway))
            .then(|| Path::new("waypoint-tokens").join(format!("{namespace}_{gateway}"))),
        }
    }
}

/// Those who are let in by tokens of ours.
#[derive(Clone, Debug)]
pub(crate) struct AdmittedSubjects(watch::Receiver<Option<BySubject>>);

impl AdmittedSubjects {
    /// Waits until that one is not among them.
    pub(crate) async fn without(&mut self, subject: &Subject) {
        let without = |made: &Option<BySubject>| {
            made.as_ref()
                .is_some_and(|made| !made.contains_key(subject))
        };
        // Without a sender the program is about to stop.
        drop(self.0.wait_for(without).await);
    }
}

/// What is kept of a token.
pub(crate) type Hash = [u8; 32];
type BySubject = BTreeMap<Subject, Hash>;

/// All tokens; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    state: PathBuf,
    /// Domain of the cluster's services, in which waypoints have their names.
    domain: Arc<str>,
    given: Arc<HashMap<Hash, Subject>>,
    /// None before it is known who is to have one.
    made: watch::Sender<Option<BySubject>>,
}

impl Tokens {
    /// The tokens below a state directory, and those of the operator's file.
    pub(crate) fn open(
        state: &Path,
        domain: &str,
        given: Option<&Path>,
    ) -> Result<Self, TokenError> {
        for directory in ["tokens", "waypoint-tokens"] {
            files::private_directory(&state.join(directory))?;
        }
        let given = given.map(read_given).transpose()?.unwrap_or_default();
        Ok(Self {
            state: state.to_owned(),
            domain: domain.into(),
            given: Arc::new(given),
            made: watch::Sender::new(None),
        })
    }

    /// Lets exactly these in, making tokens for those that have none.
    pub(crate) fn admit(&self, subjects: impl IntoIterator<Item = Subject>) -> Vec<TokenError> {
        let mut problems = Vec::new();
        let mut made = BySubject::new();
        for subject in subjects {
            let known = self
                .made
                .borrow()
                .as_ref()
                .and_then(|made| made.get(&subject).copied());
            match known.map_or_else(|| self.load_or_make(&subject), Ok) {
                Ok(hash) => {
                    made.insert(subject, hash);
                }
                Err(problem) => problems.push(problem),
            }
        }
        self.made.send_replace(Some(made));
        problems
    }

    /// Who calls with this token.
    pub(crate) fn caller(&self, token: &str) -> Result<Caller, Refusal> {
        let hash = hash(token).ok_or_else(unknown)?;
        if let Some(subject) = self.given.get(&hash) {
            return Ok(Caller::given(subject, self.who(subject)));
        }
        let made = self.made.borrow();
        let Some(made) = made.as_ref() else {
            let why = "the nodes and waypoints are not known yet; try again";
            return Err(Refusal::new(Reason::Unavailable, why));
        };
        let found = made.iter().find(|(_, known)| {
            aws_lc_rs::constant_time::verify_slices_are_equal(*known, &hash).is_ok()
        });
        let (subject, _) = found.ok_or_else(unknown)?;
        let subjects = AdmittedSubjects(self.made.subscribe());
        let who = self.who(subject);
        Ok(Caller::of_subject(subject.clone(), who, subjects))
    }

    fn who(&self, subject: &Subject) -> Who {
        match subject {
            Subject::Node(_) => Who::Agent,
            Subject::Waypoint(namespace, gateway) => {
                let hostname = format!("{gateway}.{namespace}.svc.{}", self.domain);
                Who::Waypoint(Arc::new(WaypointCaller {
                    service: ServiceName::new(Arc::clone(namespace), hostname),
                    service_account: Arc::clone(gateway),
                }))
            }
        }
    }

    fn load_or_make(&self, subject: &Subject) -> Result<Hash, TokenError> {
        let name = subject.name();
        let file = subject.file();
        let file = file.ok_or_else(|| TokenError::Name(name.to_string()))?;
        let path = self.state.join(file);
        if let Some(content) = files::read_secret(&path)? {
            let token = String::from_utf8_lossy(&content);
            if let Some(hash) = hash(token.trim()).filter(|_| token.trim().len() >= SHORTEST) {
                return Ok(hash);
            }
        }
        let mut bytes = [0; TOKEN_BYTES];
        // The library says no more than that it failed.
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| TokenError::Random)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        files::write_whole(&path, format!("{token}\n").as_bytes(), files::SECRET)?;
        tracing::info!(%name, path = %path.display(), "made a token");
        hash(&token).ok_or(TokenError::Random)
    }
}

fn unknown() -> Refusal {
    let why = "the token is that of no node or waypoint: is its Node or Gateway still there?";
    Refusal::new(Reason::UnknownToken, why)
}

/// What is kept of a token; `None` for one that is too long to be any.
pub(crate) fn hash(token: &str) -> Option<Hash> {
    if token.len() > LONGEST {
        return None;
    }
    digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()
}

/// Node names are DNS names; what else could be in a file is not to reach the file system.
fn is_file_name(node: &str) -> bool {
    !node.is_empty()
        && node.len() <= 253
        && !node.starts_with('.')
        && node
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn read_given(path: &Path) -> Result<HashMap<Hash, Subject>, TokenError> {
    let content = fs::read_to_string(path).map_err(|source| TokenError::Given {
        path: path.to_owned(),
        source,
    })?;
    let mut given = HashMap::new();
    for (index, line) in content.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = || TokenError::Line {
            path: path.to_owned(),
            line: index + 1,
        };
        let (name, token) = line.split_once(char::is_whitespace).ok_or_else(bad)?;
        let token = token.trim();
        let subject = Subject::parse(name).ok_or_else(bad)?;
        let hash = hash(token).filter(|_| token.len() >= SHORTEST);
        given.insert(hash.ok_or_else(bad)?, subject);
    }
    Ok(given)
}

#[cfg(test)]
mod tests;
