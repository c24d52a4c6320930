use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{Server, World, soon, tcp_pair, until};
use crate::{Pool, Settings};

/// Two workloads with one pooled tunnel between them.
struct Link {
    world: World,
    server: Server,
    pool: Arc<Pool>,
    streams: UnboundedReceiver<Stream>,
}

/// Applications at both ends of a stream, and the two copies between them.
struct Joined {
    near: TcpStream,
    far: TcpStream,
    near_copy: JoinHandle<CopyEnd>,
    far_copy: JoinHandle<CopyEnd>,
    near_meter: Arc<Meter>,
    far_meter: Arc<Meter>,
}

fn spawn_copy(tcp: TcpStream, stream: Stream) -> (JoinHandle<CopyEnd>, Arc<Meter>) {
    let meter = Arc::new(Meter::default());
    let counted = meter.clone();
    (
        tokio::spawn(async move { copy(tcp, stream, &counted).await }),
        meter,
    )
}

impl Link {
    async fn new(settings: Settings) -> Self {
        let world = World::new();
        let (server, streams) = Server::hand(&world, settings.clone()).await;
        Self {
            world,
            server,
            pool: Pool::new(settings),
            streams,
        }
    }

    async fn streams(&mut self) -> (Stream, Stream) {
        let near = self
            .world
            .open(&self.pool, self.server.address)
            .await
            .unwrap()
            .stream;
        (near, soon(self.streams.recv()).await.unwrap())
    }

    async fn join(&mut self) -> Joined {
        let (near_stream, far_stream) = self.streams().await;
        let ((near, a), (b, far)) = (tcp_pair().await, tcp_pair().await);
        let (near_copy, near_meter) = spawn_copy(a, near_stream);
        let (far_copy, far_meter) = spawn_copy(b, far_stream);
        Joined {
            near,
            far,
            near_copy,
            far_copy,
            near_meter,
            far_meter,
        }
    }
}

/// Bytes in which every position can be told from every other nearby.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()[0])
        .collect()
}

async fn send_and_end(from: &mut TcpStream, to: &mut TcpStream, payload: &[u8]) {
    let mut got = Vec::new();
    let send = async {
        from.write_all(payload).await.unwrap();
        from.shutdown().await.unwrap();
    };
    let (_, read) = soon(async { tokio::join!(send, to.read_to_end(&mut got)) }).await;
    read.unwrap();
    assert!(
        got == payload,
        "{} bytes instead of {}",
        got.len(),
        payload.len()
    );
}

#[tokio::test]
async fn large_transfers_arrive_whole_each_way() {
    let mut link = Link::new(Settings::default()).await;
    let mut joined = link.join().await;
    let payload = pattern(32 << 20);
    send_and_end(&mut joined.near, &mut joined.far, &payload).await;
    // One way has ended; the other still carries as much.
    send_and_end(&mut joined.far, &mut joined.near, &payload).await;
    assert!(matches!(
        soon(joined.near_copy).await.unwrap(),
        CopyEnd::Finished
    ));
    assert!(matches!(
        soon(joined.far_copy).await.unwrap(),
        CopyEnd::Finished
    ));
    for meter in [joined.near_meter, joined.far_meter] {
        assert_eq!(meter.sent.load(Ordering::SeqCst), 32 << 20);
        assert_eq!(meter.received.load(Ordering::SeqCst), 32 << 20);
    }
}

#[tokio::test]
async fn the_side_that_was_connected_to_may_end_first() {
    let mut link = Link::new(Settings::default()).await;
    let mut joined = link.join().await;
    send_and_end(&mut joined.far, &mut joined.near, b"greeting").await;
    send_and_end(&mut joined.near, &mut joined.far, b"answer").await;
    assert!(matches!(
        soon(joined.near_copy).await.unwrap(),
        CopyEnd::Finished
    ));
    assert!(matches!(
        soon(joined.far_copy).await.unwrap(),
        CopyEnd::Finished
    ));
    until(|| link.pool.stats().streams == 0).await;
}

/// The same where the copy was paused meanwhile.
#[tokio::test]
async fn an_answer_arrives_whole_though_its_copy_was_paused() {
    let mut link = Link::new(Settings::default()).await;
    let payload = pattern(1 << 20);
    let (near_stream, far) = link.streams().await;
    let (near, a) = tcp_pair().await;
    let meter = Meter::default();
    let mut copier = Copier::new(a, near_stream, &meter);
    let answered = tokio::spawn(answer_and_go(far, payload.clone()));
    let (mut reading, mut sending) = near.into_split();
    let first = async {
        sending.write_all(b"request").await.unwrap();
        answered.await.unwrap();
        sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        end = &mut copier => panic!("{end:?}"),
        () = first => {}
    }
    let mut copier = Copier::resume(copier.pause().unwrap(), &meter);
    let rest = async {
        sending.write_all(&pattern(64 << 20)).await.unwrap();
        let mut got = Vec::new();
        reading.read_to_end(&mut got).await.unwrap();
        drop((sending, reading));
        got
    };
    let (end, got) = soon(async { tokio::join!(&mut copier, rest) }).await;
    assert!(matches!(end, CopyEnd::Finished), "{end:?}");
    assert!(got == payload, "{} bytes", got.len());
}

/// A far end that answers and goes without waiting for the end of what it is sent.
async fn answer_and_go(mut far: Stream, payload: Vec<u8>) {
    let _request = far.read().await.unwrap();
    far.write(payload.into()).await.unwrap();
    far.finish().unwrap();
}

#[tokio::test]
async fn an_answer_arrives_whole_though_the_far_end_reads_no_further() {
    let mut link = Link::new(Settings::default()).await;
    let payload = pattern(8 << 20);
    let (near_stream, far) = link.streams().await;
    let (mut near, a) = tcp_pair().await;
    let (near_copy, _meter) = spawn_copy(a, near_stream);
    near.write_all(b"request").await.unwrap();
    let answered = tokio::spawn(answer_and_go(far, payload.clone()));
    // The client reads only when the far end has gone, or waits for want of room.
    sleep(Duration::from_millis(300)).await;
    let mut got = Vec::new();
    soon(near.read_to_end(&mut got)).await.unwrap();
    assert!(got == payload, "{} bytes", got.len());
    soon(answered).await.unwrap();
    drop(near);
    let end = soon(near_copy).await.unwrap();
    assert!(matches!(end, CopyEnd::Finished), "{end:?}");
    until(|| link.pool.stats().streams == 0).await;
}

#[tokio::test]
async fn an_answer_arrives_whole_while_its_client_sends_on() {
    let mut link = Link::new(Settings::default()).await;
    let payload = pattern(1 << 20);
    let (near_stream, far) = link.streams().await;
    let (near, a) = tcp_pair().await;
    let (near_copy, _meter) = spawn_copy(a, near_stream);
    let answered = tokio::spawn(answer_and_go(far, payload.clone()));
    let (mut reading, mut sending) = near.into_split();
    let sent = tokio::spawn(async move {
        let body = pattern(64 << 20);
        sending.write_all(&body).await.map(|()| sending)
    });
    let sending = soon(sent).await.unwrap().unwrap();
    let mut got = Vec::new();
    soon(reading.read_to_end(&mut got)).await.unwrap();
    assert!(got == payload, "{} bytes", got.len());
    soon(answered).await.unwrap();
    drop(sending);
    let end = soon(near_copy).await.unwrap();
    assert!(matches!(end, CopyEnd::Finished), "{end:?}");
}

async fn expect_reset(tcp: &mut TcpStream) {
    let error = soon(tcp.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_tcp_reset_at_one_end_is_one_at_the_other() {
    let mut link = Link::new(Settings::default()).await;
    let mut joined = link.join().await;
    joined.near.set_zero_linger().unwrap();
    drop(joined.near);
    expect_reset(&mut joined.far).await;
    assert!(matches!(
        soon(joined.near_copy).await.unwrap(),
        CopyEnd::NearFailed(_)
    ));
    assert!(matches!(
        soon(joined.far_copy).await.unwrap(),
        CopyEnd::FarReset(_)
    ));

    let mut joined = link.join().await;
    joined.far.set_zero_linger().unwrap();
    drop(joined.far);
    expect_reset(&mut joined.near).await;
    assert!(matches!(
        soon(joined.near_copy).await.unwrap(),
        CopyEnd::FarReset(_)
    ));
    assert!(matches!(
        soon(joined.far_copy).await.unwrap(),
        CopyEnd::NearFailed(_)
    ));
}

#[tokio::test]
async fn a_reset_is_seen_after_the_other_way_has_ended() {
    let mut link = Link::new(Settings::default()).await;
    let mut joined = link.join().await;
    send_and_end(&mut joined.far, &mut joined.near, b"done").await;
    joined.far_copy.abort();
    assert!(matches!(
        soon(joined.near_copy).await.unwrap(),
        CopyEnd::FarReset(_)
    ));
    let error = soon(joined.near.write_all(b"too late")).await.unwrap_err();
    assert!(matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    ));
}

#[tokio::test]
async fn a_cancelled_copy_resets_both_ends() {
    let mut link = Link::new(Settings::default()).await;
    let mut joined = link.join().await;
    joined.near.write_all(b"x").await.unwrap();
    soon(joined.far.read_u8()).await.unwrap();
    joined.near_copy.abort();
    expect_reset(&mut joined.near).await;
    expect_reset(&mut joined.far).await;
}

#[tokio::test]
async fn a_lost_tunnel_is_a_reset_at_both_ends() {
    let mut link = Link::new(Settings::default()).await;
    let mut joined = link.join().await;
    link.server.seen.kill.notify_waiters();
    expect_reset(&mut joined.near).await;
    expect_reset(&mut joined.far).await;
    assert!(matches!(
        soon(joined.near_copy).await.unwrap(),
        CopyEnd::FarFailed(_)
    ));
}

/// Writes until nothing is taken any more; returns how much was.
async fn fill(tcp: &mut TcpStream) -> usize {
    let block = pattern(64 << 10);
    let mut taken = 0;
    let pause = Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(pause, tcp.write(&block)).await {
        taken += written.unwrap();
    }
    taken
}

#[tokio::test]
async fn a_stalled_stream_neither_grows_nor_blocks_its_neighbour() {
    let settings = Settings::default();
    let mut link = Link::new(settings.clone()).await;
    // Nobody reads at the far ends of three streams.
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut joined = link.join().await;
        fill(&mut joined.near).await;
        let sent = joined.near_meter.sent.load(Ordering::SeqCst);
        let received = joined.far_meter.received.load(Ordering::SeqCst);
        // What is between the copies: one window, and what the near side holds back.
        let most = u64::from(settings.stream_window) + settings.send_buffer as u64;
        assert!(
            sent - received <= most,
            "{} bytes are under way",
            sent - received
        );
        stalled.push(joined);
    }
    assert_eq!(link.server.sessions(), 1);
    let mut neighbour = link.join().await;
    let payload = pattern(8 << 20);
    send_and_end(&mut neighbour.near, &mut neighbour.far, &payload).await;
    // And the stalled ones go on when somebody reads again.
    for mut joined in stalled {
        let sent = joined.near_meter.sent.load(Ordering::SeqCst);
        let mut sink = vec![0; 1 << 20];
        soon(async {
            let mut read = 0;
            while read < sent {
                read += joined.far.read(&mut sink).await.unwrap() as u64;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_paused_copy_goes_on_without_losing_a_byte() {
    let mut link = Link::new(Settings::default()).await;
    let (near_stream, far_stream) = link.streams().await;
    let ((mut near, a), (b, mut far)) = (tcp_pair().await, tcp_pair().await);
    let (near_copy, _) = spawn_copy(a, near_stream);
    let payload = pattern(16 << 20);
    let sent = payload.clone();
    let sender = tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    let meter = Meter::default();
    let mut block = vec![0; 300_000];
    // The reader is slow, so that there is always something undelivered to carry over.
    let (copier, got, pauses) = soon(async {
        let mut copier = Copier::new(b, far_stream, &meter);
        let (mut got, mut pauses) = (Vec::new(), 0);
        while got.len() < payload.len() {
            tokio::select! {
                biased;
                read = far.read(&mut block) => {
                    got.extend_from_slice(&block[..read.unwrap()]);
                    let paused = copier.pause().expect("not at its end");
                    pauses += 1;
                    copier = Copier::resume(paused, &meter);
                }
                end = &mut copier => panic!("{end:?}"),
            }
        }
        (copier, got, pauses)
    })
    .await;
    assert!(
        got == payload && pauses > 10,
        "{} bytes, {pauses} pauses",
        got.len()
    );
    let near = soon(sender).await.unwrap();
    drop(far);
    assert!(matches!(soon(copier).await, CopyEnd::Finished));
    assert!(matches!(soon(near_copy).await.unwrap(), CopyEnd::Finished));
    drop(near);
    assert_eq!(meter.received.into_inner(), 16 << 20);
}

#[tokio::test]
async fn an_idle_copy_is_small() {
    let mut link = Link::new(Settings::default()).await;
    let (stream, _far) = link.streams().await;
    let (_near, tcp) = tcp_pair().await;
    let meter = Meter::default();
    let copy = copy(tcp, stream, &meter);
    assert!(size_of_val(&copy) < 768, "{}", size_of_val(&copy));
}

#[tokio::test]
async fn many_stalled_streams_do_not_block_their_neighbour() {
    let mut link = Link::new(Settings::default()).await;
    let mut stalled = Vec::new();
    for _ in 0..12 {
        stalled.push(link.join().await);
    }
    futures_util::future::join_all(stalled.iter_mut().map(|joined| fill(&mut joined.near))).await;
    assert_eq!(link.server.sessions(), 1);
    let mut neighbour = link.join().await;
    let payload = pattern(8 << 20);
    send_and_end(&mut neighbour.near, &mut neighbour.far, &payload).await;
    send_and_end(&mut neighbour.far, &mut neighbour.near, &payload).await;
}

#[tokio::test]
async fn streams_given_up_in_full_flow_leave_their_neighbour_alone() {
    let settings = Settings {
        busy_connections: 1,
        ..Settings::default()
    };
    let mut link = Link::new(settings).await;
    let mut neighbour = link.join().await;
    for _ in 0..10 {
        let mut given_up = Vec::new();
        for _ in 0..90 {
            let (near, mut far) = link.streams().await;
            tokio::spawn(async move {
                let block = Bytes::from(pattern(4_000));
                while far.write(block.clone()).await.is_ok() {}
            });
            given_up.push(near);
        }
        // The first bytes of one mean that many more are under way.
        soon(given_up[0].read()).await.unwrap();
        drop(given_up);
        neighbour.near.write_all(b"x").await.unwrap();
        soon(neighbour.far.read_u8()).await.unwrap();
    }
    assert_eq!(link.server.sessions(), 1);
}

/// A future that counts how often it is polled.
struct Polled<F> {
    inner: Pin<Box<F>>,
    polls: Arc<AtomicU32>,
}

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.inner.as_mut().poll(cx)
    }
}

#[tokio::test]
async fn a_copy_does_not_wake_itself() {
    const ROUNDS: u32 = 200;
    let mut link = Link::new(Settings::default()).await;
    let (near_stream, far_stream) = link.streams().await;
    let ((mut near, a), (b, mut far)) = (tcp_pair().await, tcp_pair().await);
    let (_far_copy, _) = spawn_copy(b, far_stream);
    let polls = Arc::new(AtomicU32::new(0));
    let _near_copy = tokio::spawn(Polled {
        inner: Box::pin(async move { copy(a, near_stream, &Meter::default()).await }),
        polls: polls.clone(),
    });
    for _ in 0..ROUNDS {
        near.write_all(b"question").await.unwrap();
        far.read_exact(&mut [0; 8]).await.unwrap();
        far.write_all(b"answer").await.unwrap();
        near.read_exact(&mut [0; 6]).await.unwrap();
    }
    // Once for the question, once for the answer.
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= 2 * ROUNDS + ROUNDS / 10, "{polls} polls");
}
