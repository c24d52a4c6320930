use proptest::prelude::*;

use super::*;

const UID: &str = "0d5f1c1e-6a4e-4a55-9d3c-1f2e3d4c5b6a";

fn uid(text: &str) -> PodUid {
    PodUid::new(text).expect("uid")
}

fn examples() -> Vec<ToHost> {
    let pod_uid = uid(UID);
    vec![
        ToHost::Ready,
        ToHost::NeedSockets {
            pod_uid,
            kind: SocketKind::World4,
            count: 1,
        },
        ToHost::NeedSockets {
            pod_uid,
            kind: SocketKind::World6,
            count: 255,
        },
        ToHost::NeedSockets {
            pod_uid,
            kind: SocketKind::App4,
            count: 0,
        },
        ToHost::NeedSockets {
            pod_uid: uid("x"),
            kind: SocketKind::App6,
            count: 8,
        },
        ToHost::PodAttached {
            pod_uid: uid(&"u".repeat(40)),
        },
        ToHost::PodReleased { pod_uid, open: 0 },
        ToHost::PodReleased {
            pod_uid,
            open: u32::MAX,
        },
        ToHost::Drained,
        ToHost::AskProbe {
            pod_uid: PodUid::new("a").unwrap(),
            source: "10.0.0.1:40000".parse().unwrap(),
            port: 8080,
        },
        ToHost::AskProbe {
            pod_uid: PodUid::new("a").unwrap(),
            source: "[fd00::1]:40000".parse().unwrap(),
            port: 1,
        },
        ToHost::Leaving,
    ]
}

#[test]
fn records_come_back_as_they_were() {
    for record in examples() {
        assert_eq!(ToHost::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let pod_uid = uid("ab");
    let bytes = ToHost::PodReleased {
        pod_uid,
        open: 0x0102_0304,
    }
    .encode();
    assert_eq!(bytes[..12], [4, 0, 0, 2, 4, 3, 2, 1, b'a', b'b', 0, 0]);
    let bytes = ToHost::NeedSockets {
        pod_uid,
        kind: SocketKind::App6,
        count: 9,
    }
    .encode();
    assert_eq!(bytes[..10], [2, 3, 9, 2, 0, 0, 0, 0, b'a', b'b']);
}

#[test]
fn packets_that_are_no_records_are_told_apart() {
    let good = ToHost::NeedSockets {
        pod_uid: uid(UID),
        kind: SocketKind::App4,
        count: 4,
    }
    .encode();
    let with = |index: usize, byte: u8| {
        let mut bytes = good;
        bytes[index] = byte;
        ToHost::decode(&bytes)
    };
    assert_eq!(ToHost::decode(&[]), Err(MalformedRecord::Size(0)));
    assert_eq!(ToHost::decode(&good[..63]), Err(MalformedRecord::Size(63)));
    assert_eq!(ToHost::decode(&[0; 65]), Err(MalformedRecord::Size(65)));
    assert_eq!(with(0, 0), Err(MalformedRecord::Number(0)));
    assert_eq!(with(0, 8), Err(MalformedRecord::Number(8)));
    assert_eq!(with(1, 6), Err(MalformedRecord::Kind(6)));
    assert_eq!(with(3, 0), Err(MalformedRecord::Uid), "empty");
    assert_eq!(
        with(3, 41),
        Err(MalformedRecord::Uid),
        "longer than the field"
    );
    assert_eq!(
        with(3, 255),
        Err(MalformedRecord::Uid),
        "longer than the record"
    );
    assert_eq!(with(8, b'\n'), Err(MalformedRecord::Uid), "not printable");
    assert_eq!(with(8, 0xff), Err(MalformedRecord::Uid), "not ASCII");
    assert_eq!(
        with(3, 35),
        Err(MalformedRecord::Unused),
        "more uid than its length"
    );
    assert_eq!(
        with(4, 1),
        Err(MalformedRecord::Unused),
        "a number in a record without one"
    );
    assert_eq!(with(63, 1), Err(MalformedRecord::Unused));
    assert_eq!(
        with(0, 1),
        Err(MalformedRecord::Unused),
        "Ready names no pod"
    );
}

#[test]
fn uids_that_do_not_fit_are_refused() {
    for text in ["", "a b", "ü", "tab\t", &"u".repeat(41)] {
        assert!(PodUid::new(text).is_err(), "{text:?}");
    }
    assert_eq!(uid(UID).as_str(), UID);
    assert_eq!(uid(UID).to_string(), UID);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_whatever_is_read_is_written_the_same(
        bytes in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        if let Ok(record) = ToHost::decode(&bytes) {
            prop_assert_eq!(record.encode().to_vec(), bytes);
        }
    }

    #[test]
    fn near_records_never_panic_and_are_canonical(
        choice in 0usize..11, index in 0usize..64, byte in any::<u8>()
    ) {
        let mut bytes = examples()[choice].encode();
        bytes[index] = byte;
        if let Ok(record) = ToHost::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}
