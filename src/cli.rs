//! The command line, one module per subcommand. Each is a function of its arguments that writes to
//! what it is given and answers with an exit code, so that tests need no process.

pub mod access;
pub mod crds;
pub mod explain;
pub mod uninstall;
pub mod vet;
