//! Files that are replaced as a whole: readers see the old content or the new, and nothing else
//! is left in the directory, whatever fails.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// How the name of a file that is being written ends; no container runtime reads such a file.
pub(crate) const UNFINISHED: &str = ".ambit-new";

/// Who a file belongs to and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) mode: u32,
    /// User and group; those of this process if absent.
    pub(crate) ids: Option<(u32, u32)>,
}

/// Writes a file beside its place and renames it there.
pub(crate) fn replace(path: &Path, content: &[u8], owner: Owner) -> io::Result<()> {
    let beside = beside(path);
    remove_if_there(&beside)?;
    let placed = write(&beside, content, owner).and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // The first error tells more than one of cleaning up.
        drop(remove_if_there(&beside));
        return placed;
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Removes a file; true if it was there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, content: &[u8], owner: Owner) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    if let Some((user, group)) = owner.ids {
        fchown(&file, Some(user), Some(group))?;
    }
    // After the change of owner, which takes special bits away.
    file.set_permissions(Permissions::from_mode(owner.mode))?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{UNFINISHED}"))
}
