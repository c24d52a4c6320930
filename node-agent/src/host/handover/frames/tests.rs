use std::os::fd::AsFd;

use proptest::prelude::*;

use super::*;

fn pair() -> (Frames, Frames) {
    let (a, b) = UnixStream::pair().unwrap();
    (Frames::new(a), Frames::new(b))
}

fn state() -> Word {
    Word::State {
        version: VERSION,
        pods: 2,
        last_generation: 7,
        serving: Some(7),
        pages: vec!["127.0.0.1:15000".parse().unwrap()],
    }
}

#[tokio::test]
async fn words_and_their_descriptors_arrive_together_and_in_order() {
    let (old, mut new) = pair();
    let file = std::fs::File::open("/dev/null").unwrap();
    old.send(&state(), &[file.as_fd(), file.as_fd()])
        .await
        .unwrap();
    old.send(&Word::Taken, &[]).await.unwrap();
    old.send(
        &Word::Hello {
            version: 1,
            names: false,
        },
        &[file.as_fd()],
    )
    .await
    .unwrap();
    drop(old);
    let (word, descriptors) = new.recv().await.unwrap().unwrap();
    assert_eq!((word, descriptors.len()), (state(), 2));
    let (word, descriptors) = new.recv().await.unwrap().unwrap();
    assert_eq!((word, descriptors.len()), (Word::Taken, 0));
    let (word, descriptors) = new.recv().await.unwrap().unwrap();
    assert_eq!(
        (word, descriptors.len()),
        (
            Word::Hello {
                version: 1,
                names: false
            },
            1
        )
    );
    assert!(new.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn announced_descriptors_that_do_not_come_are_an_error() {
    let (old, mut new) = pair();
    let message = serde_json::to_vec(&Word::Taken).unwrap();
    let mut frame = u32::try_from(message.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(1u32.to_le_bytes());
    frame.extend(message);
    passing::send(&old.stream, &frame, &[]).unwrap();
    assert!(
        new.recv()
            .await
            .unwrap_err()
            .to_string()
            .contains("fewer descriptors")
    );
}

#[test]
fn a_frame_that_cannot_be_is_an_error_at_once() {
    let header = |length: u32, count: u32| [length.to_le_bytes(), count.to_le_bytes()].concat();
    assert!(parse(&header(u32::MAX, 0)).is_err());
    assert!(parse(&header(2, 1000)).is_err());
    assert!(parse(&header(2, 0)).unwrap().is_none());
    assert!(parse(&[header(2, 0), b"{}".to_vec()].concat()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        drop(parse(&bytes));
    }
}
