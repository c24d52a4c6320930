//! What clients send before anything is decided about it.

use ambit_tunnel::forwarded;
use ambit_waypoint::http::scan::{Limits, Scanner};

/// HTTP/1 of clients: what passes does not depend on how it was cut, and has no line that two
/// readers could take for two. The first byte says how it is cut.
pub fn request_head(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let limits = Limits {
        line: 1 << 10,
        head: 4 << 10,
        fields: 32,
    };
    let (whole, result) = Scanner::new(limits).passable(bytes);
    let mut scanner = Scanner::new(limits);
    let (mut passed, mut shown) = (0, 0);
    let in_pieces = loop {
        if shown == bytes.len() {
            break Ok(());
        }
        shown = (shown + usize::from(*cut).max(1)).min(bytes.len());
        let (taken, result) = scanner.passable(bytes.get(passed..shown).unwrap_or_default());
        passed += taken;
        if result.is_err() {
            break result;
        }
    };
    // How much of a body has passed before its fault depends on the pieces; its end does not.
    assert_eq!(result, in_pieces);
    assert!(result.is_err() || passed == whole);
    assert!(whole <= bytes.len());
}

/// The header of tunnels that tells of clients: what is read can be written, and read again.
pub fn forwarded(bytes: &[u8]) {
    let Ok(value) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(client) = forwarded::client(value) {
        assert_eq!(forwarded::client(&forwarded::of(client)), Some(client));
    }
}
