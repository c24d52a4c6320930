//! The start of a role inside its own process: before logging, before the runtime, before the first
//! thread.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use ambit_netsys::confine::{self, CONTROL_ID, ConfineError, Confinement, PROXY_ID};
use ambit_netsys::process;

/// What [`enter_proxy`] needs of the proxy role's command line; written by the host role.
#[derive(Clone, Debug, clap::Args)]
pub struct ProxyStart {
    /// Limit of private memory in bytes.
    #[arg(long)]
    pub memory: u64,
    /// Inherited descriptor of a static program to run in the proxy's place.
    #[arg(long, hide = true)]
    pub program_fd: Option<RawFd>,
    /// An argument of that program.
    #[arg(long, hide = true)]
    pub program_arg: Vec<String>,
}

/// Why a role could not start. It must end: nothing runs with less confinement.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A descriptor that the command line names is not there.
    #[error("a descriptor from the host role is missing: {0}")]
    Descriptor(#[source] io::Error),
    /// Power could not be given up.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// The program in the proxy's place did not start.
    #[error("the program in the proxy's place did not start: {0}")]
    Program(#[source] io::Error),
}

/// Locks this process in as a proxy and gives back the link and the feed.
///
/// Call it first thing in `main`, while there is one thread. With a program in the proxy's place
/// it does not return.
///
/// # Errors
/// If anything fails: the process must then end.
pub fn enter_proxy(
    link: RawFd,
    feed: RawFd,
    start: &ProxyStart,
) -> Result<(OwnedFd, OwnedFd), EntryError> {
    let link = process::inherited(link).map_err(EntryError::Descriptor)?;
    let feed = process::inherited(feed).map_err(EntryError::Descriptor)?;
    let program = start
        .program_fd
        .map(process::inherited)
        .transpose()
        .map_err(EntryError::Descriptor)?;
    let keep: Vec<BorrowedFd<'_>> = [&link, &feed]
        .into_iter()
        .chain(&program)
        .map(AsFd::as_fd)
        .collect();
    process::set_name("ambit-proxy").map_err(EntryError::Descriptor)?;
    confine::enter(&Confinement {
        id: PROXY_ID,
        keep: &keep,
        memory: start.memory,
        program: program.is_some(),
    })?;
    if let Some(program) = program {
        run_program(&program, [&link, &feed], &start.program_arg).map_err(EntryError::Program)?;
    }
    Ok((link, feed))
}

/// Gives up root as the control role and gives back the stream to the host role.
///
/// `own` are the directories that the control role keeps its state in. Call it first thing in
/// `main`, while there is one thread; what only root can read (the node's token) is read before.
///
/// # Errors
/// If anything fails: the process must then end.
pub fn enter_control(host: RawFd, own: &[&Path]) -> Result<OwnedFd, EntryError> {
    let host = process::inherited(host).map_err(EntryError::Descriptor)?;
    process::set_name("ambit-control").map_err(EntryError::Descriptor)?;
    confine::drop_privileges(CONTROL_ID, &[host.as_fd()], own)?;
    Ok(host)
}

/// Becomes the program, with the two sockets under the numbers that they have here.
fn run_program(program: &OwnedFd, keep: [&OwnedFd; 2], arguments: &[String]) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let mut words = vec!["program".to_owned()];
    for socket in keep {
        process::keep_over_exec(socket)?;
        words.push(socket.as_raw_fd().to_string());
    }
    words.extend_from_slice(arguments);
    let words: Vec<CString> = words
        .into_iter()
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
    confine::become_program(program, &words).map(|_never| ())
}
