use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::Cause::{Consecutive5xx, ConsecutiveGateway, ConsecutiveLocalOrigin};
use super::Outcome::{ConnectFailed, Connected, Grpc, Reset, Status, TimedOut};
use super::{Cause, Ejecting as _, Faults, NEVER, Outcome, OutlierPolicy, Watch};

const SECOND: Duration = Duration::from_secs(1);

fn settings(of_5xx: u32, of_gateway: u32) -> OutlierPolicy {
    OutlierPolicy {
        consecutive_5xx: of_5xx,
        consecutive_gateway: of_gateway,
        ..OutlierPolicy::default()
    }
}

fn split(of_5xx: u32, of_local_origin: u32) -> OutlierPolicy {
    OutlierPolicy {
        split_local_origin: true,
        consecutive_local_origin: of_local_origin,
        ..settings(of_5xx, 0)
    }
}

fn watch(settings: &OutlierPolicy) -> Watch {
    let watch = Watch::default();
    watch.set(Some(settings));
    watch
}

/// What the last of some outcomes gives; the others give nothing.
fn verdict(settings: &OutlierPolicy, outcomes: &[Outcome]) -> Option<Cause> {
    let (watch, faults) = (watch(settings), Faults::default());
    let verdicts = outcomes.iter().map(|o| faults.record(*o, &watch));
    let verdicts: Vec<_> = verdicts.collect();
    let (last, others) = verdicts.split_last().unwrap();
    assert!(others.iter().all(Option::is_none), "{outcomes:?}");
    *last
}

#[test]
fn failures_in_a_row_make_an_outlier() {
    let only_5xx = settings(3, 0);
    let cases: &[(&[Outcome], Option<Cause>)] = &[
        (&[Status(500); 2], None),
        (&[Status(500); 3], Some(Consecutive5xx)),
        (
            &[Status(500), Status(503), Status(599)],
            Some(Consecutive5xx),
        ),
        (&[Status(500), Status(500), Status(200), Status(500)], None),
        (&[Status(500), Status(500), Status(404), Status(500)], None),
        (&[Status(600), Status(600), Status(600)], None),
        // What has no answer is as good as one of 503 or 504.
        (&[ConnectFailed, Reset, TimedOut], Some(Consecutive5xx)),
        (&[ConnectFailed, Connected, Reset, TimedOut], None),
        (&[Grpc(13), Grpc(14), Grpc(2)], Some(Consecutive5xx)),
        (&[Grpc(13), Grpc(14), Grpc(5), Grpc(13)], None),
    ];
    for (outcomes, cause) in cases {
        assert_eq!(verdict(&only_5xx, outcomes), *cause, "{outcomes:?}");
    }
}

#[test]
fn gateway_errors_are_counted_by_themselves_too() {
    let both = settings(4, 2);
    let cases: &[(&[Outcome], Option<Cause>)] = &[
        (&[Status(502), Status(504)], Some(ConsecutiveGateway)),
        (&[TimedOut, ConnectFailed], Some(ConsecutiveGateway)),
        (&[Grpc(4), Grpc(14)], Some(ConsecutiveGateway)),
        (&[Status(503), Status(500), Status(503)], None),
        (
            &[Status(503), Status(500), Status(503), Status(501)],
            Some(Consecutive5xx),
        ),
    ];
    for (outcomes, cause) in cases {
        assert_eq!(verdict(&both, outcomes), *cause, "{outcomes:?}");
    }
}

#[test]
fn failures_of_local_origin_can_be_counted_apart() {
    let apart = split(2, 3);
    let cases: &[(&[Outcome], Option<Cause>)] = &[
        (
            &[ConnectFailed, Reset, TimedOut],
            Some(ConsecutiveLocalOrigin),
        ),
        // An answer, of any kind, is no failure of local origin; nor is a connection.
        (&[ConnectFailed, Reset, Status(500), TimedOut], None),
        (&[ConnectFailed, Reset, Connected, TimedOut], None),
        // And what failed without an answer says nothing of the answers.
        (
            &[Status(500), ConnectFailed, Connected, Status(500)],
            Some(Consecutive5xx),
        ),
    ];
    for (outcomes, cause) in cases {
        assert_eq!(verdict(&apart, outcomes), *cause, "{outcomes:?}");
    }
    let only_local = split(0, 1);
    assert_eq!(verdict(&only_local, &[Status(500); 50]), None);
}

#[test]
fn nothing_is_counted_without_detection() {
    let (watch, faults) = (watch(&settings(2, 2)), Faults::default());
    assert_eq!(faults.record(Status(503), &watch), None);
    watch.set(None);
    for _ in 0..100 {
        assert_eq!(faults.record(Status(503), &watch), None);
        assert_eq!(faults.record(ConnectFailed, &watch), None);
    }
    watch.set(Some(&settings(1, 0)));
    assert_eq!(faults.record(Status(500), &watch), Some(Consecutive5xx));
}

#[test]
fn a_row_that_got_shorter_holds_at_once() {
    let (watch, faults) = (watch(&settings(10, 0)), Faults::default());
    for _ in 0..6 {
        assert_eq!(faults.record(Status(500), &watch), None);
    }
    watch.set(Some(&settings(3, 0)));
    assert_eq!(faults.record(Status(500), &watch), Some(Consecutive5xx));
}

#[test]
fn each_row_gives_one_verdict_however_many_threads_count() {
    const THREADS: u32 = 8;
    // Enough for the threads to meet, even on a machine that is busy.
    const EACH: u32 = 2_000_000;
    let (watch, faults) = (watch(&settings(5, 0)), Faults::default());
    let (verdicts, barrier) = (AtomicU32::new(0), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..EACH {
                    let verdict = faults.record(Status(500), &watch);
                    verdicts.fetch_add(u32::from(verdict.is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(verdicts.into_inner(), THREADS * EACH / 5);
}

#[test]
fn no_time_is_longer_than_the_bound() {
    let of = |base: Duration, ejection| {
        let settings = OutlierPolicy {
            base_ejection_time: base,
            ..OutlierPolicy::default()
        };
        settings.time_of(ejection)
    };
    assert_eq!(of(30 * SECOND, 1), 30 * SECOND);
    assert_eq!(of(30 * SECOND, 9), 270 * SECOND);
    assert_eq!(of(30 * SECOND, 11), 300 * SECOND);
    assert_eq!(of(900 * SECOND, 1), 900 * SECOND, "the base time itself");
    assert_eq!(of(900 * SECOND, 5), 900 * SECOND);
    assert!(of(Duration::MAX, u32::MAX) < 400 * 86_400 * SECOND);
}

#[test]
fn percentages_are_never_exceeded() {
    let at_most = |percent, endpoints| {
        let settings = OutlierPolicy {
            max_ejection_percent: percent,
            ..OutlierPolicy::default()
        };
        settings.most_of(endpoints)
    };
    for (percent, endpoints, most) in [
        (10, 9, 0),
        (10, 10, 1),
        (10, 19, 1),
        (50, 1, 0),
        (50, 3, 1),
        (33, 3, 0),
        (34, 3, 1),
        (100, 3, 3),
        (200, 3, 3),
        (0, 1000, 0),
    ] {
        assert_eq!(
            at_most(percent, endpoints),
            most,
            "{percent} of {endpoints}"
        );
    }
    assert_eq!(NEVER.most_of(usize::MAX), 0);
}

#[test]
fn verdicts_can_be_sent_to_the_writer() {
    fn is_sent<V: Send + Sync + 'static>() {}
    is_sent::<super::Verdict<u32, Arc<str>>>();
}
