use super::{BLOCK, digest, expected, send};

#[test]
fn what_was_sent_has_the_digest_of_what_arrived() {
    for bytes in [0, 1, 1000, BLOCK as u64, 3 * BLOCK as u64 + 17] {
        let mut sent = Vec::new();
        let passed = send(&mut sent, bytes).unwrap();
        assert_eq!(sent.len() as u64, bytes);
        assert_eq!(digest(&mut sent.as_slice()).unwrap(), passed);
        assert_eq!(expected(bytes), passed);
    }
}

#[test]
fn swapped_blocks_are_noticed() {
    let mut sent = Vec::new();
    let passed = send(&mut sent, 2 * BLOCK as u64).unwrap();
    sent.rotate_left(BLOCK);
    assert_ne!(digest(&mut sent.as_slice()).unwrap(), passed);
}
