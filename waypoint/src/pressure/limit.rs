//! How much memory this process may have: what its control group may, and those around it, or else
//! what the machine has.
//!
//! A container may see its own group at the root of the mounted tree, whatever path it is told; so
//! both are looked at. What cannot be read limits nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the trees are mounted.
const TREE: &str = "/sys/fs/cgroup";

/// The limit in bytes; `None` if nothing can be read.
pub(crate) fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let read = |file: PathBuf| number(&fs::read_to_string(file).ok()?);
    let limits = files(&groups).into_iter().filter_map(read);
    let machine = fs::read_to_string("/proc/meminfo").ok();
    limits.chain(machine.and_then(|text| total(&text))).min()
}

/// The files that tell the limits of these groups, which are listed as in `/proc/self/cgroup`.
fn files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (tree, name) = match controllers {
            "" => (PathBuf::from(TREE), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (Path::new(TREE).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(path.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| tree.join(group).join(name)));
    }
    files
}

/// The number in such a file; `max` is none.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit > 0)
}

/// The machine's memory, as `/proc/meminfo` tells it.
fn total(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests;
