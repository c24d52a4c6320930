//! When requests, tries and answers are late.

use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::http::replay::tests::begun;
use crate::scene::soon;

#[test]
fn times_begin_at_the_head_or_when_all_has_come() {
    let began = Instant::now();
    let at = |seconds| began + Duration::from_secs(seconds);
    let limit = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    // Of all and of each try, from the end; when all had come, when the try began; of the try, of its answer.
    for ((all, each, timed_from_end), (from, tried), of_try, of_answer) in [
        ((0, 0, false), (0, 3), None, None),
        ((10, 0, false), (0, 3), Some(10), Some(10)),
        ((10, 2, false), (0, 3), Some(5), Some(5)),
        ((10, 2, true), (0, 3), Some(5), Some(10)),
        ((10, 2, true), (8, 3), Some(10), Some(18)),
        ((10, 2, true), (8, 17), Some(18), Some(18)),
        ((0, 2, true), (8, 3), Some(10), None),
    ] {
        let rule = HttpRule {
            timeout: limit(all),
            try_timeout: limit(each),
            timed_from_end,
            ..HttpRule::default()
        };
        let time = Time::by(&rule, began);
        let found = (
            time.of_try(at(from), at(tried)),
            time.of_answer(at(from), at(tried)),
        );
        let expected = (of_try.map(at), of_answer.map(at));
        assert_eq!(
            found, expected,
            "{all} {each} {timed_from_end} {from} {tried}"
        );
    }
}

/// A later try of what took its time to come has what is left of the time from its end.
#[tokio::test]
async fn a_try_of_what_has_come_is_not_late_by_how_long_that_took() {
    let (mut client, body) = begun(100).await;
    let hour = Duration::from_secs(3600);
    let rule = HttpRule {
        timeout: Some(hour),
        timed_from_end: true,
        ..HttpRule::default()
    };
    let now = Instant::now();
    let time = Time::by(&rule, now.checked_sub(2 * hour).unwrap());
    let asks = AtomicBool::new(false);
    let late = async || {
        let late = Clock::new(time, Some(&body)).late(now, &asks);
        tokio::time::timeout(Duration::from_millis(20), late).await
    };
    assert!(late().await.is_ok(), "it has no connection yet");
    client.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(soon(body.once().frame()).await.is_none());
    assert!(late().await.is_err());
}
