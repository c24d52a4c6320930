//! Which pods the agents say they captured: the facts behind every HBONE in the mesh.
//!
//! A claim stands until its agent withdraws it or, on a later stream, no longer lists it. A stream
//! that merely breaks changes nothing: an agent that cannot reach the control plane serves on, and
//! telling its peers to go back to plaintext would be a downgrade made by a broken cable. For the
//! same reason claims outlive this process, in `STATE/captured/NODE.json`.
//!
//! Claims count for pods of the agent's own node only; who checks that is the configuration task,
//! which knows the pods.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_kit::files::{self, FileError};

/// Claims of one agent: more than any node has pods.
pub(super) const MAX_PER_NODE: usize = 4096;
/// Longest uid of a pod; Kubernetes' own have 36 letters.
pub(super) const MAX_UID: usize = 512;
const SUFFIX: &str = ".json";

/// Uids of pods that an agent captured, with `namespace/name` for people.
pub(crate) type NodeClaims = BTreeMap<Arc<str>, Arc<str>>;

/// Why a claim was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    /// One agent claims too much.
    #[error("this agent claims more than {MAX_PER_NODE} pods")]
    TooMany,
    /// It is no uid.
    #[error("a pod's uid has 1 to {MAX_UID} letters")]
    Uid,
}

/// Whether it can be the uid of a pod.
pub(super) fn check_uid(uid: &str) -> Result<(), ClaimError> {
    if uid.is_empty() || uid.len() > MAX_UID {
        return Err(ClaimError::Uid);
    }
    Ok(())
}

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    nodes: HashMap<Arc<str>, NodeClaims>,
}

impl Claims {
    /// True if the agent of that node claims that pod.
    pub(crate) fn holds(&self, node: &str, uid: &str) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|claims| claims.contains_key(uid))
    }

    /// Every claim, with its node.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.nodes
            .iter()
            .flat_map(|(node, claims)| claims.keys().map(move |uid| (node, uid)))
    }

    /// Claims of one node.
    pub(crate) fn of(&self, node: &str) -> NodeClaims {
        self.nodes.get(node).cloned().unwrap_or_default()
    }

    /// Takes a claim; true if it is new.
    pub(crate) fn add(
        &mut self,
        node: &Arc<str>,
        uid: &str,
        pod: &str,
    ) -> Result<bool, ClaimError> {
        check_uid(uid)?;
        if pod.len() > MAX_UID {
            return Err(ClaimError::Uid);
        }
        let claims = self.nodes.entry(Arc::clone(node)).or_default();
        if claims.len() >= MAX_PER_NODE && !claims.contains_key(uid) {
            return Err(ClaimError::TooMany);
        }
        Ok(claims.insert(uid.into(), pod.into()).is_none())
    }

    /// Gives a claim up; true if there was one.
    pub(crate) fn remove(&mut self, node: &str, uid: &str) -> bool {
        let Some(claims) = self.nodes.get_mut(node) else {
            return false;
        };
        let removed = claims.remove(uid).is_some();
        if claims.is_empty() {
            self.nodes.remove(node);
        }
        removed
    }
}

/// The files of the claims.
#[derive(Clone, Debug)]
pub(crate) struct ClaimFiles {
    directory: PathBuf,
}

impl ClaimFiles {
    /// The files below a state directory.
    pub(crate) fn open(state: &Path) -> Result<Self, FileError> {
        let directory = state.join("captured");
        files::private_directory(&directory)?;
        Ok(Self { directory })
    }

    /// Reads all claims. A file that cannot be read costs that node's claims only until its agent
    /// reports again, so it is told and passed over.
    pub(crate) fn load(&self) -> Claims {
        let mut claims = Claims::default();
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(%error, "the claims of captured pods cannot be listed");
                return claims;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(node) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            match read(&entry.path()) {
                Ok(found) => {
                    claims.nodes.insert(node.into(), found);
                }
                Err(error) => tracing::error!(
                    node,
                    "the captured pods of a node are not known until its agent reports: {error}"
                ),
            }
        }
        claims
    }

    /// Keeps the claims of one node.
    pub(crate) fn keep(&self, node: &str, claims: &NodeClaims) -> Result<(), FileError> {
        let path = self.directory.join(format!("{node}{SUFFIX}"));
        let content = serde_json::to_vec(claims).unwrap_or_default();
        files::write_whole(&path, &content, files::SECRET)
    }
}

fn read(path: &Path) -> Result<NodeClaims, String> {
    let content = files::read_secret(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&content.unwrap_or_default())
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
