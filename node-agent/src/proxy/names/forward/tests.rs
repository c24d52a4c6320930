use std::sync::Arc;

use ambit_dns::ask as question;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::proxy::fixtures::{pod, resolving};

/// A resolver that hands out what it is asked, and says what the test says.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    socket: Arc<UdpSocket>,
    asked: mpsc::UnboundedReceiver<(Vec<u8>, SocketAddr)>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    /// One with this socket.
    pub(crate) fn on(socket: UdpSocket) -> Self {
        let socket = Arc::new(socket);
        let (hears, asked) = mpsc::unbounded_channel();
        let listening = Arc::clone(&socket);
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok((length, from)) = listening.recv_from(&mut buffer).await {
                if hears.send((buffer[..length].to_vec(), from)).is_err() {
                    return;
                }
            }
        });
        Self {
            address: socket.local_addr().unwrap(),
            socket,
            asked,
        }
    }

    pub(crate) async fn asked(&mut self) -> (Vec<u8>, SocketAddr) {
        timeout(Duration::from_secs(10), self.asked.recv())
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn says(&self, packet: &[u8], to: SocketAddr) {
        self.socket.send_to(packet, to).await.unwrap();
    }
}

/// An answer to a question, with one address.
pub(crate) fn answer(question: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut packet = question.to_vec();
    packet[2] |= 0x80;
    packet[7] = 1;
    // Before the record of the client about itself.
    let at = packet.len() - 11;
    let record = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4];
    packet.splice(at..at, [&record[..], &address[..]].concat());
    packet
}

/// Passes a packet on, if there is room for it.
async fn asked(
    path: &DataPath,
    pod: &LocalPod,
    packet: &[u8],
    transport: Transport,
) -> Result<Vec<u8>, Unanswered> {
    let room = Room::take(&path.names, pod)?;
    forward(path, pod, packet, transport, room).await
}

#[tokio::test]
async fn bytes_go_both_ways_untouched_but_for_the_number() {
    let mut resolver = Scripted::start().await;
    let path = resolving(&[resolver.address]);
    let pod = pod();
    let packet = question(0x1234, "api.Example.com", 1).unwrap();
    let asking = tokio::spawn({
        let packet = packet.clone();
        async move {
            let first = asked(&path, &pod, &packet, Transport::Udp).await;
            let second = asked(&path, &pod, &packet, Transport::Udp).await;
            (first, second, pod)
        }
    });
    let mut seen = Vec::new();
    for last in [1, 2] {
        let (sent, from) = resolver.asked().await;
        assert_eq!(sent[2..], packet[2..]);
        // Whoever guesses wrong is not heard: another number, another name, no answer at all.
        let good = answer(&sent, [192, 0, 2, last]);
        let mut wrong = good.clone();
        wrong[0] ^= 0x55;
        resolver.says(&wrong, from).await;
        let other = question(0, "apj.example.com", 1).unwrap();
        resolver
            .says(
                &numbered(&answer(&other, [6, 6, 6, 6]), [sent[0], sent[1]]),
                from,
            )
            .await;
        resolver.says(&sent, from).await;
        resolver.says(b"", from).await;
        resolver.says(&good, from).await;
        seen.push((sent, from));
    }
    let (first, second, _pod) = asking.await.unwrap();
    let own = numbered(&seen[0].0, [0x12, 0x34]);
    assert_eq!(first.unwrap(), answer(&own, [192, 0, 2, 1]));
    assert_eq!(second.unwrap(), answer(&own, [192, 0, 2, 2]));
    assert_ne!(
        (&seen[0].0[..2], seen[0].1),
        (&seen[1].0[..2], seen[1].1),
        "another number and another port each time"
    );
}

#[tokio::test]
async fn a_silent_resolver_is_passed_over_and_asked_last_for_a_while() {
    let mut silent = Scripted::start().await;
    let mut good = Scripted::start().await;
    let path = resolving(&[silent.address, good.address]);
    let packet = question(7, "a.example", 1).unwrap();
    let (asking, pod) = (Arc::clone(&path), Arc::new(pod()));
    let of_task = Arc::clone(&pod);
    let asking_twice = tokio::spawn(async move {
        for _ in 0..2 {
            let answer = asked(&asking, &of_task, &packet, Transport::Udp).await;
            answer.unwrap();
        }
    });
    let first = silent.asked().await;
    for _ in 0..2 {
        let (sent, from) = good.asked().await;
        good.says(&answer(&sent, [192, 0, 2, 1]), from).await;
    }
    asking_twice.await.unwrap();
    assert_eq!(silent.asked().await, first, "a packet may be lost");
    assert!(silent.asked.try_recv().is_err(), "asked once");
    assert_eq!(pod.preferred.first(clock::now()), 1);
    assert_eq!(
        tests::pod().preferred.first(clock::now()),
        0,
        "of another pod"
    );
    assert_eq!(path.ledger.total(Family::ResolverRequests), 3);
    assert_eq!(path.ledger.total(Family::ResolverFailures), 1);
}

#[tokio::test]
async fn a_question_that_is_lost_is_sent_again_the_same_way() {
    let mut resolver = Scripted::start().await;
    let (path, pod) = (resolving(&[resolver.address]), pod());
    let packet = question(7, "a.example", 1).unwrap();
    let saying = async {
        let sent = [resolver.asked().await, resolver.asked().await];
        assert_eq!(sent[0], sent[1], "the same number and port");
        assert_eq!(resolver.asked().await, sent[0]);
        let (sent, from) = &sent[0];
        resolver.says(&answer(sent, [192, 0, 2, 1]), *from).await;
    };
    let (got, ()) = tokio::join!(asked(&path, &pod, &packet, Transport::Udp), saying);
    assert_eq!(got.unwrap(), answer(&packet, [192, 0, 2, 1]));
    assert_eq!(path.ledger.total(Family::ResolverRequests), 1);
}

#[tokio::test]
async fn a_pod_has_so_many_questions_under_way_and_no_more() {
    let resolver = Scripted::start().await;
    let (path, pod) = (resolving(&[resolver.address]), pod());
    let packet = question(7, "a.example", 1).unwrap();
    let all = u32::try_from(pod.questions.available_permits()).unwrap();
    let held = pod.questions.acquire_many(all).await.unwrap();
    let refused = asked(&path, &pod, &packet, Transport::Udp).await;
    assert_eq!(refused, Err(Unanswered::Busy));
    drop(held);
    let whole = u32::try_from(super::super::MOST_QUESTIONS).unwrap();
    let held = path.names.questions.acquire_many(whole).await.unwrap();
    let refused = asked(&path, &pod, &packet, Transport::Udp).await;
    assert_eq!(
        refused,
        Err(Unanswered::Busy),
        "all pods together have many"
    );
    assert_eq!(
        pod.questions.available_permits(),
        256,
        "its own room is given back"
    );
    drop(held);
    let nobody = asked(&resolving(&[]), &pod, &packet, Transport::Udp).await;
    assert_eq!(nobody, Err(Unanswered::NoResolver));
}

#[tokio::test]
async fn one_that_refuses_packets_is_not_waited_for() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let (path, pod) = (resolving(&[address]), pod());
    let packet = question(7, "a.example", 1).unwrap();
    let begun = std::time::Instant::now();
    let answer = asked(&path, &pod, &packet, Transport::Udp).await;
    assert_eq!(answer, Err(Unanswered::Failed));
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[tokio::test]
async fn by_tcp_it_goes_by_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = resolving(&[listener.local_addr().unwrap()]);
    let pod = pod();
    let packet = question(0x1234, "big.example", 1).unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut sent = vec![0; usize::from(length)];
        stream.read_exact(&mut sent).await.unwrap();
        let said = framed(&answer(&sent, [192, 0, 2, 7])).unwrap();
        stream.write_all(&said).await.unwrap();
    };
    let (got, ()) = tokio::join!(asked(&path, &pod, &packet, Transport::Tcp), serving);
    assert_eq!(got.unwrap(), answer(&packet, [192, 0, 2, 7]));
}
