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
    assert_eq!((guard.received.have, guard.received.skip), (0, 0));
}

#[test]
fn data_without_data_is_none_unless_it_ends_a_stream() {
    for (flags, expected) in [(0, Err(Flood::Control)), (END_STREAM, Ok(()))] {
        let mut guard = Guard::of_client();
        guard.received.skip = 0;
        let now = Instant::now();
        let sent = (0..1000).try_for_each(|_| guard.scan(&frame(DATA, flags, 0), now));
        assert_eq!(sent, expected);
    }
}

#[test]
fn data_that_may_be_all_padding_is_none() {
    for (length, expected) in [(256, Err(Flood::Control)), (257, Ok(()))] {
        let (mut guard, now) = (under_way(), Instant::now());
        let padded = frame(DATA, PADDED, length);
        let sent = (0..1000).try_for_each(|_| guard.scan(&padded, now));
        assert_eq!(sent, expected);
    }
}

/// A guard behind both prefaces.
fn under_way() -> Guard {
    Guard::new(0, 0)
}

#[test]
fn a_ping_for_each_answer_is_no_flood_however_many_there_are() {
    for (kind, piece) in [(DATA, 4), (HEADERS, 9), (DATA, 4096)] {
        let (mut guard, now) = (under_way(), Instant::now());
        for _ in 0..10_000 {
            for bytes in frame(kind, 0, 20).chunks(piece) {
                guard.wrote(&[IoSlice::new(bytes)], bytes.len());
            }
            guard.scan(&frame(PING, 0, 8), now).unwrap();
        }
        let more = (0..1000).take_while(|_| guard.scan(&frame(PING, 0, 8), now).is_ok());
        assert!(more.count() <= 200, "answers of before leave nothing over");
    }
}

#[test]
fn many_answers_of_before_and_a_slow_one_beside_allow_no_flood() {
    let (mut guard, now) = (under_way(), Instant::now());
    let answer = frame(DATA, 0, 100);
    for _ in 0..10_000 {
        guard.wrote(&[IoSlice::new(&answer)], answer.len());
    }
    let mut pings = 0;
    while guard.scan(&frame(PING, 0, 8), now).is_ok() {
        pings += 1;
        if pings % 10 == 0 {
            guard.wrote(&[IoSlice::new(&answer)], answer.len());
        }
        assert!(pings < 300);
    }
}

#[test]
fn what_we_send_beside_answers_counts_for_nothing() {
    for kind in [PING, SETTINGS, WINDOW_UPDATE, RST_STREAM] {
        let (mut guard, now) = (under_way(), Instant::now());
        let flooded = (0..1000).find_map(|_| {
            let sent = frame(kind, ACK, 8);
            guard.wrote(&[IoSlice::new(&sent)], sent.len());
            guard.scan(&frame(PING, 0, 8), now).err()
        });
        assert_eq!(flooded, Some(Flood::Control));
    }
}

#[test]
fn only_what_was_written_of_several_parts_counts() {
    let mut guard = Guard::of_server();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let data = frame(DATA, 0, 7);
    let parts = [preface, &data[..3], &data[3..]].map(IoSlice::new);
    guard.wrote(&parts, PREFACE + 2);
    assert_eq!((guard.sent.skip, guard.sent.have), (0, 2));
    guard.wrote(&[IoSlice::new(&data[2..]), IoSlice::new(&data)], 14);
    assert_eq!((guard.sent.skip, guard.sent.have), (0, 0));
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
