//! The command line, one module per subcommand. Each is a function of its arguments that writes to
//! what it is given and answers with an exit code, so that tests need no process.

pub mod access;
pub mod crds;
pub mod enrol;
pub mod explain;
mod live;
mod standing;
pub mod status;
mod table;
pub mod uninstall;
pub mod vet;
