use ambit_model::{FaultAbort, FaultDelay};

use super::*;

const LONG: Duration = Duration::from_secs(5);

fn faults(delay: u32, abort: u32) -> Faults {
    let of = |share| Share { share, of: 100 };
    Faults {
        delay: Some(FaultDelay {
            of: of(delay),
            fixed: LONG,
        }),
        abort: Some(FaultAbort {
            of: of(abort),
            with: AbortStatus::Http(503),
        }),
    }
}

#[test]
fn none_and_all_are_never_and_always() {
    for random in [0, 1 << 63, u64::MAX] {
        assert_eq!(inject(&faults(0, 0), [random; 2]), Injected::default());
        let all = inject(&faults(100, 100), [random; 2]);
        assert_eq!(all.delay, Some(LONG));
        assert_eq!(all.abort, Some(AbortStatus::Http(503)));
        assert_eq!(inject(&Faults::default(), [random; 2]), Injected::default());
    }
}

#[test]
fn each_is_drawn_by_itself() {
    let half = faults(50, 50);
    let found = |delay, abort| {
        let found = inject(&half, [delay, abort]);
        (found.delay.is_some(), found.abort.is_some())
    };
    assert_eq!(found(0, u64::MAX), (true, false));
    assert_eq!(found(u64::MAX, 0), (false, true));
    assert_eq!(found(0, 0), (true, true));
}

#[test]
fn a_share_of_the_range_is_a_share_of_requests() {
    let step = u64::MAX / 1000 + 1;
    let hit = (0..1000_u64).filter(|at| {
        let found = inject(&faults(10, 25), [at * step, at * step]);
        found.delay.is_some()
    });
    assert_eq!(hit.count(), 100);
}

#[test]
fn a_share_of_nothing_is_none() {
    assert!(!hits(Share { share: 1, of: 0 }, 0));
}
