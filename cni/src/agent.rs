//! Asking the node agent over `agent.sock`: one line of JSON out, one back, and the pod's network
//! namespace as a descriptor, because a path of the runtime need not lead anywhere for the agent.
//!
//! Every step has a deadline: the runtime holds the pod's start, or its end, until we are done.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// How long the agent may take to accept a connection, and to take the request.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// Longest answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// What the agent is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// Capture a pod that is about to start, if it is of the mesh.
    CniAdd(Attachment),
    /// Say whether a pod is captured as it should be.
    CniCheck(Attachment),
    /// Take note that a pod ends.
    CniDel {
        /// Kubernetes' own uid.
        uid: String,
        /// The runtime's name for the pod's sandbox.
        container: String,
    },
}

/// A pod and its network, as the runtime names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Where the runtime has the network namespace.
    pub netns: PathBuf,
    /// Kubernetes' own uid.
    pub uid: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Addresses of the pod.
    pub ips: Vec<IpAddr>,
    /// The runtime's name for the pod's sandbox.
    pub container: String,
}

/// What the agent answers, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Whether what was asked is so now.
    pub ok: bool,
    /// State of the pod.
    pub state: Option<String>,
    /// What went wrong, for a person.
    pub error: Option<String>,
    /// What went wrong, as one stable word.
    pub reason: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens, or nobody accepts.
    #[error("nobody answers at {path}: {source}")]
    Connect {
        /// The agent's socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The agent hung up, or the socket failed.
    #[error("the connection to it ended: {0}")]
    Ended(#[from] io::Error),
    /// It is busy, or hangs.
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
    /// Not an agent.
    #[error("its answer cannot be read: {0}")]
    Garbled(#[from] serde_json::Error),
}

/// Asks, and waits for the answer no longer than `patience`.
pub fn ask(
    path: &Path,
    request: &Request,
    netns: Option<&File>,
    patience: Duration,
) -> Result<Answer, AskError> {
    let mut stream = connect_to(path).map_err(|source| AskError::Connect {
        path: path.to_owned(),
        source,
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    send(&mut stream, &line, netns)?;
    let answer = read_line(&mut stream, patience)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn connect_to(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // It bounds the wait for room in the listener's queue too.
    let limit = TimeVal::new(CONNECT_TIME.as_secs().cast_signed(), 0);
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Sends the line, the descriptor with its first byte.
fn send(stream: &mut UnixStream, line: &[u8], netns: Option<&File>) -> io::Result<()> {
    let raw: Vec<RawFd> = netns.iter().map(|file| file.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let parts = [IoSlice::new(line)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, control, flags, None)?;
    stream.write_all(line.get(sent..).unwrap_or_default())
}

fn read_line(stream: &mut UnixStream, patience: Duration) -> Result<Vec<u8>, AskError> {
    let deadline = Instant::now() + patience;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while !line.contains(&b'\n') && line.len() < ANSWER_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(AskError::Silent(patience));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => line.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(line)
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
