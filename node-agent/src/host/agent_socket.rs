//! `agent.sock`: where root on this node enrols and releases pods. One line in, one line out.
//!
//! Only root gets an answer; what is asked for is checked by `api.rs` before anything is done.
//! Bounds: connections at once, bytes of a line, descriptors of a request, time to ask and to be
//! answered. A request that has begun is finished even if the asker leaves.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::{NetNs, passing};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api::{self, Answer, EnrolRequest, LINE_BYTES, Request};
use super::counters::Count;
use super::pods::NamespaceId;
use super::state::Host;
use super::{cni_requests, enrol, proxies, release, vanished};

/// Connections at once: a node starts few pods at a time.
const CONNECTIONS: usize = 32;
/// Descriptors that one connection may have sent before it asks.
const DESCRIPTORS: usize = 1;
/// How long a connection may take to ask, and to read the answer.
const ASK_TIME: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a connection was not served further.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    /// Not root.
    #[error("a process of uid {0} tried to use agent.sock; only root may")]
    NotRoot(u32),
    /// It took too long.
    #[error("no whole request within {ASK_TIME:?}")]
    TooSlow,
    /// More than a request can be.
    #[error("a request of more than {LINE_BYTES} bytes or {DESCRIPTORS} descriptor")]
    TooMuch,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a connection has sent and was not used yet.
#[derive(Debug, Default)]
struct Unread {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Binds a socket that only root can connect to, in place of one that a former role left.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until the role stops, or dropped.
pub(crate) async fn serve(host: Arc<Host>, listener: UnixListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let stop = host.tasks.token();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = stop.cancelled() => return,
        };
        let Some((stream, permit)) = accepted else {
            continue;
        };
        let (of_task, stop) = (Arc::clone(&host), stop.clone());
        host.tasks.spawn("request", async move {
            let _permit = permit;
            let conversed = tokio::select! {
                conversed = converse(&of_task, &stream) => conversed,
                () = stop.cancelled() => return,
            };
            if let Err(error) = conversed {
                of_task.counters.count(Count::RequestsRejected);
                tracing::warn!(%error, "a connection to agent.sock was closed");
            }
        });
    }
}

/// The next connection, as soon as there is room for one more.
async fn accept(
    listener: &UnixListener,
    room: &Arc<Semaphore>,
) -> Option<(UnixStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::error!(%error, "agent.sock cannot accept");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn converse(host: &Arc<Host>, stream: &UnixStream) -> Result<(), ConnectionError> {
    let peer = passing::peer_credentials(stream)?;
    if peer.uid != 0 {
        return Err(ConnectionError::NotRoot(peer.uid));
    }
    let mut unread = Unread::default();
    loop {
        let asked = tokio::time::timeout(ASK_TIME, next_line(stream, &mut unread)).await;
        let Some(line) = asked.map_err(|_elapsed| ConnectionError::TooSlow)?? else {
            return Ok(());
        };
        let answer = answer(host, &line, unread.descriptors.pop()).await;
        let sent = tokio::time::timeout(ASK_TIME, write(stream, &answer.to_line())).await;
        sent.map_err(|_elapsed| ConnectionError::TooSlow)??;
    }
}

/// The next line without its end; the last one may lack it. `None` at the end.
async fn next_line(
    stream: &UnixStream,
    unread: &mut Unread,
) -> Result<Option<Vec<u8>>, ConnectionError> {
    loop {
        if let Some(end) = unread.bytes.iter().position(|byte| *byte == b'\n') {
            let rest = unread.bytes.split_off(end + 1);
            let mut line = std::mem::replace(&mut unread.bytes, rest);
            line.pop();
            return Ok(Some(line));
        }
        let mut chunk = [0; 2048];
        let receive = || passing::recv(stream, &mut chunk);
        let (count, descriptors) = stream.async_io(Interest::READABLE, receive).await?;
        if count == 0 {
            let line = std::mem::take(&mut unread.bytes);
            return Ok((!line.is_empty()).then_some(line));
        }
        unread
            .bytes
            .extend_from_slice(chunk.get(..count).unwrap_or_default());
        unread.descriptors.extend(descriptors);
        if unread.bytes.len() > LINE_BYTES || unread.descriptors.len() > DESCRIPTORS {
            return Err(ConnectionError::TooMuch);
        }
    }
}

async fn write(stream: &UnixStream, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        let send = || passing::send(stream.as_fd(), line, &[]);
        let sent = stream.async_io(Interest::WRITABLE, send).await?;
        line = line.get(sent..).unwrap_or_default();
    }
    Ok(())
}

async fn answer(host: &Arc<Host>, line: &[u8], descriptor: Option<OwnedFd>) -> Answer {
    let request = match api::parse(line) {
        Ok(request) => request,
        Err(error) => {
            host.counters.count(Count::RequestsRejected);
            return Answer::refused("bad_request", &error);
        }
    };
    // A task of its own, so that a change that has begun is not cut off half-way.
    let of_task = Arc::clone(host);
    let done = host.tasks.spawn("change", async move {
        obey(&of_task, request, descriptor).await
    });
    done.await
        .unwrap_or_else(|error| Answer::refused("stopping", &error))
}

async fn obey(host: &Arc<Host>, request: Request, descriptor: Option<OwnedFd>) -> Answer {
    match request {
        Request::Enrol(request) => enrol_as_asked(host, request, descriptor).await,
        Request::Release(request) => match release::release(host, &request.uid).await {
            Ok(state) => Answer::in_state(state.word()),
            Err(error) => Answer::refused(error.reason(), &error),
        },
        Request::List(_) => Answer {
            pods: Some(host.pod_views()),
            proxies: Some(host.generations.lock().views()),
            counters: Some(host.counters.numbers()),
            ..Answer::done()
        },
        Request::ReplaceProxy(_) => match proxies::replace(host).await {
            Ok(generation) => Answer {
                generation: Some(generation),
                ..Answer::done()
            },
            Err(error) => Answer::refused("start_failed", &error),
        },
        Request::CniAdd(pod) => cni_requests::add(host, pod, descriptor).await,
        Request::CniCheck(pod) => cni_requests::check(host, &pod, descriptor),
        Request::CniDel(end) => cni_requests::del(&end),
    }
}

/// Enrols a pod in the namespace that came along or is named.
pub(super) async fn enrol_as_asked(
    host: &Arc<Host>,
    request: EnrolRequest,
    descriptor: Option<OwnedFd>,
) -> Answer {
    let names = request.names();
    let opened = match (descriptor, &request.netns) {
        (Some(descriptor), _) => NetNs::from_fd(descriptor),
        (None, Some(path)) => NetNs::open(path),
        (None, None) => Err(io::Error::other(
            "neither a path nor a descriptor was given",
        )),
    };
    let enrolled = match opened {
        Ok(netns) => {
            let namespace = NamespaceId::of(&netns);
            let path = request.netns;
            let path = path.and_then(|path| vanished::path_here(namespace, &path));
            enrol::enrol(host, names.clone(), netns, path).await
        }
        Err(error) => {
            host.counters.count(Count::EnrolmentsFailed);
            let error = io::Error::new(
                error.kind(),
                format!("network namespace of {names}: {error}"),
            );
            return Answer::refused("no_namespace", &error);
        }
    };
    match enrolled {
        Ok(state) => Answer::in_state(state.word()),
        Err(error) => {
            tracing::warn!(pod = %names, %error, "not enrolled");
            Answer::refused(error.reason(), &error)
        }
    }
}

#[cfg(test)]
mod tests;
