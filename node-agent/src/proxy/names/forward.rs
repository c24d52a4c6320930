//! A packet to one of the node's resolvers and back, by a socket of the pod that asks.
//!
//! Each question has a socket of its own, with a port that the kernel draws, and a number that is
//! drawn here; the socket hears that resolver only. So an answer of somebody else has to guess both.
//! A datagram is sent again after a while; the client's own repetition is another question.
//! Resolvers are asked one after the other, for a while the one before the others that answered in their place.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_dns::{Reply, Transport};
use ambit_kit::clock;
use ambit_wire::node::SocketKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Names;
use crate::proxy::datapath::DataPath;
use crate::proxy::ledger::Family;
use crate::proxy::pods::LocalPod;
use crate::proxy::reach;

/// How long all resolvers together may take: clients usually wait for five seconds.
const PATIENCE: Duration = Duration::from_millis(4500);
/// After which pauses a datagram is sent again, by the same socket: it or the answer may be lost.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(1500)];
/// Packets that are no answer to what was asked, of one resolver to one question.
const MOST_STRAY: usize = 32;
/// Longest packet of UDP.
const LONGEST: usize = 65_535;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The pod has as many questions under way as one pod may have, or all pods together have.
    Busy,
    /// No resolver is known.
    NoResolver,
    /// None of them answered in time.
    Silent,
    /// None of them can be asked: the network says so, or a resolver.
    Failed,
}

impl Unanswered {
    /// The stable word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Busy => "too_many",
            Self::NoResolver => "no_resolver",
            Self::Silent => "no_answer",
            Self::Failed => "failed",
        }
    }
}

/// Room for one question under way, the pod's and the node's; had before anything is kept of it.
#[derive(Debug)]
pub(crate) struct Room {
    _of_pod: OwnedSemaphorePermit,
    _of_node: OwnedSemaphorePermit,
}

impl Room {
    /// Takes it, if there is any.
    pub(crate) fn take(names: &Names, pod: &LocalPod) -> Result<Self, Unanswered> {
        let take = |room: &Arc<Semaphore>| {
            let taken = Arc::clone(room).try_acquire_owned();
            taken.map_err(|_full| Unanswered::Busy)
        };
        Ok(Self {
            _of_pod: take(&pod.questions)?,
            _of_node: take(&names.questions)?,
        })
    }
}

/// Passes a packet on and gives back the answer, both as they came.
pub(crate) async fn forward(
    path: &DataPath,
    pod: &LocalPod,
    packet: &[u8],
    transport: Transport,
    _room: Room,
) -> Result<Vec<u8>, Unanswered> {
    let names = &path.names;
    let count = names.resolvers.len();
    if count == 0 {
        return Err(Unanswered::NoResolver);
    }
    let share = PATIENCE / u32::try_from(count).unwrap_or(u32::MAX);
    let first = pod.preferred.first(clock::now());
    let mut unanswered = Unanswered::Failed;
    for number in (0..count).map(|turn| (first + turn) % count) {
        let Some(resolver) = names.resolvers.get(number).copied() else {
            continue;
        };
        path.ledger.count(Family::ResolverRequests, &[]);
        let begun = clock::now();
        match timeout(share, ask(pod, resolver, packet, transport)).await {
            Ok(Ok(answer)) => {
                let now = clock::now();
                names
                    .durations
                    .observe(now.saturating_duration_since(begun));
                pod.preferred.answered(number, now);
                return Ok(answer);
            }
            Ok(Err(error)) => {
                tracing::debug!(pod = %pod.uid, %resolver, %error, "a resolver cannot be asked");
                path.ledger
                    .count(Family::ResolverFailures, &[("reason", "error")]);
            }
            Err(_elapsed) => {
                unanswered = Unanswered::Silent;
                tracing::debug!(pod = %pod.uid, %resolver, "a resolver does not answer");
                path.ledger
                    .count(Family::ResolverFailures, &[("reason", "timeout")]);
            }
        }
    }
    Err(unanswered)
}

/// Asks one resolver, under another number.
async fn ask(
    pod: &LocalPod,
    resolver: SocketAddr,
    packet: &[u8],
    transport: Transport,
) -> io::Result<Vec<u8>> {
    let number: [u8; 2] = rand::random();
    let sent = numbered(packet, number);
    let answer = match transport {
        Transport::Udp => by_datagram(pod, resolver, &sent).await?,
        Transport::Tcp => by_stream(pod, resolver, &sent).await?,
    };
    let own = packet.first_chunk::<2>().copied().unwrap_or_default();
    Ok(numbered(&answer, own))
}

fn numbered(packet: &[u8], number: [u8; 2]) -> Vec<u8> {
    let rest = packet.get(2..).unwrap_or_default();
    [&number[..], rest].concat()
}

async fn by_datagram(pod: &LocalPod, resolver: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let kind = if resolver.is_ipv4() {
        SocketKind::Datagram4
    } else {
        SocketKind::Datagram6
    };
    let no_socket = || io::Error::other("no socket could be had in time");
    let socket = pod.stock.take(kind).await.ok_or_else(no_socket)?;
    // It was made non-blocking.
    let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
    socket.connect(resolver).await?;
    socket.send(sent).await?;
    let answered = heard(&socket, sent);
    tokio::pin!(answered);
    for pause in PAUSES {
        if let Ok(answered) = timeout(pause, &mut answered).await {
            return answered;
        }
        socket.send(sent).await?;
    }
    answered.await
}

/// The answer to what was sent, whatever else comes before it.
async fn heard(socket: &UdpSocket, sent: &[u8]) -> io::Result<Vec<u8>> {
    for _ in 0..MOST_STRAY {
        let answer = received(socket).await?;
        if Reply::to(sent, &answer).is_some() {
            return Ok(answer);
        }
    }
    Err(io::Error::other("it says what is no answer"))
}

/// A packet. There is a buffer for it once it is there: most of a question's time is waiting.
async fn received(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    loop {
        socket.readable().await?;
        let mut packet = Vec::with_capacity(LONGEST);
        match socket.try_recv_buf(&mut packet) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => {
                received?;
                packet.shrink_to_fit();
                return Ok(packet);
            }
        }
    }
}

async fn by_stream(pod: &LocalPod, resolver: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let reached = reach::world(pod, resolver).await;
    let mut stream = reached.map_err(|error| io::Error::other(error.to_string()))?;
    stream.write_all(&framed(sent)?).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    match Reply::to(sent, &answer) {
        Some(_) => Ok(answer),
        None => Err(io::Error::other("it says what is no answer")),
    }
}

/// A packet as it travels by TCP: with its length before it.
pub(crate) fn framed(packet: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], packet].concat())
}

#[cfg(test)]
pub(crate) mod tests;
