use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::yield_now;

use super::*;

/// Counts the writes that reach it.
#[derive(Debug, Default)]
struct Counting {
    writes: Vec<usize>,
    flushes: usize,
    /// Bytes that it takes before it is full.
    room: Option<usize>,
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let fits = self.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if fits == 0 {
            return Poll::Pending;
        }
        self.room = self.room.map(|room| room - fits);
        self.writes.push(fits);
        Poll::Ready(Ok(fits))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes these, flushing after each, in a poll that ends as pending.
fn chatter(
    connection: &mut Gathered<Counting>,
    cx: &mut Context<'_>,
    left: &mut Vec<usize>,
) -> Poll<()> {
    while let Some(length) = left.pop() {
        let bytes = vec![b'x'; length];
        let written = Pin::new(&mut *connection).poll_write(cx, &bytes);
        assert!(matches!(written, Poll::Ready(Ok(written)) if written == length));
        assert!(Pin::new(&mut *connection).poll_flush(cx).is_ready());
    }
    // As HTTP/2 does at the end of each poll.
    assert!(Pin::new(&mut *connection).poll_flush(cx).is_ready());
    Poll::Pending
}

#[tokio::test]
async fn all_frames_of_a_turn_are_one_write_and_nothing_waits_for_another_event() {
    let (mut turn, mut left) = (Turn::default(), vec![100; 50]);
    let mut connection = Gathered::new(Counting::default());
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        let polled = turn.poll(cx, |cx| chatter(&mut connection, cx, &mut left));
        match polls {
            1 => assert_eq!(
                connection.connection.writes.len(),
                0,
                "no turn was let go by"
            ),
            _ => return Poll::Ready(()),
        }
        polled
    })
    .await;
    assert_eq!(connection.connection.writes, [5000]);
    assert!(connection.held.is_none(), "a buffer is kept for nothing");
    assert!(connection.connection.flushes > 0);
}

#[tokio::test]
async fn full_frames_and_their_heads_are_one_write() {
    let (mut turn, mut left) = (Turn::default(), [8 << 10, 9].repeat(16));
    let mut connection = Gathered::new(Counting::default());
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        let polled = turn.poll(cx, |cx| chatter(&mut connection, cx, &mut left));
        if polls < 2 { polled } else { Poll::Ready(()) }
    })
    .await;
    assert_eq!(connection.connection.writes, [(128 << 10) + 16 * 9]);
}

#[tokio::test]
async fn without_turns_every_write_goes_through() {
    let mut connection = Gathered::new(Counting::default());
    for _ in 0..3 {
        connection.write_all(b"frame").await.unwrap();
    }
    assert_eq!(connection.connection.writes, [5, 5, 5]);
}

#[tokio::test]
async fn large_pieces_are_not_copied_and_order_is_kept() {
    let (near, mut far) = duplex(1 << 20);
    let mut turn = Turn::default();
    let mut connection = Gathered::new(near);
    let pieces = [3, LARGE, 7, LARGE * 20, 1];
    let mut sent = Vec::new();
    for (number, length) in pieces.into_iter().enumerate() {
        sent.extend(vec![b'a' + u8::try_from(number).unwrap(); length]);
    }
    let mut rest = &*sent;
    let driven = poll_fn(|cx| {
        turn.poll(cx, |cx| {
            while !rest.is_empty() {
                let fits = rest.len().min(50_000);
                let written = ready!(Pin::new(&mut connection).poll_write(cx, &rest[..fits]))?;
                rest = &rest[written..];
            }
            Pin::new(&mut connection).poll_flush(cx)
        })
    });
    driven.await.unwrap();
    connection.flush().await.unwrap();
    let mut came = vec![0; sent.len()];
    far.read_exact(&mut came).await.unwrap();
    assert_eq!(came, sent);
}

#[tokio::test]
async fn a_full_connection_makes_writers_wait_and_loses_nothing() {
    let mut connection = Gathered::new(Counting {
        room: Some(10),
        ..Counting::default()
    });
    let mut turn = Turn::default();
    let mut held = 0;
    poll_fn(|cx| {
        let polled = turn.poll(cx, |cx| {
            while held < 1 << 20 {
                held += ready!(Pin::new(&mut connection).poll_write(cx, &[0; 1000]))?;
            }
            Poll::Ready(io::Result::Ok(()))
        });
        if held > 0 {
            assert!(polled.is_pending(), "{held} bytes were taken without room");
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    connection.connection.room = None;
    connection.flush().await.unwrap();
    assert_eq!(connection.connection.writes.iter().sum::<usize>(), held);
}

#[tokio::test]
async fn others_run_before_the_connection_does() {
    let (order, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let driven = order.clone();
    let connection = tokio::spawn(in_turns(async move { driven.send("connection") }));
    let stream = tokio::spawn(async move { order.send("stream") });
    while !(connection.is_finished() && stream.is_finished()) {
        yield_now().await;
    }
    assert_eq!(seen.recv().await, Some("stream"));
    assert_eq!(seen.recv().await, Some("connection"));
}
