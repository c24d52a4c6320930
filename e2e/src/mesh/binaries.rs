//! Finding the programs under test: cargo puts them beside (or above) the running executable.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The path of a program of this workspace, built with the same profile as the caller.
pub fn binary(name: &str) -> Result<PathBuf> {
    let running = env::current_exe().context("finding the running executable")?;
    // target/PROFILE/demo, or target/PROFILE/deps/scenarios-HASH
    let folders = running.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder: &Path| folder.join(name))
        .find(|path| path.is_file());
    let Some(path) = found else {
        bail!(
            "{name} is not built beside {}: run `cargo build --workspace --bins` first \
             (`make test` and `make demo` do)",
            running.display()
        );
    };
    Ok(path)
}
