//! Messages are counted alike however a body is cut into pieces.

use proptest::prelude::*;

use super::*;

fn body(lengths: &[u16]) -> Vec<u8> {
    let mut body = Vec::new();
    for (length, flag) in lengths.iter().zip([0_u8, 1].into_iter().cycle()) {
        body.push(flag);
        body.extend_from_slice(&u32::from(*length).to_be_bytes());
        body.resize(body.len() + usize::from(*length), 0xff);
    }
    body
}

#[test]
fn a_message_without_a_byte_is_one() {
    assert_eq!(Messages::default().ended_by(&body(&[0, 0, 7])), 3);
}

#[test]
fn the_longest_message_does_not_overflow() {
    let mut messages = Messages::default();
    assert_eq!(messages.ended_by(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), 0);
    assert_eq!(messages.rest, u32::MAX as usize - 3);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        lengths in prop::collection::vec(0_u16..600, 0..20),
        cuts in prop::collection::vec(1_usize..50, 1..40),
        missing in 0_usize..10,
    ) {
        let whole = body(&lengths);
        let mut rest = whole.as_slice();
        let (mut messages, mut ended) = (Messages::default(), 0);
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            ended += messages.ended_by(piece);
            rest = after;
        }
        prop_assert_eq!(ended, lengths.len() as u64);
        // A body that breaks off in the middle of its last message has one less.
        if missing > 0 && lengths.last().is_some_and(|last| usize::from(*last) >= missing) {
            let broken = &whole[..whole.len() - missing];
            prop_assert_eq!(Messages::default().ended_by(broken), lengths.len() as u64 - 1);
        }
    }
}
