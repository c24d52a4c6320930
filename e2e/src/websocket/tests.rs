use super::{accept_of, base64, read_frame, write_frame};

#[test]
fn the_proof_is_the_one_of_the_rfcs_example() {
    assert_eq!(
        accept_of("dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn base64_pads() {
    for (bytes, text) in [
        (&b""[..], ""),
        (b"f", "Zg=="),
        (b"fo", "Zm8="),
        (b"foo", "Zm9v"),
    ] {
        assert_eq!(base64(bytes), text);
    }
}

#[test]
fn frames_of_every_length_come_back_masked_or_not() {
    for length in [0, 1, 125, 126, 1000, 65535] {
        for masked in [false, true] {
            let payload = vec![b'x'; length];
            let mut frame = Vec::new();
            write_frame(&mut frame, 1, &payload, masked).unwrap();
            assert_eq!(read_frame(&mut frame.as_slice()).unwrap(), (1, payload));
        }
    }
}
