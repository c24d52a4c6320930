//! The node's list of enrolled namespaces, and what it means for a new pod.
//!
//! The node agent writes the list, the plugin reads it: so a pod that is not of the mesh starts
//! without the agent, and one that is does not start around it. Without a list that can be relied
//! on nobody can tell the two apart, and only system pods start.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

/// The format that is written and read.
const VERSION: u32 = 1;
/// A list that was not written anew for so long is no longer relied on.
pub const STALE_AFTER_SECONDS: u64 = 15 * 60;
/// Longest list that is read: tens of thousands of namespaces.
const LIST_BYTES: u64 = 4 << 20;

/// Which namespaces are enrolled, as of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceList {
    version: u32,
    /// When it was written, in seconds since 1970.
    pub written_unix: u64,
    /// Namespaces whose pods must be captured before they start.
    pub enrolled: BTreeSet<String>,
    /// Namespaces whose pods never wait for the agent, enrolled or not.
    pub system: BTreeSet<String>,
}

/// Why there is no list to rely on.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It cannot be opened, or is not there.
    #[error("its list of enrolled namespaces cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Others than root could have written it.
    #[error("its list of enrolled namespaces is not trusted: {0}")]
    NotTrusted(&'static str),
    /// Not what the agent writes.
    #[error("its list of enrolled namespaces is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Of another agent.
    #[error("its list of enrolled namespaces has version {0}; this plugin reads {VERSION}")]
    OtherVersion(u32),
    /// The agent has been away for long.
    #[error("its list of enrolled namespaces was last written {0} s ago")]
    Stale(u64),
    /// The clock was set back.
    #[error("its list of enrolled namespaces was written {0} s in the future")]
    Future(u64),
}

/// What a new pod needs before it may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Pass,
    /// To be captured.
    AskFirmly,
    /// Nothing, unless the agent says otherwise: a pod may be enrolled by a label of its own.
    AskLoosely,
    /// What cannot be known now, for this reason.
    Fail(String),
}

impl NamespaceList {
    /// A list of now.
    pub fn new(enrolled: BTreeSet<String>, system: BTreeSet<String>, now: u64) -> Self {
        Self {
            version: VERSION,
            written_unix: now,
            enrolled,
            system,
        }
    }

    /// Reads the text of a list, `now` in seconds since 1970.
    pub fn parse(text: &[u8], now: u64) -> Result<Self, ListError> {
        let list: Self = serde_json::from_slice(text)?;
        if list.version != VERSION {
            return Err(ListError::OtherVersion(list.version));
        }
        let age = now.saturating_sub(list.written_unix);
        if age > STALE_AFTER_SECONDS {
            return Err(ListError::Stale(age));
        }
        let ahead = list.written_unix.saturating_sub(now);
        if ahead > STALE_AFTER_SECONDS {
            return Err(ListError::Future(ahead));
        }
        Ok(list)
    }

    /// Reads the list of this node, if only root can have written it.
    pub fn read(path: &Path, now: u64) -> Result<Self, ListError> {
        // Not following a link, nor waiting for the writer of a pipe.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(flags.bits()).open(path)?;
        check_trusted(&file)?;
        let mut text = Vec::new();
        file.take(LIST_BYTES).read_to_end(&mut text)?;
        Self::parse(&text, now)
    }
}

fn check_trusted(file: &File) -> Result<(), ListError> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(ListError::NotTrusted("it is not a regular file"));
    }
    if found.uid() != 0 {
        return Err(ListError::NotTrusted("it does not belong to root"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(ListError::NotTrusted("others than root may write to it"));
    }
    Ok(())
}

/// What a new pod of this namespace needs; `system` is what the configuration itself says.
pub fn decide(
    list: &Result<NamespaceList, ListError>,
    namespace: &str,
    system: &[String],
) -> Decision {
    if system.iter().any(|name| name == namespace) {
        return Decision::Pass;
    }
    match list {
        Err(error) => Decision::Fail(error.to_string()),
        Ok(list) if list.system.contains(namespace) => Decision::Pass,
        Ok(list) if list.enrolled.contains(namespace) => Decision::AskFirmly,
        Ok(_) => Decision::AskLoosely,
    }
}

#[cfg(test)]
mod tests;
