//! Collectors that take, refuse, hang and are away.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::*;
use crate::{Kind, SpanId, TraceId};

type Said = Result<u16, ()>;

/// Answers what is next in its list; nothing is no answer at all.
#[derive(Clone, Default)]
struct Scripted {
    says: Arc<Mutex<VecDeque<Option<Said>>>>,
    bodies: Arc<Mutex<Vec<(Instant, usize)>>>,
}

impl Collector for Scripted {
    async fn send(&mut self, body: Bytes) -> Result<Answer, Refused> {
        let bodies = &self.bodies;
        bodies.lock().unwrap().push((Instant::now(), body.len()));
        let next = self
            .says
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Some(Ok(200)));
        match next {
            Some(Ok(status)) => Ok(Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            }),
            Some(Err(())) => Err(Refused("nobody is there".to_owned())),
            None => std::future::pending().await,
        }
    }
}

fn span() -> Span<'static> {
    let now = SystemTime::now();
    Span {
        trace: TraceId::new(1),
        id: SpanId::new(2),
        parent: None,
        state: "",
        name: "GET",
        kind: Kind::Server,
        began: now,
        ended: now,
        attributes: &[],
        error: None,
    }
}

fn start(says: &[Option<Said>]) -> (Spans, Scripted, tokio::task::JoinHandle<()>) {
    let collector = Scripted::default();
    collector.says.lock().unwrap().extend(says);
    let speaks = Speaks {
        protocol: Protocol::Http(Box::default()),
        resource: Resource::default(),
    };
    let (spans, run) = export(speaks, collector.clone(), Arc::default());
    (spans, collector, tokio::spawn(run))
}

/// Taken, dropped and failed.
fn counted(counts: &Counts) -> [u64; 3] {
    [&counts.sent, &counts.dropped, &counts.failed].map(|count| count.load(Ordering::Relaxed))
}

async fn finish(spans: Spans, task: tokio::task::JoinHandle<()>) -> [u64; 3] {
    let counts = Arc::clone(spans.counts());
    drop(spans);
    task.await.unwrap();
    counted(&counts)
}

#[tokio::test(start_paused = true)]
async fn spans_go_together_and_the_first_waits_a_second_at_most() {
    let (spans, collector, task) = start(&[]);
    let began = Instant::now();
    spans.put(&span());
    sleep(Duration::from_millis(900)).await;
    spans.put(&span());
    sleep(Duration::from_millis(200)).await;
    let bodies = collector.bodies.lock().unwrap().clone();
    let waited: Vec<_> = bodies.iter().map(|(at, _)| *at - began).collect();
    assert_eq!(waited, [Duration::from_secs(1)]);
    assert_eq!(finish(spans, task).await, [2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_bounded() {
    let (spans, collector, task) = start(&[]);
    for _ in 0..BATCH + 1 {
        spans.put(&span());
    }
    assert_eq!(finish(spans, task).await, [BATCH as u64 + 1, 0, 0]);
    assert_eq!(collector.bodies.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_makes_nobody_wait_and_what_is_too_much_is_counted() {
    let (spans, collector, task) = start(&[None; 100]);
    let began = Instant::now();
    for _ in 0..BATCH {
        spans.put(&span());
    }
    while collector.bodies.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..WAITING + 7 {
        spans.put(&span());
    }
    assert_eq!(Instant::now(), began);
    assert_eq!(counted(spans.counts()), [0, 7, 0]);
    let all = (BATCH + WAITING) as u64;
    assert_eq!(finish(spans, task).await, [0, 7, all]);
    // Each batch has its tries, with growing pauses.
    let bodies = collector.bodies.lock().unwrap();
    let waits: Vec<_> = bodies.windows(2).map(|two| two[1].0 - two[0].0).collect();
    assert_eq!(waits[0], PATIENCE + PAUSE);
    assert_eq!(waits[1], PATIENCE + PAUSE * 2);
    assert_eq!(bodies.len(), (BATCH + WAITING) / BATCH * TRIES as usize);
}

#[tokio::test(start_paused = true)]
async fn what_is_worth_another_try_gets_one_and_what_is_not_does_not() {
    let (spans, collector, task) = start(&[Some(Ok(503)), Some(Err(())), Some(Ok(200))]);
    spans.put(&span());
    assert_eq!(finish(spans, task).await, [1, 0, 0]);
    assert_eq!(collector.bodies.lock().unwrap().len(), 3);

    let (spans, collector, task) = start(&[Some(Ok(400))]);
    spans.put(&span());
    assert_eq!(finish(spans, task).await, [0, 0, 1]);
    assert_eq!(collector.bodies.lock().unwrap().len(), 1);

    let (spans, collector, task) = start(&[Some(Err(())); 3]);
    spans.put(&span());
    assert_eq!(finish(spans, task).await, [0, 0, 1]);
    assert_eq!(collector.bodies.lock().unwrap().len(), TRIES as usize);
}

/// Takes all but so many spans of a batch, as it says.
struct Picky(u8);

impl Collector for Picky {
    async fn send(&mut self, _body: Bytes) -> Result<Answer, Refused> {
        Ok(Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            // `partial_success` with `rejected_spans`.
            body: Bytes::from(vec![0x0a, 2, 0x08, self.0]),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_takes_in_part_is_counted_in_parts() {
    for (rejects, expected) in [
        (0, [3, 0, 0]),
        (1, [2, 0, 1]),
        (3, [0, 0, 3]),
        (100, [0, 0, 3]),
    ] {
        let speaks = Speaks {
            protocol: Protocol::Http(Box::default()),
            resource: Resource::default(),
        };
        let (spans, run) = export(speaks, Picky(rejects), Arc::default());
        let task = tokio::spawn(run);
        for _ in 0..3 {
            spans.put(&span());
        }
        assert_eq!(finish(spans, task).await, expected, "{rejects}");
    }
}
