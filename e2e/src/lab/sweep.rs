//! What a run that was killed left behind: found by its name, removed if its process is gone.
//!
//! Only names of ours are touched (`ambit-PID-…`), and only when no process has that id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::namespace;

/// Where things of a lab may lie, besides its network namespaces.
pub(super) const FOLDERS: [&str; 2] = ["/tmp", "/dev/shm"];

/// What all names of this process's next lab begin with.
pub(super) fn next_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "ambit-{}-{}",
        process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Removes what dead processes left.
pub(super) fn sweep() {
    for name in entries(Path::new("/run/netns"))
        .iter()
        .filter(|name| is_stale(name))
    {
        namespace::remove(name);
    }
    for folder in FOLDERS.iter().chain(&["/etc/netns"]).map(Path::new) {
        for name in entries(folder).iter().filter(|name| is_stale(name)) {
            fs::remove_dir_all(folder.join(name)).ok();
        }
    }
}

/// Everything of that prefix that exists now: empty once a lab is gone.
pub fn remains(prefix: &str) -> Vec<PathBuf> {
    let places = FOLDERS
        .iter()
        .chain(&["/run/netns", "/etc/netns"])
        .map(Path::new);
    let here = |folder: &Path| {
        let named = entries(folder)
            .into_iter()
            .filter(|name| name.starts_with(prefix));
        named.map(|name| folder.join(name)).collect::<Vec<_>>()
    };
    places.flat_map(here).collect()
}

fn is_stale(name: &str) -> bool {
    owner(name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// The process a name belongs to, if it is a name of ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix("ambit-")?.split_once('-')?;
    let ours = rest.starts_with(|first: char| first.is_ascii_digit());
    pid.parse().ok().filter(|_pid| ours)
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(listed) = fs::read_dir(folder) else {
        return Vec::new();
    };
    listed
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests;
