use proptest::prelude::*;

use super::*;

fn frame(uid: &str) -> Vec<u8> {
    let kind = control_to_host::Kind::Withdrawn(uid.to_owned());
    ControlToHost { kind: Some(kind) }.encode_length_delimited_to_vec()
}

#[test]
fn answers_are_read_however_they_are_cut() {
    let mut bytes = frame("u-1");
    let first = bytes.len();
    bytes.extend(frame("u-2"));
    for end in 0..first {
        assert!(next_answer(&bytes[..end]).unwrap().is_none(), "{end}");
    }
    let (_, length) = next_answer(&bytes).unwrap().unwrap();
    assert_eq!(length, first);
    assert!(next_answer(&bytes[first..]).unwrap().is_some());
}

#[test]
fn an_answer_that_is_too_long_ends_the_link() {
    let error = next_answer(&frame(&"u".repeat(LONGEST_TO_HOST))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(next_answer(&[0xff; 16]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_of_the_control_role_make_the_reader_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        drop(next_answer(&bytes));
    }
}
