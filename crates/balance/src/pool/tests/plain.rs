//! A pool beside plain numbers, whatever is asked for and given back, and however limits change.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{Pool, PoolCounts, PoolLimits};
use crate::budget::{ActiveRequest, ActiveRetry, RetryLimits};
use crate::pool::Permit;

#[derive(Clone, Copy, Debug)]
enum Step {
    Connection {
        again: bool,
    },
    Pending,
    Request,
    /// A request begins to count for retries.
    Begin,
    Retry,
    /// One of those that are out is given back: of which kind, and which.
    Back(usize, usize),
    Limit(PoolLimits),
}

fn limits() -> impl Strategy<Value = PoolLimits> {
    let number = || option::of(0..4_u32);
    let share = (0..=100_u32, 0..4_u32).prop_map(|(percent, minimum)| RetryLimits {
        percent,
        minimum,
        most: None,
    });
    let all = (number(), number(), number(), number(), option::of(share));
    all.prop_map(
        |(connections, pending, requests, retries, retry_share)| PoolLimits {
            connections,
            pending,
            requests,
            retries,
            retry_share,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<bool>().prop_map(|again| Step::Connection { again }),
        2 => Just(Step::Pending),
        2 => Just(Step::Request),
        3 => Just(Step::Begin),
        3 => Just(Step::Retry),
        7 => (0..5_usize, any::<usize>()).prop_map(|(kind, which)| Step::Back(kind, which)),
        1 => limits().prop_map(Step::Limit),
    ]
}

/// What is out.
#[derive(Debug, Default)]
struct Out {
    connections: Vec<Permit>,
    pending: Vec<Permit>,
    requests: Vec<Permit>,
    begun: Vec<ActiveRequest>,
    retries: Vec<ActiveRetry>,
}

fn give_back<T>(list: &mut Vec<T>, which: usize) {
    if !list.is_empty() {
        drop(list.swap_remove(which % list.len()));
    }
}

fn may(limit: Option<u32>, out: usize) -> bool {
    limit.is_none_or(|limit| out < usize::try_from(limit).unwrap())
}

/// How many retries there may be beside so many requests.
fn most_retries(limits: &PoolLimits, begun: usize) -> usize {
    let wide = |number: u32| usize::try_from(number).unwrap();
    let of_share =
        |share: RetryLimits| (begun * wide(share.percent) / 100).max(wide(share.minimum));
    let usual = (begun * 20 / 100).max(3);
    match (limits.retries, limits.retry_share) {
        (None, None) => usual,
        (Some(most), None) => wide(most),
        (None, Some(share)) => of_share(share),
        (Some(most), Some(share)) => of_share(share).min(wide(most)),
    }
}

struct Both {
    pool: Pool,
    limits: PoolLimits,
    out: Out,
    refused: PoolCounts,
}

/// Notes what came of asking, which has to be as expected; counts a refusal.
fn took<T>(list: &mut Vec<T>, granted: Option<T>, expected: bool, refused: &mut u64) {
    assert_eq!(granted.is_some(), expected, "with {} out", list.len());
    *refused += u64::from(!expected);
    list.extend(granted);
}

impl Both {
    fn take(&mut self, step: Step) {
        let (pool, limits, out, refused) =
            (&self.pool, &self.limits, &mut self.out, &mut self.refused);
        match step {
            Step::Connection { again } => {
                let expected = may(limits.connections, out.connections.len());
                let refused = &mut refused.connection_overflow;
                match again {
                    // Whoever asks again is not counted again.
                    true => took(
                        &mut out.connections,
                        pool.connection_again(),
                        expected,
                        &mut 0,
                    ),
                    false => took(&mut out.connections, pool.connection(), expected, refused),
                }
            }
            Step::Pending => {
                let expected = may(limits.pending, out.pending.len());
                let refused = &mut refused.request_overflow;
                took(&mut out.pending, pool.pending(), expected, refused);
            }
            Step::Request => {
                let expected = may(limits.requests, out.requests.len());
                let refused = &mut refused.request_overflow;
                took(&mut out.requests, pool.request(), expected, refused);
            }
            Step::Begin => out.begun.push(pool.retries().request()),
            Step::Retry => {
                let expected = out.retries.len() < most_retries(limits, out.begun.len());
                let refused = &mut refused.retry_overflow;
                took(&mut out.retries, pool.retries().retry(), expected, refused);
            }
            Step::Back(0, which) => give_back(&mut out.connections, which),
            Step::Back(1, which) => give_back(&mut out.pending, which),
            Step::Back(2, which) => give_back(&mut out.requests, which),
            Step::Back(3, which) => give_back(&mut out.begun, which),
            Step::Back(_, which) => give_back(&mut out.retries, which),
            Step::Limit(limits) => {
                pool.limit(&limits);
                self.limits = limits;
            }
        }
    }

    fn check(&self) {
        let number = |count: usize| u64::try_from(count).unwrap();
        let expected = PoolCounts {
            connections: number(self.out.connections.len()),
            pending: number(self.out.pending.len()),
            requests: number(self.out.requests.len()),
            ..self.refused
        };
        assert_eq!(self.pool.counts(), expected);
    }
}

proptest! {
    #[test]
    fn places_are_granted_while_there_are_some_and_all_come_back(
        first in limits(),
        steps in vec(step(), 0..100),
    ) {
        let mut both = Both {
            pool: Pool::new(&first),
            limits: first,
            out: Out::default(),
            refused: PoolCounts::default(),
        };
        for step in steps {
            both.take(step);
            both.check();
        }
        both.out = Out::default();
        both.check();
        // Nothing is left behind: all that there may be can be had.
        both.take(Step::Limit(PoolLimits { connections: Some(1), retries: Some(1), ..first }));
        for step in [Step::Connection { again: false }, Step::Retry] {
            both.take(step);
            both.take(step);
            both.check();
        }
    }
}
