//! `ambit-node-agent ready`: whether the agent of this very container has taken over the node.
//!
//! During an upgrade two agents are on a node and share its ports: 15021 is answered by the one
//! that serves, in whichever pod it runs. An agent binds `agent.sock` once it has taken over, so
//! the owner of that socket is the agent of the node; a process of this container shares its view
//! of the file system with us.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ambit_netsys::passing;

/// Fails until the agent of this container has taken over the node.
#[derive(Clone, Debug, clap::Args)]
pub struct ReadyArgs {
    /// Folder of the agent's sockets.
    #[arg(long, env = "AMBIT_RUN_DIR", default_value = "/run/ambit")]
    run_dir: PathBuf,
}

/// Why it has not.
#[derive(Debug, thiserror::Error)]
enum NotReady {
    /// No agent is there.
    #[error("no agent listens at {}: {why}; it has not taken over yet", path.display())]
    Nobody { path: PathBuf, why: io::Error },
    /// Another one is.
    #[error(
        "process {0}, the agent of this node, is of another container: nothing handed over yet"
    )]
    Other(i32),
    /// The kernel does not tell.
    #[error(
        "it cannot be told who listens: {0}; the agent's containers share the node's processes"
    )]
    Hidden(#[from] io::Error),
}

/// Succeeds if the agent of this container owns the node's pods.
pub fn run(args: &ReadyArgs) -> anyhow::Result<()> {
    Ok(check(&args.run_dir.join("agent.sock"))?)
}

fn check(socket: &Path) -> Result<(), NotReady> {
    let stream = UnixStream::connect(socket).map_err(|why| NotReady::Nobody {
        path: socket.to_owned(),
        why,
    })?;
    let owner = passing::peer_credentials(&stream)?.pid;
    match is_of_this_container(owner)? {
        true => Ok(()),
        false => Err(NotReady::Other(owner)),
    }
}

fn is_of_this_container(process: i32) -> io::Result<bool> {
    Ok(view_of(&process.to_string())? == view_of("self")?)
}

/// Which view of the file system a process has.
fn view_of(process: &str) -> io::Result<(u64, u64)> {
    let namespace = fs::metadata(format!("/proc/{process}/ns/mnt"))?;
    Ok((namespace.dev(), namespace.ino()))
}

#[cfg(test)]
mod tests;
