//! What outlives the process: roots, keys and where a rotation stands, in one file.
//!
//! One file, `STATE/ca/authority.json` (0600 in a 0700 directory), so that no crash can leave two
//! files that contradict each other; it is replaced as a whole. `STATE/root.pem` beside it is for
//! everybody: the roots to trust, in text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ambit_kit::files::{self, FileError};
use ambit_model::TrustDomain;
use serde::{Deserialize, Serialize};

use super::root::{Root, RootError};
use super::rotation::Phase;

/// Version of the file's layout.
const FORMAT: u32 = 1;

/// Why the authority's state could not be loaded or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The content is not what we wrote.
    #[error(
        "{path} cannot be read: {reason}; restore it from a backup, or move it away for a new root (every agent then has to be given the new root.pem)"
    )]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A root in it is not usable.
    #[error("{path}: {source}")]
    Root {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: RootError,
    },
}

/// Everything that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Number of the bundle as it is; grows with every change.
    pub(crate) generation: u64,
    /// Where a rotation stands.
    pub(crate) phase: Phase,
    /// No leaf of the root that signs lives longer than this.
    pub(crate) leaves_until: SystemTime,
    /// Nodes whose agents are known: a rotation waits for them, connected or not.
    pub(crate) agents: BTreeSet<String>,
    /// The old root (or the only one).
    pub(crate) first: Arc<Root>,
    /// The next root, during a rotation.
    pub(crate) next: Option<Arc<Root>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    generation: u64,
    phase: Phase,
    leaves_until: SystemTime,
    agents: BTreeSet<String>,
    roots: Vec<WrittenRoot>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoot {
    certificate: String,
    key: String,
}

/// The files of the authority.
#[derive(Debug)]
pub(crate) struct Store {
    authority: PathBuf,
    public: PathBuf,
}

impl Store {
    /// The files below a state directory; makes `ca/` if there is none, and refuses one that is
    /// open to others.
    pub(crate) fn open(state: &Path) -> Result<Self, StoreError> {
        let directory = state.join("ca");
        files::private_directory(&directory)?;
        Ok(Self {
            authority: directory.join("authority.json"),
            public: state.join("root.pem"),
        })
    }

    /// Reads what was kept; `None` on the first start.
    pub(crate) fn load(&self, trust_domain: &TrustDomain) -> Result<Option<Kept>, StoreError> {
        let Some(content) = files::read_secret(&self.authority)? else {
            return Ok(None);
        };
        let written: Written =
            serde_json::from_slice(&content).map_err(|error| self.bad(error.to_string()))?;
        if written.format != FORMAT {
            return Err(self.bad(format!("format {} is not {FORMAT}", written.format)));
        }
        let mut roots = Vec::new();
        for root in &written.roots {
            let loaded = Root::load(&root.certificate, &root.key, trust_domain);
            let loaded = loaded.map_err(|source| StoreError::Root {
                path: self.authority.clone(),
                source,
            })?;
            roots.push(Arc::new(loaded));
        }
        let rotating = !matches!(written.phase, Phase::Steady);
        let mut roots = roots.into_iter();
        let (Some(first), next, None) = (roots.next(), roots.next(), roots.next()) else {
            return Err(self.bad("one or two roots expected".to_owned()));
        };
        if next.is_some() != rotating {
            return Err(self.bad("the number of roots does not fit the phase".to_owned()));
        }
        let Written {
            generation,
            phase,
            leaves_until,
            agents,
            ..
        } = written;
        Ok(Some(Kept {
            generation,
            phase,
            leaves_until,
            agents,
            first,
            next,
        }))
    }

    /// Keeps it all, as one.
    pub(crate) fn keep(&self, kept: &Kept) -> Result<(), StoreError> {
        let roots = kept
            .roots()
            .map(|root| WrittenRoot {
                certificate: root.pem().to_owned(),
                key: root.key_pem().to_owned(),
            })
            .collect();
        let written = Written {
            format: FORMAT,
            generation: kept.generation,
            phase: kept.phase.clone(),
            leaves_until: kept.leaves_until,
            agents: kept.agents.clone(),
            roots,
        };
        let content =
            serde_json::to_vec_pretty(&written).map_err(|error| self.bad(error.to_string()))?;
        Ok(files::write_whole(
            &self.authority,
            &content,
            files::SECRET,
        )?)
    }

    /// Tells everybody the roots to trust.
    pub(crate) fn publish(&self, bundle_pem: &str) -> Result<(), StoreError> {
        Ok(files::write_whole(
            &self.public,
            bundle_pem.as_bytes(),
            files::PUBLIC,
        )?)
    }

    fn bad(&self, reason: String) -> StoreError {
        StoreError::Content {
            path: self.authority.clone(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests;
