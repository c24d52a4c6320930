//! When a peer is to leave, and when it is turned away.

use super::*;

#[test]
fn a_peer_that_does_not_leave_is_turned_away_a_while_after_its_time() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let expiry = Expiry::new(at);
    for (seconds, outstayed) in [(0, false), (999, false), (1060, false), (1061, true)] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(expiry.is_outstayed_at(now), outstayed, "{seconds}");
    }
}

#[tokio::test]
async fn a_time_that_is_past_is_reached_at_once() {
    Expiry::new(SystemTime::UNIX_EPOCH).reached().await;
}
