//! The command line, one module per subcommand. Each is a function of its arguments that writes to
//! what it is given and answers with an exit code, so that tests need no process.

use std::ffi::OsStr;
use std::path::Path;

pub mod access;
pub mod crds;
pub mod enrol;
pub mod explain;
mod live;
pub mod proxy_config;
mod standing;
pub mod status;
mod table;
pub mod uninstall;
pub mod version;
pub mod vet;
pub mod waypoint;

/// What its user calls the program, from the path by which it was started.
pub fn called(program: Option<&OsStr>) -> &'static str {
    let name = program.map(Path::new).and_then(Path::file_stem);
    if name == Some(OsStr::new("kubectl-ambit")) {
        "kubectl ambit"
    } else {
        "ambit"
    }
}

#[cfg(test)]
mod tests;
