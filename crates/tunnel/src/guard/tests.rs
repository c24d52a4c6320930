use super::*;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let bytes = u32::try_from(length).unwrap().to_be_bytes();
    let mut frame = vec![bytes[1], bytes[2], bytes[3], kind, flags, 0, 0, 0, 1];
    // Payload that looks like PING headers, to show that it is skipped.
    frame.extend([0, 0, 0, PING, 0, 0, 0, 0, 0].iter().cycle().take(length));
    frame
}

/// How many of these frames pass before the guard speaks up, in pieces of `piece` bytes.
fn passed(kind: u8, flags: u8, piece: usize) -> (usize, Option<Flood>) {
    let mut guard = Guard::of_server();
    let now = Instant::now();
    for count in 0..10_000 {
        for bytes in frame(kind, flags, 8).chunks(piece) {
            if let Err(flood) = guard.scan(bytes, now) {
                return (count, Some(flood));
            }
        }
    }
    (10_000, None)
}

#[test]
fn floods_are_noticed_however_the_bytes_arrive() {
    for piece in [1, 5, 9, 17, 4096] {
        assert_eq!(passed(PING, 0, piece), (200, Some(Flood::Control)));
        assert_eq!(passed(SETTINGS, 0, piece), (200, Some(Flood::Control)));
        assert_eq!(passed(0xee, 0, piece), (200, Some(Flood::Control)));
        assert_eq!(passed(RST_STREAM, 0, piece), (2000, Some(Flood::Reset)));
    }
}

#[test]
fn answers_and_data_are_free() {
    for (kind, flags) in [
        (PING, ACK),
        (SETTINGS, ACK),
        (DATA, 0),
        (HEADERS, 4),
        (WINDOW_UPDATE, 0),
    ] {
        assert_eq!(passed(kind, flags, 7), (10_000, None));
    }
}

#[test]
fn payloads_and_the_preface_are_not_taken_for_frames() {
    let mut guard = Guard::of_client();
    let now = Instant::now();
    guard
        .scan(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now)
        .unwrap();
    for _ in 0..100 {
        guard.scan(&frame(DATA, 0, 90_000), now).unwrap();
    }
    assert_eq!((guard.have, guard.skip), (0, 0));
}

#[test]
fn slow_pings_never_run_over() {
    let mut guard = Guard::of_server();
    let mut now = Instant::now();
    for _ in 0..10_000 {
        now += Duration::from_millis(100);
        guard.scan(&frame(PING, 0, 8), now).unwrap();
    }
}
