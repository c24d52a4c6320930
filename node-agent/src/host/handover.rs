//! One host role makes way for the next, and no connection is refused.
//!
//! ```text
//!  new role                                 old role
//!     | --- Hello -------------------------->|  enrolments and releases stand still
//!     |<-- State (pages), Pod, Pod, ... -----|  namespaces and listeners travel along
//!     |    starts its control role and proxy,|  still serves
//!     |    loads the same rules again        |
//!     | --- Taken -------------------------->|  its proxies drain, it touches no pod any more
//!     |<-- (end) ----------------------------|  the last of its connections has ended
//! ```
//!
//! If the new role fails before `Taken`, the old one goes on as if nothing had been. If the old
//! one ends before, the new one has all it needs already.

mod frames;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ambit_netsys::{NetNs, passing};
use ambit_wire::node::Heir;
use ambit_wire::node::host_to_proxy::Kind as ToProxy;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use self::frames::{Frames, VERSION, Word};
use super::enrol::EnrolError;
use super::generations::{Handed, Parcel};
use super::listeners::Listener;
use super::pods::{AdmitError, PodState};
use super::state::{Host, kept_pod};
use super::{proxies, release, restore};

/// How long one word may take.
const WORD_TIME: Duration = Duration::from_secs(10);
/// How long enrolments and releases under way are waited for.
const STAND_STILL_TIME: Duration = Duration::from_secs(30);
/// What the old role grants beyond the time that the new one has.
const MARGIN: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How far the old role's part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No successor has come.
    Idle,
    /// One is taking over.
    UnderWay,
    /// It has.
    Taken,
}

/// Why a handover failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    /// The socket failed or held something else than words.
    #[error("the handover socket failed: {0}")]
    Io(#[from] io::Error),
    /// Silence.
    #[error("the other host role did not {0} in time")]
    Silent(&'static str),
    /// Enrolments and releases of this role's own did not end.
    #[error(
        "pods of this host role were still being captured or released after {STAND_STILL_TIME:?}"
    )]
    Busy,
    /// This role's own proxy is not up.
    #[error("this host role's proxy was not ready in time; see the agent's log for why")]
    NoProxy,
    /// It said something else.
    #[error("the other host role said {0} where something else was due")]
    Unexpected(String),
    /// Not root.
    #[error("a process of uid {0} asked for a handover; only root may")]
    NotRoot(u32),
    /// Another language.
    #[error("the other host role speaks version {0} of the handover, this one version {VERSION}")]
    Version(u32),
    /// It left.
    #[error("the other host role left in the middle of the handover")]
    Left,
    /// A pod could not be entered.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Rules could not be loaded again.
    #[error(transparent)]
    Rules(#[from] EnrolError),
}

/// A handover that the new role has begun.
#[derive(Debug)]
pub(crate) struct Takeover {
    frames: Frames,
    /// Whether the old role's proxy serves; if not, nothing is lost by taking over at once.
    old_serves: bool,
}

/// Offers a handover until a successor has taken over; then returns the socket whose end tells it
/// that this role is gone.
pub(crate) async fn offer(
    host: &Arc<Host>,
    listener: &UnixListener,
    phase: &watch::Sender<Phase>,
) -> Frames {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "handover.sock cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        phase.send_replace(Phase::UnderWay);
        let mut frames = Frames::new(stream);
        match hand_over(host, &mut frames).await {
            Ok(()) => {
                phase.send_replace(Phase::Taken);
                return frames;
            }
            Err(error) => {
                tracing::warn!(%error, "no handover: this host role goes on");
                restore::regain(host).await;
                phase.send_replace(Phase::Idle);
            }
        }
    }
}

async fn hand_over(host: &Arc<Host>, frames: &mut Frames) -> Result<(), HandoverError> {
    let peer = frames.peer()?;
    if peer != 0 {
        return Err(HandoverError::NotRoot(peer));
    }
    let names = match heard(WORD_TIME, "greet", frames).await? {
        (
            Word::Hello {
                version: VERSION,
                names,
            },
            _,
        ) => names,
        (Word::Hello { version, .. }, _) => return Err(HandoverError::Version(version)),
        (other, _) => return Err(unexpected(&other)),
    };
    let still = tokio::time::timeout(STAND_STILL_TIME, host.changes.write()).await;
    let _standing_still = still.map_err(|_elapsed| HandoverError::Busy)?;
    tracing::info!("a new host role takes over");
    let heir = tell_all(host, frames, names).await?;
    let limit = host.limits.takeover_time + MARGIN;
    match heard(limit, "take over", frames).await? {
        (Word::Taken, _) => {}
        (other, _) => return Err(unexpected(&other)),
    }
    // Before anybody who waits for the pods to move again gets to.
    host.retired.cancel();
    if let Some((serving, end)) = heir {
        let descriptors = vec![Handed::given(end)];
        let kind = ToProxy::Heir(Heir {
            generation: serving + 1,
        });
        host.generations
            .lock()
            .send(serving, Parcel { kind, descriptors });
    }
    proxies::drain_all(host);
    Ok(())
}

/// Tells the new role everything, of listeners for questions about names only where it knows `names`;
/// returns the serving generation's way to tell its counters.
async fn tell_all(
    host: &Host,
    frames: &Frames,
    names: bool,
) -> Result<Option<(u64, OwnedFd)>, HandoverError> {
    let serving = host.generations.lock().serving();
    let (heir, ancestor) = match serving.map(|n| passing::stream_pair().map(|pair| (n, pair))) {
        Some(pair) => {
            let (number, (old, new)) = pair?;
            (Some((number, old)), Some(new))
        }
        None => (None, None),
    };
    let pages = host.pages.lock().clone();
    let pods: Vec<_> = {
        let pods = host.pods.lock();
        let with_sockets = |pod: &super::pods::Pod<super::state::Attachment>| {
            let attachment = &pod.attachment;
            (
                kept_pod(pod),
                Arc::clone(&attachment.netns),
                attachment.listeners.clone(),
            )
        };
        pods.iter().map(with_sockets).collect()
    };
    let state = Word::State {
        version: VERSION,
        pods: pods.len(),
        last_generation: host.generations.lock().last_number(),
        serving,
        pages: pages.iter().map(|page| page.place.address).collect(),
    };
    let page_sockets = pages.iter().map(|page| page.socket.as_fd());
    let descriptors: Vec<BorrowedFd<'_>> = page_sockets
        .chain(ancestor.iter().map(AsFd::as_fd))
        .collect();
    said(frames, &state, &descriptors).await?;
    for (kept, netns, mut listeners) in pods {
        listeners.retain(|listener| names || !listener.is_for_names());
        let addresses = listeners.iter().map(|l| l.place.address).collect();
        let word = Word::Pod {
            kept: Box::new(kept),
            listeners: addresses,
        };
        let sockets = listeners.iter().map(|listener| listener.socket.as_fd());
        let descriptors: Vec<BorrowedFd<'_>> =
            std::iter::once(netns.as_fd()).chain(sockets).collect();
        said(frames, &word, &descriptors).await?;
    }
    Ok(heir)
}

/// Begins to take over from the role behind this socket; `None` if there is none.
pub(crate) async fn begin(
    host: &Arc<Host>,
    socket: &Path,
) -> Result<Option<Takeover>, HandoverError> {
    let Ok(stream) = UnixStream::connect(socket).await else {
        return Ok(None);
    };
    let mut frames = Frames::new(stream);
    let peer = frames.peer()?;
    if peer != 0 {
        return Err(HandoverError::NotRoot(peer));
    }
    let hello = Word::Hello {
        version: VERSION,
        names: true,
    };
    said(&frames, &hello, &[]).await?;
    let limit = STAND_STILL_TIME + MARGIN;
    let (state, descriptors) = heard(limit, "tell its state", &mut frames).await?;
    let Word::State {
        version,
        pods,
        last_generation,
        serving,
        pages,
    } = state
    else {
        return Err(unexpected(&state));
    };
    if version != VERSION {
        return Err(HandoverError::Version(version));
    }
    let mut descriptors = descriptors.into_iter();
    let listener = |(address, socket)| Listener::taken_over(address, socket);
    *host.pages.lock() = pages
        .into_iter()
        .zip(descriptors.by_ref())
        .map(listener)
        .collect();
    *host.ancestor.lock() = serving.zip(descriptors.next());
    host.generations.lock().count_from(last_generation);
    host.ancestor_gone.send_replace(false);
    host.settled.store(false, Ordering::Relaxed);
    for _ in 0..pods {
        let (word, descriptors) = heard(WORD_TIME, "name a pod", &mut frames).await?;
        adopt(host, word, descriptors)?;
    }
    tracing::info!(pods, "took over the pods of the former host role");
    Ok(Some(Takeover {
        frames,
        old_serves: serving.is_some(),
    }))
}

/// Enters a pod with its namespace and listeners.
fn adopt(host: &Arc<Host>, word: Word, descriptors: Vec<OwnedFd>) -> Result<(), HandoverError> {
    let Word::Pod { kept, listeners } = word else {
        return Err(unexpected(&word));
    };
    let mut descriptors = descriptors.into_iter();
    let netns = descriptors
        .next()
        .ok_or(HandoverError::Left)
        .map(NetNs::from_fd)??;
    let listener = |(address, socket)| Listener::taken_over(address, socket);
    let listeners = listeners
        .into_iter()
        .zip(descriptors)
        .map(listener)
        .collect();
    let (uid, state) = (kept.names.uid.clone(), kept.state);
    let epoch = restore::adopt(host, *kept, netns, listeners)?;
    if state == PodState::Draining {
        release::go_on_draining(host, &uid, epoch);
    }
    Ok(())
}

impl Takeover {
    /// Finishes once this role serves: its own rules are loaded and its proxy is ready.
    pub(crate) async fn conclude(self, host: &Arc<Host>) -> Result<(), HandoverError> {
        self.take(host).await?;
        host.settled.store(true, Ordering::Relaxed);
        host.note_change();
        Ok(())
    }

    async fn take(mut self, host: &Arc<Host>) -> Result<(), HandoverError> {
        restore::load_rules_again(host).await?;
        let serves = || !self.old_serves || host.generations.lock().serving().is_some();
        let ready = tokio::select! {
            ready = host.wait_until(host.limits.takeover_time, serves) => ready,
            // Nobody serves any more: this role has to, ready or not.
            _ = self.frames.recv() => {
                tracing::warn!("the former host role ended before this one was ready");
                self.ended(host);
                return Ok(());
            }
        };
        if !ready {
            return Err(HandoverError::NoProxy);
        }
        if let Err(error) = said(&self.frames, &Word::Taken, &[]).await {
            tracing::warn!(%error, "the former host role ended in the middle of the handover");
            self.ended(host);
            return Ok(());
        }
        tracing::info!("took over");
        let of_task = Arc::clone(host);
        host.tasks.spawn("former host role", async move {
            let stop = of_task.tasks.token();
            tokio::select! {
                // It says nothing more; whatever comes, or an error, is its end.
                _ = self.frames.recv() => self.ended(&of_task),
                () = stop.cancelled() => {}
            }
        });
        Ok(())
    }

    fn ended(&self, host: &Host) {
        tracing::info!("the former host role has ended");
        host.ancestor_gone.send_replace(true);
        host.note_change();
    }
}

async fn said(
    frames: &Frames,
    word: &Word,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), HandoverError> {
    let sent = tokio::time::timeout(WORD_TIME, frames.send(word, descriptors)).await;
    Ok(sent.map_err(|_elapsed| HandoverError::Silent("listen"))??)
}

async fn heard(
    limit: Duration,
    to: &'static str,
    frames: &mut Frames,
) -> Result<(Word, Vec<OwnedFd>), HandoverError> {
    let received = tokio::time::timeout(limit, frames.recv()).await;
    received
        .map_err(|_elapsed| HandoverError::Silent(to))??
        .ok_or(HandoverError::Left)
}

fn unexpected(word: &Word) -> HandoverError {
    HandoverError::Unexpected(format!("{word:?}"))
}

#[cfg(test)]
mod tests;
