//! What strangers may hold.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

fn address(last: usize) -> IpAddr {
    let (high, low) = (last / 250, last % 250);
    let part = |number: usize| u8::try_from(number).unwrap();
    IpAddr::from([10, 9, part(high), part(low)])
}

#[test]
fn strangers_leave_half_of_the_turns_to_those_who_are_known() {
    let strangers = Strangers::new();
    let hold = |from: usize, is_known| {
        let turns = (from..).map(|client| strangers.turn(address(client), is_known));
        turns.map_while(|turn| turn).collect::<Vec<_>>()
    };
    let unknown = hold(0, false);
    assert_eq!(unknown.len(), UNKNOWN.0);
    let known = hold(1000, true);
    assert_eq!(known.len(), HANDSHAKES.0 - UNKNOWN.0);
    drop(unknown);
    assert!(strangers.turn(address(0), false).is_some());
}

#[test]
fn one_stranger_has_few_turns() {
    let strangers = Strangers::new();
    let turns: Vec<_> = (0..100)
        .map_while(|_| strangers.turn(address(1), false))
        .collect();
    assert_eq!(turns.len(), UNKNOWN.1);
    assert!(strangers.turn(address(2), false).is_some());
}

#[test]
fn a_line_is_due_once_for_each_client_and_reason_and_the_memory_is_bounded() {
    let strangers = Strangers::new();
    assert!(strangers.is_due(address(1), Reason::TlsFailure));
    assert!(!strangers.is_due(address(1), Reason::TlsFailure));
    assert!(strangers.is_due(address(1), Reason::HandshakeLimit));
    assert!(strangers.is_due(address(2), Reason::TlsFailure));
    for client in 0..3 * SOURCES {
        strangers.is_due(address(client), Reason::TlsFailure);
    }
    assert!(strangers.told.lock().len() <= SOURCES);
}

#[test]
fn a_hello_is_whole_when_its_first_record_is() {
    let whole = [22, 3, 1, 0, 2, 1, 1];
    for (bytes, expected) in [
        (&whole[..0], true),
        (&whole[..1], false),
        (&whole[..4], false),
        (&whole[..6], false),
        (&whole[..], true),
        (b"G", true),
        (b"\x16\x01", true),
    ] {
        assert_eq!(is_whole(bytes), expected, "{bytes:?}");
    }
    let mut long = vec![22, 3, 1, 0xff, 0xff];
    long.resize(HELLO_BYTES, 0);
    assert!(is_whole(&long));
}

#[tokio::test]
async fn who_connects_and_says_little_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(to).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.write_all(&[22, 3, 1]).await.unwrap();
    let began = tokio::time::Instant::now();
    let failure = hello(&server).await.unwrap_err();
    assert!(matches!(failure, HandshakeFailure::Timeout));
    assert!(began.elapsed() >= HELLO);
    client.write_all(&[0, 2, 1, 1]).await.unwrap();
    hello(&server).await.unwrap();
}
