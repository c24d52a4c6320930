//! Requests that come, wait, end, break off and are given up in any order, beside a plain count of them:
//! no more are on their way than may be, who waits is served as soon as there is room, who may not wait
//! is refused, and nothing is left behind.

use ambit_model::ConnectionPolicy;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::Config;
use tokio::task::JoinHandle;

use super::*;
use crate::fixtures::terms;

#[derive(Clone, Copy, Debug)]
struct Limits {
    version: Version,
    connections: u32,
    /// Requests at once on one, of HTTP/2.
    streams: u32,
    pending: u32,
    /// Requests on one after the other, of HTTP/1.
    each: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    /// The answer of one of those that have one is read to its end.
    End(usize),
    /// It is not.
    Leave(usize),
    /// One of those that wait does no longer.
    GiveUp(usize),
}

fn limits() -> impl Strategy<Value = Limits> {
    let version = select(vec![Version::Http1, Version::Http2]);
    let numbers = (1..4_u32, 1..4_u32, 1..4_u32, option::of(1..4_u32));
    (version, numbers).prop_map(|(version, (connections, streams, pending, each))| Limits {
        version,
        connections,
        streams,
        pending,
        each,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Ask),
        2 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::GiveUp),
    ]
}

impl Limits {
    fn policy(self) -> ConnectionPolicy {
        let by_version = match self.version {
            Version::Http1 => (None, self.each),
            Version::Http2 => (Some(self.streams), None),
        };
        ConnectionPolicy {
            connections: Some(self.connections),
            pending: Some(self.pending),
            streams_each: by_version.0,
            requests_each: by_version.1,
            ..ConnectionPolicy::default()
        }
    }

    /// Requests that may have an answer at once.
    fn room(self) -> usize {
        let each = match self.version {
            Version::Http1 => 1,
            Version::Http2 => self.streams,
        };
        usize::try_from(self.connections * each).unwrap()
    }
}

struct Requests {
    limits: Limits,
    pool: HttpPool,
    to: Arc<Destination>,
    terms: Arc<Terms>,
    waiting: Vec<JoinHandle<Answer>>,
    served: Vec<(Response<Incoming>, Lease)>,
    refused: u64,
}

impl Requests {
    async fn new(limits: Limits) -> Self {
        let (to, _) = match limits.version {
            Version::Http1 => http1_endpoint(usize::MAX).await,
            Version::Http2 => http2_endpoint(200).await,
        };
        Self {
            limits,
            to,
            pool: pool(),
            terms: terms(limits.policy()),
            waiting: Vec::new(),
            served: Vec::new(),
            refused: 0,
        }
    }

    fn ask(&mut self) {
        let (pool, to, terms) = (
            self.pool.clone(),
            Arc::clone(&self.to),
            Arc::clone(&self.terms),
        );
        let version = self.limits.version;
        self.waiting.push(tokio::spawn(async move {
            let request = request(to.address, "/", Body::empty());
            let on = On {
                terms: Some(&terms),
                ..On::default()
            };
            pool.send(&to, version, CLIENT, request, on).await
        }));
    }

    /// Sorts out whose waiting is over.
    async fn look(&mut self) {
        for asked in std::mem::take(&mut self.waiting) {
            if !asked.is_finished() {
                self.waiting.push(asked);
                continue;
            }
            match asked.await.unwrap() {
                Ok(served) => self.served.push(served),
                Err(SendError::Connect(ConnectError::Pending(_))) => self.refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let counts = self.terms.flow.pool.counts();
        assert!(counts.connections <= u64::from(self.limits.connections));
        assert!(counts.pending <= u64::from(self.limits.pending));
        assert!(self.served.len() <= self.limits.room());
    }

    /// Waits until there are as many as there shall be: served, waiting, refused so far.
    async fn settle(&mut self, served: usize, waiting: usize, refused: u64) {
        let settled = async {
            loop {
                self.look().await;
                let there = (self.served.len(), self.waiting.len(), self.refused);
                let counts = self.terms.flow.pool.counts();
                let counted = (counts.pending, counts.request_overflow);
                if there == (served, waiting, refused) && counted == (waiting as u64, refused) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        let (limits, terms) = (self.limits, &self.terms);
        settled.unwrap_or_else(|_| {
            let there = (self.served.len(), self.waiting.len(), self.refused);
            let counts = terms.flow.pool.counts();
            panic!(
                "{there:?} of {:?}, {limits:?}, {counts:?}",
                (served, waiting, refused)
            )
        });
    }

    async fn take(&mut self, step: Step) {
        let (served, waiting, refused) = (self.served.len(), self.waiting.len(), self.refused);
        // Whoever has an answer makes room for one who waits.
        let after = (
            served.wrapping_sub(usize::from(waiting == 0)),
            waiting.saturating_sub(1),
        );
        match step {
            Step::Ask => {
                self.ask();
                if served < self.limits.room() {
                    self.settle(served + 1, waiting, refused).await;
                } else if waiting < usize::try_from(self.limits.pending).unwrap() {
                    self.settle(served, waiting + 1, refused).await;
                } else {
                    self.settle(served, waiting, refused + 1).await;
                }
            }
            Step::End(which) if served > 0 => {
                let (answer, lease) = self.served.remove(which % served);
                soon(answer.into_body().collect()).await.unwrap();
                lease.give_back();
                self.settle(after.0, after.1, refused).await;
            }
            Step::Leave(which) if served > 0 => {
                drop(self.served.remove(which % served));
                self.settle(after.0, after.1, refused).await;
            }
            Step::GiveUp(which) if waiting > 0 => {
                let asked = self.waiting.remove(which % waiting);
                asked.abort();
                assert!(soon(asked).await.unwrap_err().is_cancelled());
                self.settle(served, waiting - 1, refused).await;
            }
            Step::End(_) | Step::Leave(_) | Step::GiveUp(_) => {}
        }
    }

    async fn play(limits: Limits, steps: Vec<Step>) {
        let mut requests = Self::new(limits).await;
        for step in steps {
            requests.take(step).await;
        }
        while !requests.served.is_empty() {
            requests.take(Step::End(0)).await;
        }
        assert!(requests.waiting.is_empty());
        requests.pool.sweep(clock::now());
        requests
            .pool
            .sweep(clock::now() + Duration::from_secs(3600));
        let pool = &requests.terms.flow.pool;
        until(|| pool.counts().connections == 0).await;
        assert_eq!(pool.counts().pending, 0);
    }
}

proptest! {
    // Each has sockets.
    #![proptest_config(Config { cases: 32, max_shrink_iters: 16, ..Config::default() })]

    #[test]
    fn requests_in_any_order_are_served_or_refused_and_leave_nothing(
        limits in limits(),
        steps in vec(step(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(Requests::play(limits, steps));
    }
}
