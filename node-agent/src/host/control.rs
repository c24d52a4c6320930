//! The host role's side of the control role: started, started again when it ends, told which pods
//! are captured, given a feed to every proxy, heard about withdrawals.
//!
//! One task ([`supervise`]) owns the process and the socket. What is told while no control role
//! runs is lost on purpose: a new one is told everything from the tables first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ambit_kit::clock;
use ambit_netsys::passing;
use ambit_wire::node::host_to_control::Kind;
use ambit_wire::node::host_to_proxy::Kind as ToProxy;
use ambit_wire::node::{
    ControlToHost, HostToControl, Left, NewFeed, Pod, ProxyAttached, RosterUpdate, control_to_host,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::child::Child;
use super::counters::Count;
use super::generations::{Handed, Parcel};
use super::names::PodUid;
use super::pods::PodState;
use super::restarts::Restarts;
use super::state::Host;
use crate::frames::LONGEST_TO_HOST;
use crate::launch::LaunchError;

/// Messages in line: some for every pod of a full node.
const LINE: usize = 2048;
/// What is read at once.
const CHUNK: usize = 16 << 10;

/// The way to whichever control role runs.
#[derive(Debug, Default)]
pub(crate) struct ControlLink {
    line: Mutex<Option<mpsc::Sender<Memo>>>,
}

/// A message to the control role, with a descriptor where its kind has one.
#[derive(Debug)]
struct Memo {
    kind: Kind,
    descriptor: Option<OwnedFd>,
}

/// Why a control role's time was over.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    /// It could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Its socket failed or held something else than messages.
    #[error("the link to the control role failed: {0}")]
    Link(#[from] io::Error),
    /// Its process ended.
    #[error("the control role ended: {0}")]
    Ended(String),
}

impl ControlLink {
    /// Tells the control role, if one runs.
    pub(crate) fn tell(&self, kind: Kind) {
        self.put(Memo {
            kind,
            descriptor: None,
        });
    }

    /// Gives the control role the feed of a proxy, if one runs.
    pub(crate) fn give_feed(&self, generation: u64, feed: OwnedFd) {
        let kind = Kind::Proxy(ProxyAttached { generation });
        self.put(Memo {
            kind,
            descriptor: Some(feed),
        });
    }

    fn put(&self, memo: Memo) {
        let mut line = self.line.lock();
        // One that does not read is cut off: its successor is told everything.
        if line
            .as_ref()
            .is_some_and(|line| line.try_send(memo).is_err())
        {
            tracing::error!("the control role does not read its messages: it is started anew");
            *line = None;
        }
    }
}

/// Keeps a control role running until the role stops.
pub(crate) async fn supervise(host: Arc<Host>) {
    let mut restarts = Restarts::default();
    let stop = host.tasks.token();
    loop {
        let started = clock::now();
        let over = tokio::select! {
            over = serve(&host) => over,
            () = stop.cancelled() => return,
        };
        *host.control.line.lock() = None;
        let pause = restarts.pause_after(clock::now().saturating_duration_since(started));
        if let Err(error) = over {
            tracing::warn!(%error, ?pause, "the control role is started again");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One control role, from start to end.
async fn serve(host: &Arc<Host>) -> Result<(), ControlError> {
    let (ours, theirs) = passing::stream_pair()?;
    let stream = UnixStream::from_std(ours.into())?;
    let mut child = KilledOnDrop(host.children.start_control(theirs).await?);
    host.counters.count(Count::ControlsStarted);
    let (line, memos) = mpsc::channel(LINE);
    *host.control.line.lock() = Some(line);
    tell_everything(host);
    tracing::info!(pid = child.0.pid, "the control role runs");
    tokio::select! {
        over = write_memos(&stream, memos) => over?,
        over = read_answers(&stream, host) => over?,
        how = &mut child.0.ended => return Err(ControlError::Ended(how)),
    }
    Err(ControlError::Ended("it closed its link".to_owned()))
}

/// What a new control role must know: the pods, and a feed to every living proxy.
fn tell_everything(host: &Host) {
    let known: Vec<_> = host
        .pods
        .lock()
        .iter()
        .map(|pod| (pod.state, pod.names.to_wire()))
        .collect();
    let identified = |(_, pod): &(PodState, Pod)| !pod.service_account.is_empty();
    for (state, pod) in known.into_iter().filter(identified) {
        match state {
            PodState::Enrolling => host.control.tell(Kind::Prepare(pod)),
            PodState::Captured => host.control.tell(Kind::Captured(pod)),
            PodState::Withdrawing | PodState::Draining => {}
        }
    }
    for older in host.older.counts() {
        host.control.tell(Kind::Older(older));
    }
    if host.departure.done.is_cancelled() {
        host.control.tell(Kind::Left(Left {}));
    }
    let generations = host.generations.lock();
    for number in generations.numbers() {
        match passing::stream_pair() {
            Ok((control_end, proxy_end)) => {
                host.control.give_feed(number, control_end);
                let descriptors = vec![Handed::given(proxy_end)];
                generations.send(
                    number,
                    Parcel {
                        kind: ToProxy::Feed(NewFeed {}),
                        descriptors,
                    },
                );
            }
            Err(error) => tracing::error!(generation = number, %error, "no feed for a proxy"),
        }
    }
}

async fn write_memos(stream: &UnixStream, mut memos: mpsc::Receiver<Memo>) -> io::Result<()> {
    while let Some(memo) = memos.recv().await {
        let frame = HostToControl {
            kind: Some(memo.kind),
        }
        .encode_length_delimited_to_vec();
        let mut descriptors: Vec<BorrowedFd<'_>> =
            memo.descriptor.iter().map(AsFd::as_fd).collect();
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let send = || passing::send(stream, rest, &descriptors);
            let sent = stream.async_io(Interest::WRITABLE, send).await?;
            // Descriptors travel with the first byte only.
            descriptors.clear();
            rest = rest.get(sent..).unwrap_or_default();
        }
    }
    Ok(())
}

async fn read_answers(stream: &UnixStream, host: &Host) -> io::Result<()> {
    let mut unread = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let receive = || passing::recv_bytes(stream, &mut chunk);
        let count = stream.async_io(Interest::READABLE, receive).await?;
        if count == 0 {
            return Ok(());
        }
        unread.extend_from_slice(chunk.get(..count).unwrap_or_default());
        while let Some((answer, length)) = next_answer(&unread)? {
            unread.drain(..length);
            take_answer(host, answer);
        }
    }
}

/// The first whole message of what has been read, and its length; `None` if more must come.
fn next_answer(unread: &[u8]) -> io::Result<Option<(ControlToHost, usize)>> {
    let malformed = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut rest = unread;
    let Ok(length) = prost::decode_length_delimiter(&mut rest) else {
        // A length of up to 1 MiB takes three bytes.
        return if unread.len() < 3 {
            Ok(None)
        } else {
            Err(malformed("no length".to_owned()))
        };
    };
    if length > LONGEST_TO_HOST {
        return Err(malformed(format!(
            "a message of {length} bytes is over {LONGEST_TO_HOST}"
        )));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let answer = ControlToHost::decode(body).map_err(|error| malformed(error.to_string()))?;
    Ok(Some((answer, unread.len() - rest.len() + length)))
}

fn take_answer(host: &Host, answer: ControlToHost) {
    let uid = match answer.kind {
        Some(control_to_host::Kind::Withdrawn(uid)) => uid,
        Some(control_to_host::Kind::Roster(update)) => {
            return take_roster(host, update);
        }
        None => return,
    };
    match PodUid::parse(&uid) {
        // Only what is waited for is remembered: the set cannot grow beyond the pods.
        Ok(uid) => {
            let waits = |state| state == PodState::Withdrawing;
            if host
                .pods
                .lock()
                .get(&uid)
                .is_some_and(|pod| waits(pod.state))
            {
                host.withdrawn.lock().insert(uid);
                host.note_change();
            }
        }
        Err(error) => tracing::warn!(%error, "the control role reported a pod that cannot exist"),
    }
}

/// Takes in what the control plane says of this node.
pub(crate) fn take_roster(host: &Host, update: RosterUpdate) {
    if update.leave.is_some() {
        host.departure.asked.cancel();
    }
    host.roster.take(update);
    host.note_change();
}

/// No child outlives the task that talks to it.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        (self.0.kill)();
    }
}

#[cfg(test)]
mod tests;
