//! What the host role remembers of its pods across its own death: one small file per pod.
//!
//! The folder belongs to root and is closed to everybody else, so no other role can forge a pod.
//! Files are written whole under another name and moved into place: a reader never sees half of
//! one. They lie on tmpfs; a reboot takes them along with the namespaces that they name.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::names::{PodNames, PodUid};
use super::pods::{NamespaceId, PodState};
use super::rules::Rules;

/// Version of the file format; another one is not read.
const VERSION: u32 = 1;

/// A pod as it is kept, and as it is handed to a successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptPod {
    /// Version of the format.
    pub(crate) version: u32,
    /// As the enrolment named it.
    pub(crate) names: PodNames,
    /// Its network namespace.
    pub(crate) namespace: NamespaceId,
    /// Path that the namespace was found at, if any.
    pub(crate) path: Option<String>,
    /// Where it was between enrolment and end.
    pub(crate) state: PodState,
    /// Settings of the namespace as they were before: path below `/proc/sys` and value.
    pub(crate) settings: Vec<(String, String)>,
    /// Packet filters that may have rules of ours in it. Records of old do not say: there was one.
    #[serde(default = "nft_alone")]
    pub(crate) written: BTreeSet<Rules>,
    /// Whether its questions about names are left alone, as far as was known.
    #[serde(default)]
    pub(crate) no_dns: bool,
}

/// The folder that pods are kept in.
#[derive(Clone, Debug)]
pub(crate) struct KeptPods {
    folder: PathBuf,
}

/// Why the folder or a file in it could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// The operating system refused.
    #[error("{path}: {source}; the host role must be root and its state folder writable")]
    Io { path: PathBuf, source: io::Error },
    /// Somebody else could write there.
    #[error(
        "{path} must be a folder of root that nobody else can write to, but has owner {owner} and mode {mode:o}"
    )]
    NotPrivate {
        path: PathBuf,
        owner: u32,
        mode: u32,
    },
}

impl KeptPod {
    /// Puts the parts together under the present version.
    pub(crate) fn new(
        names: PodNames,
        namespace: NamespaceId,
        path: Option<String>,
        state: PodState,
        settings: Vec<(String, String)>,
        written: BTreeSet<Rules>,
    ) -> Self {
        Self {
            version: VERSION,
            names,
            namespace,
            path,
            state,
            settings,
            written,
            no_dns: false,
        }
    }

    /// Reads a kept pod; `None` if it is of another version or not a pod at all.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let pod: Self = serde_json::from_slice(bytes).ok()?;
        (pod.version == VERSION).then_some(pod)
    }
}

impl KeptPods {
    /// Opens the folder below the agent's state folder, making it where it is missing.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, KeptError> {
        let host = state_dir.join("host");
        private_folder(&host)?;
        let folder = host.join("pods");
        private_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Writes a pod, replacing what was there.
    pub(crate) fn save(&self, pod: &KeptPod) -> Result<(), KeptError> {
        let path = self.file(&pod.names.uid);
        let fresh = path.with_extension("json.new");
        let write = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            serde_json::to_writer(file, pod)?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| KeptError::Io {
            path: path.clone(),
            source,
        })
    }

    /// Forgets a pod; one that was never kept is fine.
    pub(crate) fn remove(&self, uid: &PodUid) -> Result<(), KeptError> {
        let path = self.file(uid);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(KeptError::Io { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Reads every pod, and names the files that hold none.
    pub(crate) fn load(&self) -> Result<(Vec<KeptPod>, Vec<PathBuf>), KeptError> {
        let failed = |source| KeptError::Io {
            path: self.folder.clone(),
            source,
        };
        let mut pods = Vec::new();
        let mut unreadable = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match fs::read(&path).ok().as_deref().and_then(KeptPod::parse) {
                Some(pod) => pods.push(pod),
                None => unreadable.push(path),
            }
        }
        Ok((pods, unreadable))
    }

    /// Packet filters that may have rules of ours in the pod, by what was written down last.
    pub(crate) fn written(&self, uid: &PodUid, namespace: NamespaceId) -> BTreeSet<Rules> {
        let kept = fs::read(self.file(uid)).ok();
        let kept = kept.as_deref().and_then(KeptPod::parse);
        kept.filter(|pod| pod.namespace == namespace)
            .map(|pod| pod.written)
            .unwrap_or_default()
    }

    fn file(&self, uid: &PodUid) -> PathBuf {
        self.folder.join(format!("{uid}.json"))
    }
}

fn nft_alone() -> BTreeSet<Rules> {
    BTreeSet::from([Rules::Nft])
}

/// Makes a folder that only root may enter, or closes the one there, if nobody else could write
/// to it until now.
pub(crate) fn private_folder(path: &Path) -> Result<(), KeptError> {
    let failed = |source| KeptError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if !metadata.is_dir() || owner != geteuid().as_raw() || mode & 0o022 != 0 {
        return Err(KeptError::NotPrivate {
            path: path.to_owned(),
            owner,
            mode,
        });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)
}

#[cfg(test)]
mod tests;
