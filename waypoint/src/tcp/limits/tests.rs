//! With time that passes when nothing else is to be done.

use ambit_model::ConnectionPolicy;
use tokio::time::{sleep, timeout};

use super::*;
use crate::fixtures::terms;

fn limits(connections: ConnectionPolicy) -> Limits {
    Limits::of(Some(&terms(connections)))
}

fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_ended_when_nothing_goes_by_for_long() {
    let silence = seconds(8);
    let limits = limits(ConnectionPolicy {
        silence,
        ..ConnectionPolicy::default()
    });
    let (began, activity) = (Instant::now(), Activity::default());
    let why = limits.reached(&activity).await;
    assert_eq!(why.reason, Reason::IdleTimeout);
    assert_eq!(Some(began.elapsed()), silence);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_something_goes_by_stays_and_is_ended_soon_after_that() {
    let limits = limits(ConnectionPolicy {
        silence: seconds(8),
        ..ConnectionPolicy::default()
    });
    let activity = Activity::default();
    let speaking = async {
        for _ in 0..10 {
            sleep(Duration::from_secs(7)).await;
            activity.note();
        }
        Instant::now()
    };
    let (last, ended) = tokio::join!(speaking, async {
        let why = limits.reached(&activity).await;
        assert_eq!(why.reason, Reason::IdleTimeout);
        Instant::now()
    });
    let silent = ended - last;
    assert!((8..=10).contains(&silent.as_secs()), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_ended_at_its_age_whatever_goes_by() {
    let limits = limits(ConnectionPolicy {
        silence: seconds(30),
        lifetime: seconds(60),
        ..ConnectionPolicy::default()
    });
    let (began, activity) = (Instant::now(), Activity::default());
    let speaking = async {
        loop {
            activity.note();
            sleep(Duration::from_millis(100)).await;
        }
    };
    let why = tokio::select! {
        why = limits.reached(&activity) => why,
        never = speaking => never,
    };
    assert_eq!(why.reason, Reason::ConnectionDuration);
    assert!(began.elapsed() - Duration::from_secs(60) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn an_hour_if_nobody_says_and_never_if_that_is_said() {
    let began = Instant::now();
    let why = Limits::of(None).reached(&Activity::default()).await;
    assert_eq!(why.reason, Reason::IdleTimeout);
    assert_eq!(Some(began.elapsed()), seconds(3600));
    let never = limits(ConnectionPolicy {
        silence: seconds(0),
        ..ConnectionPolicy::default()
    });
    let year = Duration::from_secs(365 * 24 * 3600);
    let ended = timeout(year, never.reached(&Activity::default())).await;
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn no_number_is_too_large() {
    let odd = limits(ConnectionPolicy {
        silence: Some(Duration::MAX),
        lifetime: Some(Duration::MAX),
        ..ConnectionPolicy::default()
    });
    let activity = Activity::default();
    let ended = timeout(Duration::from_secs(9), odd.reached(&activity)).await;
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn one_on_which_nobody_begins_is_no_exception() {
    let limits = limits(ConnectionPolicy {
        silence: seconds(5),
        ..ConnectionPolicy::default()
    });
    assert_eq!(limits.unless_reached(async { 1 }).await, Some(1));
    let waited = limits.unless_reached(std::future::pending::<()>()).await;
    assert_eq!(waited, None);
    // Whoever passes it on then ends it at once.
    let began = Instant::now();
    limits.reached(&Activity::default()).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}
