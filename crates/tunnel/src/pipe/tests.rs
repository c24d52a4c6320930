//! Bytes through a real tunnel, read and written as such.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Settings;
use crate::pool::Pool;
use crate::testing::{Server, World, soon};

async fn pipe_to_an_echo(settings: Settings) -> Pipe {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(settings);
    Pipe::new(world.open(&pool, server.address).await.unwrap().stream)
}

#[tokio::test]
async fn more_than_all_windows_comes_back_whole() {
    let settings = Settings {
        stream_window: 65_535,
        ..Settings::default()
    };
    let pipe = pipe_to_an_echo(settings).await;
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let sending = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&sending).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    soon(reader.read_to_end(&mut back)).await.unwrap();
    soon(writing).await.unwrap();
    assert!(back == sent, "{} bytes of {}", back.len(), sent.len());
}

#[tokio::test]
async fn parts_that_are_written_together_go_as_one() {
    let mut pipe = pipe_to_an_echo(Settings::default()).await;
    let parts = [
        IoSlice::new(b"head "),
        IoSlice::new(b""),
        IoSlice::new(b"body"),
    ];
    assert_eq!(soon(pipe.write_vectored(&parts)).await.unwrap(), 9);
    let mut back = [0; 9];
    soon(pipe.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"head body");
}

#[tokio::test]
async fn whoever_waits_learns_of_a_reset_by_flushing() {
    let world = World::new();
    let (server, mut streams) = Server::hand(&world, Settings::default()).await;
    let pool = Pool::new(Settings::default());
    let opened = world.open(&pool, server.address).await.unwrap();
    let mut pipe = Pipe::new(opened.stream);
    let far = soon(streams.recv()).await.unwrap();
    soon(pipe.flush()).await.unwrap();
    far.reset();
    let reset = poll_fn(|cx| match Pin::new(&mut pipe).poll_flush(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(error),
        _ => Poll::Pending,
    });
    assert_eq!(soon(reset).await.kind(), io::ErrorKind::ConnectionReset);
}

/// Streams whose readers have read one byte of many: so many more than fit into a window.
const UNREAD: usize = 12;

#[tokio::test]
async fn readers_that_stop_reading_do_not_stop_others() {
    let world = World::new();
    let settings = Settings {
        stream_window: 65_535,
        connection_window: 4 * 65_535,
        ..Settings::default()
    };
    let (server, mut streams) = Server::hand(&world, settings).await;
    let pool = Pool::new(Settings::default());
    let mut kept = Vec::new();
    for _ in 0..UNREAD {
        let opened = world.open(&pool, server.address).await.unwrap();
        let mut far = Pipe::new(soon(streams.recv()).await.unwrap());
        let mut near = opened.stream;
        near.write("1".into()).await.unwrap();
        soon(far.read_exact(&mut [0])).await.unwrap();
        // Nobody asks for this, and it comes later.
        let writing = tokio::spawn(async move {
            near.write(vec![2; 65_000].into()).await.unwrap();
            near
        });
        kept.push((far, soon(writing).await.unwrap()));
    }
    let mut opened = world.open(&pool, server.address).await.unwrap();
    let mut far = Pipe::new(soon(streams.recv()).await.unwrap());
    let sent: Vec<u8> = vec![3; 300_000];
    let sending = sent.clone();
    let writing = tokio::spawn(async move {
        opened.stream.write(sending.into()).await.unwrap();
        opened.stream.finish().unwrap();
        opened
    });
    let mut came = Vec::new();
    soon(far.read_to_end(&mut came)).await.unwrap();
    assert!(came == sent);
    drop(writing);
    let watch = Arc::clone(far.stream.connection());
    drop((kept, far));
    assert_eq!(watch.blocked.stuck(), 0);
}

#[tokio::test]
async fn what_waits_in_a_pipe_is_seen_from_outside() {
    let world = World::new();
    let (server, mut streams) = Server::hand(&world, Settings::default()).await;
    let pool = Pool::new(Settings::default());
    let opened = world.open(&pool, server.address).await.unwrap();
    let mut pipe = Pipe::new(opened.stream);
    let held = pipe.held();
    let mut far = soon(streams.recv()).await.unwrap();
    assert!(!held.is_unread() && held.unsent() == 0);
    // The connection has had no turn yet.
    let written = soon(pipe.write_all(&[7; 262_140])).await;
    written.unwrap();
    assert!(held.unsent() > 0);
    far.write(Bytes::from_static(b"unread")).await.unwrap();
    let mut one = [0];
    soon(pipe.read_exact(&mut one)).await.unwrap();
    assert!(held.is_unread());
    let mut rest = [0; 5];
    soon(pipe.read_exact(&mut rest)).await.unwrap();
    assert!(!held.is_unread());
    let taking = async {
        let mut taken = 0;
        while taken < 262_140 {
            taken += far.read().await.unwrap().unwrap().len();
        }
    };
    soon(taking).await;
    assert_eq!(held.unsent(), 0);
}

#[tokio::test]
async fn whoever_reads_after_a_reset_is_told_of_it() {
    let world = World::new();
    let (server, mut streams) = Server::hand(&world, Settings::default()).await;
    let pool = Pool::new(Settings::default());
    let opened = world.open(&pool, server.address).await.unwrap();
    let mut pipe = Pipe::new(opened.stream);
    let mut far = soon(streams.recv()).await.unwrap();
    far.write("some".into()).await.unwrap();
    assert_eq!(soon(pipe.fill_buf()).await.unwrap(), b"some");
    far.reset();
    let gone = poll_fn(|cx| match Pin::new(&mut pipe).poll_flush(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(()),
        _ => Poll::Pending,
    });
    soon(gone).await;
    pipe.consume(4);
    assert!(soon(pipe.read_u8()).await.is_err());
}

#[tokio::test]
async fn what_is_lent_grows_until_the_far_end_has_ended() {
    let mut pipe = pipe_to_an_echo(Settings::default()).await;
    pipe.write_all(b"one ").await.unwrap();
    assert_eq!(soon(pipe.fill_buf()).await.unwrap(), b"one ");
    pipe.write_all(b"two").await.unwrap();
    assert!(soon(pipe.fill_more()).await.unwrap());
    assert_eq!(soon(pipe.fill_buf()).await.unwrap(), b"one two");
    pipe.consume(4);
    pipe.shutdown().await.unwrap();
    assert!(!soon(pipe.fill_more()).await.unwrap());
    assert_eq!(soon(pipe.fill_buf()).await.unwrap(), b"two");
}
