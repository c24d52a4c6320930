use ambit_dns::ask as question;
use ambit_model::{Change, Mesh};
use tokio::net::TcpListener;

use super::*;
use crate::proxy::fixtures::{pod, resolving, service};
use crate::proxy::names::forward::tests::{Scripted, answer as said};

const WEB: &str = "web.shop.svc.cluster.local";

/// A path with one service in force.
fn path(resolvers: &[SocketAddr]) -> Arc<DataPath> {
    let path = resolving(resolvers);
    let mut mesh = Mesh::default();
    mesh.apply(Change::PutService(service(WEB, "10.96.0.1").into()));
    path.publish(mesh);
    path
}

/// Serves datagrams of a pod; where, and a client to ask with.
async fn serving(
    path: &Arc<DataPath>,
    pod: &Arc<LocalPod>,
    drain: &CancellationToken,
) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    tokio::spawn(datagrams(
        Arc::clone(path),
        Arc::clone(pod),
        socket,
        drain.clone(),
    ));
    client
}

async fn heard(client: &UdpSocket) -> Vec<u8> {
    let mut answer = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), client.recv(&mut answer)).await;
    answer.truncate(length.unwrap().unwrap());
    answer
}

#[tokio::test]
async fn names_of_services_are_answered_here_and_others_by_the_resolver() {
    let mut resolver = Scripted::start().await;
    let (path, pod) = (path(&[resolver.address]), Arc::new(pod()));
    let client = serving(&path, &pod, &CancellationToken::new()).await;

    let packet = question(1, WEB, 1).unwrap();
    client.send(&packet).await.unwrap();
    let answer = heard(&client).await;
    let reply = Reply::to(&packet, &answer).unwrap();
    assert_eq!(
        reply.addresses().all,
        ["10.96.0.1".parse::<std::net::IpAddr>().unwrap()]
    );

    let packet = question(2, "api.example.com", 1).unwrap();
    client.send(&packet).await.unwrap();
    let (sent, from) = resolver.asked().await;
    resolver.says(&said(&sent, [192, 0, 2, 1]), from).await;
    assert_eq!(heard(&client).await, said(&packet, [192, 0, 2, 1]));

    // What is no question gets no answer, what cannot be read is said to be so.
    client.send(&answer).await.unwrap();
    client.send(&packet[..20]).await.unwrap();
    let refused = heard(&client).await;
    assert_eq!(
        (refused[3] & 0xF, &refused[..2]),
        (ambit_dns::FORMERR, &packet[..2])
    );

    let name = |ip: [u8; 4]| pod.given.name_of(ip.into());
    assert_eq!(name([10, 96, 0, 1]).as_deref(), Some(WEB));
    assert_eq!(name([192, 0, 2, 1]).as_deref(), Some("api.example.com"));
    let counted = |result: &str| {
        let labels = ambit_telemetry::Labels::new([("result", result.into())]);
        path.ledger
            .cell(Family::Questions, &labels)
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(
        ["answered", "forwarded", "malformed"].map(counted),
        [1, 1, 2]
    );
}

#[tokio::test]
async fn where_nobody_answers_that_is_said() {
    let (path, pod) = (path(&[]), Arc::new(pod()));
    let client = serving(&path, &pod, &CancellationToken::new()).await;
    let packet = question(2, "api.example.com", 1).unwrap();
    client.send(&packet).await.unwrap();
    let answer = heard(&client).await;
    let reply = Reply::to(&packet, &answer).unwrap();
    assert_eq!((reply.code(), reply.addresses().all.len()), (SERVFAIL, 0));
}

#[tokio::test]
async fn a_resolver_that_is_silent_makes_the_mesh_silent_by_udp() {
    let resolver = Scripted::start().await;
    let (path, pod) = (path(&[resolver.address]), Arc::new(pod()));
    let client = serving(&path, &pod, &CancellationToken::new()).await;
    let packet = question(2, "api.example.com", 1).unwrap();
    client.send(&packet).await.unwrap();
    let labels = ambit_telemetry::Labels::new([("result", "no_answer".into())]);
    let counted = path.ledger.cell(Family::Questions, &labels);
    let is_counted = async {
        while counted.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    };
    timeout(Duration::from_secs(10), is_counted).await.unwrap();
    // The next that comes is the answer to the next question.
    let own = question(3, WEB, 1).unwrap();
    client.send(&own).await.unwrap();
    assert!(Reply::to(&own, &heard(&client).await).is_some());
}

#[tokio::test]
async fn a_generation_that_drains_leaves_the_queue_to_the_next() {
    let (path, pod) = (path(&[]), Arc::new(pod()));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let again = UdpSocket::from_std(socket.try_clone().unwrap()).unwrap();
    let first = UdpSocket::from_std(socket).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(first.local_addr().unwrap()).await.unwrap();
    let drain = CancellationToken::new();
    let draining = tokio::spawn(datagrams(
        Arc::clone(&path),
        Arc::clone(&pod),
        first,
        drain.clone(),
    ));
    drain.cancel();
    draining.await.unwrap();
    client.send(&question(1, WEB, 1).unwrap()).await.unwrap();
    // Released pods are answered on, forgotten ones are not.
    pod.released.cancel();
    let next = tokio::spawn(datagrams(
        path,
        Arc::clone(&pod),
        again,
        CancellationToken::new(),
    ));
    heard(&client).await;
    pod.gone.cancel();
    next.await.unwrap();
}

#[tokio::test]
async fn a_connection_may_bring_many_questions() {
    let (path, pod) = (path(&[]), pod());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let asking = async {
        for (name, code) in [(WEB, 0), ("api.example.com", SERVFAIL), (WEB, 0)] {
            let packet = question(1, name, 1).unwrap();
            client.write_all(&framed(&packet).unwrap()).await.unwrap();
            let mut answer = vec![0; usize::from(client.read_u16().await.unwrap())];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(Reply::to(&packet, &answer).unwrap().code(), code);
        }
        // One that is longer than any question ends the connection.
        client.write_all(&[0xFF, 0xFF]).await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or_default(), 0);
    };
    tokio::join!(stream(&path, &pod, accepted), asking);
}
