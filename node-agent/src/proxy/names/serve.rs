//! Port 15053 of a pod: questions come by UDP and TCP, and are answered the same way.
//!
//! The sockets belong to the host role, as all listeners do: a question that comes while no proxy lives
//! waits in them for the next one. Where a pod is released, questions that were redirected before go on
//! coming for as long as the kernel remembers; they are answered until the pod is forgotten.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_dns::answer::answer;
use ambit_dns::{Answer, Families, Query, Reply, SERVFAIL, Transport, Unreadable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::forward::{Room, Unanswered, forward, framed};
use crate::proxy::datapath::DataPath;
use crate::proxy::ledger::Family;
use crate::proxy::pods::LocalPod;

/// Longest question that is read; a client says little of itself.
const LONGEST_QUESTION: usize = 4096;
/// How long a connection may be without a question, or one may take to come.
const IDLE: Duration = Duration::from_secs(30);
/// Pause where a socket does not give what it has.
const PAUSE: Duration = Duration::from_millis(20);

/// What becomes of a packet.
enum Step<'a> {
    /// This is said at once.
    Say(Vec<u8>),
    /// It is no question: nothing is said.
    Nothing,
    /// A resolver is asked.
    Ask(Query<'a>),
}

/// Answers the questions of a pod that come by UDP, until this generation drains or the pod is gone.
pub(crate) async fn datagrams(
    path: Arc<DataPath>,
    pod: Arc<LocalPod>,
    socket: UdpSocket,
    drain: CancellationToken,
) {
    let socket = Arc::new(socket);
    // One more than is read, so that what is longer is seen to be.
    let mut buffer = vec![0; LONGEST_QUESTION + 1];
    loop {
        let received = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = pod.gone.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(pod = %pod.uid, %error, "a question cannot be received");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        match decide(&path, &pod, packet, Transport::Udp) {
            Step::Nothing => {}
            // Where there is no room for it, the client asks again.
            Step::Say(answer) => drop(socket.try_send_to(&answer, client)),
            Step::Ask(query) => {
                let room = match Room::take(&path.names, &pod) {
                    Ok(room) => room,
                    Err(unanswered) => {
                        count(&path, unanswered.word());
                        drop(socket.try_send_to(&failed(packet), client));
                        continue;
                    }
                };
                let packet = query.packet().to_vec();
                let (path, pod, socket) =
                    (Arc::clone(&path), Arc::clone(&pod), Arc::clone(&socket));
                let tracker = path.accepted.clone();
                tracker.spawn(async move {
                    pass_on(&path, &pod, &socket, (client, &packet), room).await;
                });
            }
        }
    }
}

async fn pass_on(
    path: &DataPath,
    pod: &LocalPod,
    socket: &UdpSocket,
    (client, packet): (SocketAddr, &[u8]),
    room: Room,
) {
    let answer = match ask(path, pod, packet, Transport::Udp, room).await {
        Ok(answer) => answer,
        // As without a mesh: the client asks again, or another resolver.
        Err(Unanswered::Silent) => return,
        Err(_) => failed(packet),
    };
    if let Err(error) = socket.send_to(&answer, client).await {
        tracing::debug!(pod = %pod.uid, %client, %error, "an answer cannot be sent");
    }
}

/// Answers the questions of one connection, one after the other.
pub(crate) async fn stream(path: &DataPath, pod: &LocalPod, mut client: TcpStream) {
    loop {
        let next = tokio::select! {
            biased;
            next = timeout(IDLE, question(&mut client)) => next,
            // Between two questions only: the client asks the next generation, or goes direct.
            () = pod.released.cancelled() => return,
        };
        let Ok(Some(packet)) = next else { return };
        let answer = match decide(path, pod, &packet, Transport::Tcp) {
            Step::Nothing => return,
            Step::Say(answer) => answer,
            Step::Ask(_) => match Room::take(&path.names, pod) {
                Ok(room) => {
                    let answer = ask(path, pod, &packet, Transport::Tcp, room).await;
                    answer.unwrap_or_else(|_unanswered| failed(&packet))
                }
                Err(unanswered) => {
                    count(path, unanswered.word());
                    failed(&packet)
                }
            },
        };
        let Ok(answer) = framed(&answer) else { return };
        match timeout(IDLE, client.write_all(&answer)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

/// The next question of a connection; `None` at its end, or if it is too long.
async fn question(client: &mut TcpStream) -> Option<Vec<u8>> {
    let length = usize::from(client.read_u16().await.ok()?);
    if length > LONGEST_QUESTION {
        return None;
    }
    let mut packet = vec![0; length];
    client.read_exact(&mut packet).await.ok()?;
    Some(packet)
}

fn decide<'a>(path: &DataPath, pod: &LocalPod, packet: &'a [u8], transport: Transport) -> Step<'a> {
    let read = match packet.len() {
        0..=LONGEST_QUESTION => Query::read(packet),
        _ => Err(Unreadable::Silent),
    };
    let query = match read {
        Ok(query) => query,
        Err(unreadable) => {
            count(path, "malformed");
            return match unreadable {
                Unreadable::Malformed(answer) => Step::Say(answer),
                Unreadable::Silent => Step::Nothing,
            };
        }
    };
    let client = (pod.namespace(), Families::of(&pod.ips));
    match answer(&path.mesh(), client, &query, transport) {
        Answer::Here { packet, addresses } => {
            count(path, "answered");
            pod.given.note(query.name().unwrap_or_default(), &addresses);
            Step::Say(packet)
        }
        Answer::Forward => Step::Ask(query),
    }
}

/// Asks a resolver, and counts what came of it.
async fn ask(
    path: &DataPath,
    pod: &LocalPod,
    packet: &[u8],
    transport: Transport,
    room: Room,
) -> Result<Vec<u8>, Unanswered> {
    let answer = forward(path, pod, packet, transport, room).await;
    match &answer {
        Ok(answer) => {
            count(path, "forwarded");
            note(pod, packet, answer);
        }
        Err(unanswered) => count(path, unanswered.word()),
    }
    answer
}

/// What is said to a question that cannot be answered.
fn failed(packet: &[u8]) -> Vec<u8> {
    let query = Query::read(packet);
    query.map_or_else(|_unread| Vec::new(), |query| query.refusal(SERVFAIL))
}

/// Keeps in mind what the pod was told.
fn note(pod: &LocalPod, packet: &[u8], answer: &[u8]) {
    let Ok(query) = Query::read(packet) else {
        return;
    };
    if let (Some(name), Some(reply)) = (query.name(), Reply::to(packet, answer)) {
        pod.given.note(name, &reply.addresses().all);
    }
}

fn count(path: &DataPath, result: &'static str) {
    path.ledger.count(Family::Questions, &[("result", result)]);
}

#[cfg(test)]
mod tests;
