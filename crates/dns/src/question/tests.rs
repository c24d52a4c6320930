use proptest::prelude::*;

use super::*;
use crate::fixtures::{question, with_edns};

#[test]
fn a_question_is_read_and_its_letters_are_kept() {
    let packet = question("Web.SHOP.svc.cluster.local", 28);
    let query = Query::read(&packet).unwrap();
    assert_eq!(query.name(), Some("web.shop.svc.cluster.local"));
    assert_eq!((query.kind(), query.room()), (Some(28), 512));
    let head = query.head(0, false);
    assert_eq!(head[12..], packet[12..]);
    assert_eq!(head[..12], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert!(query.tail().is_empty());
}

#[test]
fn the_client_says_what_it_can_take_within_bounds() {
    for (size, room) in [(0, 512), (600, 600), (1232, 1232), (65_535, 1232)] {
        let packet = with_edns("a.b", 1, size);
        assert_eq!(Query::read(&packet).unwrap().room(), room);
    }
    let mut packet = with_edns("a.b", 1, 1232);
    let at = packet.len() - 4;
    packet[at] = 0x80;
    let query = Query::read(&packet).unwrap();
    assert_eq!(query.tail(), [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    // Of a newer language we understand nothing; the resolver may.
    packet[at - 1] = 1;
    assert_eq!(Query::read(&packet).unwrap().kind(), None);
}

#[test]
fn what_is_no_question_goes_to_the_resolver_or_nowhere() {
    let mut packet = question("a.b", 1);
    packet[2] |= 0x28;
    let query = Query::read(&packet).unwrap();
    assert_eq!((query.name(), query.packet()), (None, &*packet));
    packet[2] |= 0x80;
    assert_eq!(Query::read(&packet), Err(Unreadable::Silent));
    assert_eq!(Query::read(&packet[..11]), Err(Unreadable::Silent));
    assert_eq!(Query::read(b""), Err(Unreadable::Silent));
}

#[test]
fn what_cannot_be_read_is_said_to_be_so() {
    let good = with_edns("a.b", 1, 1232);
    let cut = &good[..good.len() - 1];
    let mut pointer = question("a.b", 1);
    pointer[12] = 0xC0;
    let mut long = question("a.b", 1);
    long[12] = 64;
    for packet in [cut, &pointer, &long, &good[..14]] {
        let Err(Unreadable::Malformed(answer)) = Query::read(packet) else {
            panic!("{packet:?}");
        };
        assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x81]);
        assert!(answer.len() <= packet.len(), "{answer:?}");
    }
}

#[test]
fn names_are_bounded() {
    let label = "x".repeat(63);
    let longest = [&*label, &label, &label, &"x".repeat(61)].join(".");
    assert!(Query::read(&question(&longest, 1)).is_ok());
    let too_long = [&*label, &label, &label, &"x".repeat(62)].join(".");
    assert!(Query::read(&question(&too_long, 1)).is_err());
}

#[test]
fn bytes_that_are_no_letters_make_no_other_name() {
    let mut packet = question("a.b.c", 1);
    // One label of five bytes with a dot in it, in place of two.
    packet.splice(12..18, *b"\x05a.b.c");
    packet.truncate(18);
    packet.extend([0, 0, 1, 0, 1]);
    assert_eq!(Query::read(&packet).unwrap().name(), Some("a\\046b\\046c"));
}

proptest! {
    #[test]
    fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(query) = Query::read(&bytes) {
            prop_assert_eq!(&query.head(0, true)[..2], &bytes[..2]);
            prop_assert!(query.refusal(2).len() <= bytes.len());
        }
    }
}
