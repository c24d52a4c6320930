//! Steps are seen by those who look and by those who wait, and never taken back.

use futures_util::FutureExt as _;

use super::*;

#[test]
fn a_step_is_seen_by_all_and_never_taken_back() {
    let drain = Drain::new();
    assert!(drain.has_reached(Step::Serving));
    assert!(!drain.has_reached(Step::Leaving));
    assert!(drain.reached(Step::Draining).now_or_never().is_none());
    drain.go_on(Step::Draining);
    drain.go_on(Step::Leaving);
    assert!(drain.has_reached(Step::Draining));
    assert!(!drain.has_reached(Step::Closing));
    for step in [Step::Serving, Step::Leaving, Step::Draining] {
        assert!(drain.reached(step).now_or_never().is_some(), "{step:?}");
    }
    assert!(drain.reached(Step::Closing).now_or_never().is_none());
}

#[tokio::test]
async fn who_waits_is_woken() {
    let drain = std::sync::Arc::new(Drain::new());
    let waiting = std::sync::Arc::clone(&drain);
    let waits = tokio::spawn(async move { waiting.reached(Step::Closing).await });
    tokio::task::yield_now().await;
    drain.go_on(Step::Closing);
    waits.await.unwrap();
}
