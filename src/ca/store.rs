//! Where the authority's document lies: a seam with two kinds, a folder and an object of the
//! cluster (`crate::cluster`).
//!
//! In a folder it is one file, `STATE/ca/authority.json` (0600 in a 0700 directory), so that no
//! crash can leave two files that contradict each other; it is replaced as a whole.
//! `STATE/root.pem` beside it is for everybody: the roots to trust, in text. A folder has one
//! writer; a shared store has many, each of which writes only on top of what it has read.

use std::fmt;
use std::path::{Path, PathBuf};

use ambit_kit::files::{self, FileError};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};

use super::kept::ContentError;

/// Why the authority's state could not be loaded or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// An object of the cluster.
    #[error("{place}: {why}")]
    Cluster {
        /// Which object.
        place: String,
        /// What failed.
        why: String,
    },
    /// The content is not what we wrote.
    #[error(
        "{place} cannot be read: {source}; restore it from a backup, or move it away for a new root (every agent then has to be given the new root)"
    )]
    Content {
        /// Where it lies.
        place: String,
        /// What is wrong.
        source: ContentError,
    },
    /// Others write all the time.
    #[error("{place} was changed by others again and again; it is tried again")]
    Busy {
        /// Where it lies.
        place: String,
    },
}

/// Which version of a document: what the store says of it, nothing to be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(pub String);

/// A document as it was read.
#[derive(Clone)]
pub struct Stored {
    /// The document.
    pub content: Vec<u8>,
    /// Its version.
    pub revision: Revision,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content has keys in it.
        f.debug_struct("Stored")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Why a document was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Somebody else has written meanwhile.
    #[error("somebody else has written meanwhile")]
    Conflict,
    /// It failed, or it is not known whether it did.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// Where the document lies.
pub trait Store: fmt::Debug + Send + Sync {
    /// Its name, for people.
    fn place(&self) -> String;

    /// True if other processes write it too.
    fn is_shared(&self) -> bool;

    /// Reads it; `None` if there is none.
    fn load(&self) -> BoxFuture<'_, Result<Option<Stored>, StoreError>>;

    /// Writes it as a whole over that version of it, or where there is none.
    fn keep(
        &self,
        content: Vec<u8>,
        over: Option<Revision>,
    ) -> BoxFuture<'_, Result<Revision, KeepError>>;

    /// The document's version whenever somebody may have changed it, `None` where it is gone.
    fn changes(&self) -> BoxStream<'static, Option<Revision>>;

    /// Tells everybody the roots to trust, where that is this store's business.
    fn publish(&self, bundle_pem: &str) -> Result<(), StoreError>;
}

/// The files of the authority.
#[derive(Debug)]
pub(crate) struct Folder {
    authority: PathBuf,
    public: PathBuf,
}

impl Folder {
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
    pub(crate) fn read(&self) -> Result<Option<Stored>, StoreError> {
        let content = files::read_secret(&self.authority)?;
        Ok(content.map(|content| Stored {
            content,
            revision: the_only_one(),
        }))
    }

    /// Writes it.
    pub(crate) fn write(&self, content: &[u8]) -> Result<Revision, StoreError> {
        files::write_whole(&self.authority, content, files::SECRET)?;
        Ok(the_only_one())
    }
}

/// A folder has one writer, so versions need no names.
fn the_only_one() -> Revision {
    Revision(String::new())
}

impl Store for Folder {
    fn place(&self) -> String {
        self.authority.display().to_string()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn load(&self) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        async { self.read() }.boxed()
    }

    fn keep(
        &self,
        content: Vec<u8>,
        _over: Option<Revision>,
    ) -> BoxFuture<'_, Result<Revision, KeepError>> {
        async move { Ok(self.write(&content)?) }.boxed()
    }

    fn changes(&self) -> BoxStream<'static, Option<Revision>> {
        stream::pending().boxed()
    }

    fn publish(&self, bundle_pem: &str) -> Result<(), StoreError> {
        let content = bundle_pem.as_bytes();
        Ok(files::write_whole(&self.public, content, files::PUBLIC)?)
    }
}

#[cfg(test)]
mod tests;
