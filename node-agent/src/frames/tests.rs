//! Frames come out as they went in; anything else is an error, never a panic or a large buffer.

use ambit_wire::node::{Feed, Status, feed};
use proptest::prelude::*;

use super::*;

fn status() -> Feed {
    let status = Status {
        connected: true,
        received_bytes: 1 << 40,
        ..Status::default()
    };
    Feed {
        kind: Some(feed::Kind::Status(status)),
    }
}

#[tokio::test]
async fn frames_arrive_in_order_and_end_cleanly() {
    let (mut near, mut far) = tokio::io::duplex(16);
    let writer = tokio::spawn(async move {
        for _ in 0..3 {
            write(&mut near, &status()).await.unwrap();
        }
    });
    for _ in 0..3 {
        assert_eq!(read::<Feed, _>(&mut far).await.unwrap(), Some(status()));
    }
    assert_eq!(read::<Feed, _>(&mut far).await.unwrap(), None);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_cut_frame_is_an_error() {
    let bytes = status().encode_length_delimited_to_vec();
    let cut = &bytes[..bytes.len() - 1];
    read::<Feed, _>(&mut &*cut).await.unwrap_err();
}

#[tokio::test]
async fn a_huge_length_is_refused_before_its_bytes() {
    let mut huge: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(
        read::<Feed, _>(&mut huge).await.unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut from = bytes.as_slice();
            while let Ok(Some(_)) = read::<Feed, _>(&mut from).await {}
        });
    }
}
