//! `ambit-cni install` and `uninstall`: the binary in the folder that the container runtime looks
//! in, replaced as a whole while pods are being started with it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::replace::{Owner, remove_if_there, replace};
use crate::spec::PLUGIN;

/// Who may run it.
const MODE: u32 = 0o755;

/// How the program is used by a person or an init container.
pub const USAGE: &str = "\
ambit-cni is a CNI plugin: a container runtime starts it with CNI_COMMAND set.

  ambit-cni install --to DIR [--with NAME]...      copies itself to DIR, and files beside it
  ambit-cni uninstall --from DIR [--with NAME]...  removes them again
  ambit-cni version
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Copy the program, and the named files beside it.
    Install {
        /// The folder.
        to: PathBuf,
        /// Names of other files beside the program.
        with: Vec<OsString>,
    },
    /// Remove what was copied.
    Uninstall {
        /// The folder.
        from: PathBuf,
        /// Names of other files.
        with: Vec<OsString>,
    },
    /// Say which version this is.
    Version,
    /// Say how it is used.
    Help,
}

/// Why an order was not understood or not carried out.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Not a command line of ours.
    #[error("{0}; see `ambit-cni --help`")]
    Usage(String),
    /// A system call failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl InstallError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

impl Order {
    /// Reads the words after the program's name.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, InstallError> {
        let mut words = words.into_iter();
        let command = words.next().unwrap_or_default();
        let (mut folder, mut with) = (None, Vec::new());
        while let Some(word) = words.next() {
            let value = words.next();
            match (command.to_str(), word.to_str(), value) {
                (Some("install"), Some("--to"), Some(value))
                | (Some("uninstall"), Some("--from"), Some(value)) => {
                    folder = Some(PathBuf::from(value));
                }
                (_, Some("--with"), Some(name)) => with.push(file_name(name)?),
                (_, _, _) => return Err(usage("not understood", &word)),
            }
        }
        match (command.to_str(), folder) {
            (Some("install"), Some(to)) => Ok(Self::Install { to, with }),
            (Some("uninstall"), Some(from)) => Ok(Self::Uninstall { from, with }),
            (Some("install" | "uninstall"), None) => Err(usage("no folder was given to", &command)),
            (Some("version" | "--version" | "-V"), None) => Ok(Self::Version),
            (Some("help" | "--help" | "-h"), None) => Ok(Self::Help),
            _ => Err(usage("not understood", &command)),
        }
    }
}

/// Copies the program, and named files beside it, to a folder; answers which had to be.
pub fn install(program: &Path, to: &Path, with: &[OsString]) -> Result<Vec<PathBuf>, InstallError> {
    let others = with
        .iter()
        .map(|name| (program.with_file_name(name), to.join(name)));
    let all = [(program.to_owned(), to.join(PLUGIN))]
        .into_iter()
        .chain(others);
    let mut copied = Vec::new();
    for (source, target) in all {
        let content = fs::read(&source).map_err(InstallError::io("read", &source))?;
        if !is_installed(&target, &content) {
            let owner = Owner {
                mode: MODE,
                ids: None,
            };
            replace(&target, &content, owner).map_err(InstallError::io("write", &target))?;
            copied.push(target);
        }
    }
    Ok(copied)
}

/// Removes what [`install`] has copied; answers what was still there.
pub fn uninstall(from: &Path, with: &[OsString]) -> Result<Vec<PathBuf>, InstallError> {
    let names = [OsString::from(PLUGIN)]
        .into_iter()
        .chain(with.iter().cloned());
    let mut removed = Vec::new();
    for path in names.map(|name| from.join(name)) {
        if remove_if_there(&path).map_err(InstallError::io("remove", &path))? {
            removed.push(path);
        }
    }
    Ok(removed)
}

fn is_installed(target: &Path, content: &[u8]) -> bool {
    let regular =
        |found: &fs::Metadata| found.is_file() && found.permissions().mode() & 0o777 == MODE;
    fs::symlink_metadata(target).is_ok_and(|found| regular(&found))
        && fs::read(target).is_ok_and(|found| found == content)
}

fn file_name(name: OsString) -> Result<OsString, InstallError> {
    if Path::new(&name).file_name() == Some(&name) {
        Ok(name)
    } else {
        Err(usage("not the name of a file", &name))
    }
}

fn usage(problem: &str, word: &OsString) -> InstallError {
    InstallError::Usage(format!("{problem}: {}", word.to_string_lossy()))
}

#[cfg(test)]
mod tests;
