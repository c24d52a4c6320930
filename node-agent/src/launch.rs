//! Starting the other roles: the host role's side ([`launch_proxy`], [`launch_control`]) and what a
//! role does first thing in `main` ([`enter_proxy`], [`enter_control`]).
//!
//! Each child has a thread of the host role to itself, which starts it, waits for it and ends with
//! it. Two kernel rules ask for that: only a child of the thread that left the pid namespace is the
//! first process of the new one, and a child that asked to die with its parent dies with the
//! *thread* that started it. So no role outlives the host role, however that ends.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use ambit_netsys::process;
use nix::sys::signal::Signal;
use tokio::sync::{oneshot, watch};

mod entry;

pub use entry::{EntryError, ProxyStart, enter_control, enter_proxy};

/// This very program, also after its file has been replaced by an upgrade.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Name of the program as its roles see it.
const PROGRAM_NAME: &str = "ambit-node-agent";

/// How to start one generation of the proxy role.
#[derive(Debug)]
pub struct ProxyLaunch {
    /// Which generation.
    pub generation: u64,
    /// The proxy's socket of the link, see [`crate::link::pair`].
    pub link: OwnedFd,
    /// The proxy's end of the feed.
    pub feed: OwnedFd,
    /// Limit of its private memory in bytes.
    pub memory: u64,
    /// Further arguments of `proxy`.
    pub arguments: Vec<OsString>,
    /// For tests of the confinement: a static program to run in the proxy's place, and its
    /// arguments.
    pub replacement: Option<(PathBuf, Vec<String>)>,
}

/// How to start the control role.
#[derive(Debug)]
pub struct ControlLaunch {
    /// The control role's end of the stream to the host role.
    pub host: OwnedFd,
    /// Further arguments of `control`.
    pub arguments: Vec<OsString>,
}

/// Why a role could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The kernel refused the thread or the pid namespace.
    #[error("cannot prepare a process for the {role} role: {source}; the host role runs as root")]
    Prepare {
        /// Which role.
        role: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The program did not start.
    #[error("cannot start the {role} role: {source}")]
    Start {
        /// Which role.
        role: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The program to run in the proxy's place cannot be opened.
    #[error("cannot open {} to run it in the proxy's place: {source}", path.display())]
    Replacement {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A role that was started. Dropping this leaves the process running.
#[derive(Clone, Debug)]
pub struct Child {
    pid: u32,
    handle: Arc<OwnedFd>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Its process id, as the host role sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended. May be dropped and called again.
    ///
    /// # Errors
    /// If the kernel did not tell how it ended; it has ended all the same.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = self.ended.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|status| *status)
            .ok_or_else(|| io::Error::other("status was lost"))
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Asks it to end in order (SIGTERM).
    ///
    /// # Errors
    /// If it has ended.
    pub fn terminate(&self) -> io::Result<()> {
        process::signal(&self.handle, Signal::SIGTERM)
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// If it has ended.
    pub fn kill(&self) -> io::Result<()> {
        process::signal(&self.handle, Signal::SIGKILL)
    }
}

/// Starts a generation of the proxy role, which then locks itself in by [`enter_proxy`].
///
/// # Errors
/// If it cannot be started. A failure to lock itself in shows as an early end of the child.
pub async fn launch_proxy(launch: ProxyLaunch) -> Result<Child, LaunchError> {
    let mut command = role("proxy");
    // What is in the host role's environment is not for a process that reads foreign bytes.
    command.env_clear();
    let link = process::pass(&mut command, launch.link);
    let feed = process::pass(&mut command, launch.feed);
    command.args([
        "--host-fd",
        &link.to_string(),
        "--feed-fd",
        &feed.to_string(),
    ]);
    command.args(["--generation", &launch.generation.to_string()]);
    command.args(["--memory", &launch.memory.to_string()]);
    if let Some((path, arguments)) = launch.replacement {
        let program =
            File::open(&path).map_err(|source| LaunchError::Replacement { path, source })?;
        let program = process::pass(&mut command, program.into());
        command.args(["--program-fd", &program.to_string()]);
        command.args(
            arguments
                .iter()
                .map(|argument| format!("--program-arg={argument}")),
        );
    }
    command.args(launch.arguments);
    start("proxy", command, process::unshare_children).await
}

/// Starts the control role, which then gives up root by [`enter_control`].
///
/// # Errors
/// If it cannot be started. A failure to give up root shows as an early end of the child.
pub async fn launch_control(launch: ControlLaunch) -> Result<Child, LaunchError> {
    let mut command = role("control");
    let host = process::pass(&mut command, launch.host);
    command.args(["--host-fd", &host.to_string()]);
    command.args(launch.arguments);
    start("control", command, || Ok(())).await
}

fn role(name: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0(PROGRAM_NAME).arg(name).stdin(Stdio::null());
    command
}

/// Starts a command on a thread that stays until the child has ended.
async fn start(
    role: &'static str,
    mut command: Command,
    prepare: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<Child, LaunchError> {
    let (started, starting) = oneshot::channel();
    let (ended, ending) = watch::channel(None);
    let body = move || {
        let result = prepare()
            .map_err(|source| LaunchError::Prepare { role, source })
            .and_then(|()| spawn(role, &mut command));
        // The command owns this side's copies of what was passed.
        drop(command);
        match result {
            Ok((mut child, handle)) => {
                // A caller that is gone by now has no use for the role.
                if started.send(Ok((child.id(), handle))).is_err() {
                    child.kill().ok();
                }
                if let Ok(status) = child.wait() {
                    ended.send_replace(Some(status));
                }
            }
            Err(error) => drop(started.send(Err(error))),
        }
    };
    thread::Builder::new()
        .name(format!("start {role}"))
        .spawn(body)
        .map_err(|source| LaunchError::Prepare { role, source })?;
    // Without an answer its thread has panicked.
    let (pid, handle) = starting.await.unwrap_or_else(|gone| {
        let source = io::Error::other(gone);
        Err(LaunchError::Prepare { role, source })
    })?;
    Ok(Child {
        pid,
        handle: Arc::new(handle),
        ended: ending,
    })
}

fn spawn(
    role: &'static str,
    command: &mut Command,
) -> Result<(std::process::Child, OwnedFd), LaunchError> {
    let mut child = command
        .spawn()
        .map_err(|source| LaunchError::Start { role, source })?;
    match process::pidfd(child.id()) {
        Ok(handle) => Ok((child, handle)),
        Err(source) => {
            child.kill().ok();
            child.wait().ok();
            Err(LaunchError::Start { role, source })
        }
    }
}
