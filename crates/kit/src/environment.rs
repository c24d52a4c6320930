//! Settings from the environment: a variable of ours that nothing reads is a mistake and is said
//! so, instead of a setting that silently does not apply.

use std::ffi::{OsStr, OsString};

/// What every variable of ours begins with.
const PREFIX: &str = "AMBIT_";

/// Variables are set that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no setting of this program: {}; unset it, or see --help for the names there are", .0.join(", "))]
pub struct UnreadVariables(Vec<String>);

/// Fails if a variable of ours is `set` that is not among the `known` ones.
///
/// What Kubernetes sets for each service of a pod's namespace (`…_SERVICE_HOST`, `…_PORT_80_TCP`
/// and so on) may begin with our name too and is passed over.
pub fn all_read<'a>(
    known: impl IntoIterator<Item = &'a OsStr>,
    set: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), UnreadVariables> {
    let known: Vec<&OsStr> = known.into_iter().collect();
    let ours = set
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_os_str()))
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !is_of_a_service(name));
    let mut unread: Vec<String> = ours.collect();
    unread.sort_unstable();
    if unread.is_empty() {
        Ok(())
    } else {
        Err(UnreadVariables(unread))
    }
}

fn is_of_a_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

#[cfg(test)]
mod tests;
