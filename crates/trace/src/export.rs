//! From requests to the collector: a queue with an end, batches, and another try where that is worth it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::otlp::{Answer, Encoded, Protocol, Resource, Verdict};
use crate::span::Span;

/// Spans that may wait.
const WAITING: usize = 4096;
/// Spans of one batch.
const BATCH: usize = 512;
/// How long a span waits for others.
const TOGETHER: Duration = Duration::from_secs(1);
/// How often it is seen how many have come.
const LOOK: Duration = Duration::from_millis(50);
/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tries of a batch, and the time after the first one, which doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// Between two lines about a collector that takes nothing.
const SELDOM: Duration = Duration::from_secs(60);

/// Where spans are put. Clones are the same.
#[derive(Clone, Debug)]
pub struct Spans {
    /// As the collector gets them: what waits is small, and was made and is freed in one piece.
    queue: mpsc::Sender<Encoded>,
    counts: Arc<Counts>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken by the collector.
    pub sent: AtomicU64,
    /// Dropped as too many were waiting.
    pub dropped: AtomicU64,
    /// Not taken: the collector was away, slow or refused them.
    pub failed: AtomicU64,
}

/// A collector did not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A way to send a body and get an answer.
pub trait Collector: Send {
    /// Sends a body to the collector.
    fn send(&mut self, body: Bytes) -> impl Future<Output = Result<Answer, Refused>> + Send;
}

/// How and as whom the collector is spoken to.
#[derive(Clone, Debug)]
pub struct Speaks {
    /// The protocol.
    pub protocol: Protocol,
    /// Who sends.
    pub resource: Resource,
}

impl Spans {
    /// Puts a span into the queue, or drops it if that is full. Never waits.
    pub fn put(&self, span: &Span<'_>) {
        match self.queue.try_reserve() {
            Ok(place) => place.send(span.into()),
            Err(_full_or_closed) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What became of spans so far.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }
}

/// A queue, and what has to run for it to get to the collector: until all clones of the queue are gone,
/// and what was in it has been sent.
pub fn export<C: Collector>(
    speaks: Speaks,
    collector: C,
    counts: Arc<Counts>,
) -> (Spans, impl Future<Output = ()> + Send) {
    let (queue, waiting) = mpsc::channel(WAITING);
    let exporter = Exporter {
        speaks,
        collector,
        counts: Arc::clone(&counts),
        told: None,
    };
    (Spans { queue, counts }, exporter.run(waiting))
}

struct Exporter<C> {
    speaks: Speaks,
    collector: C,
    counts: Arc<Counts>,
    /// When a failure was last written down.
    told: Option<Instant>,
}

impl<C: Collector> Exporter<C> {
    async fn run(mut self, mut waiting: mpsc::Receiver<Encoded>) {
        while let Some(batch) = batch(&mut waiting).await {
            self.send(batch).await;
        }
    }

    async fn send(&mut self, batch: Vec<Encoded>) {
        let number = batch.len() as u64;
        let body = self.speaks.protocol.body(&self.speaks.resource, batch);
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            let verdict = self.once(body.clone()).await;
            let count = |of: &AtomicU64, number| of.fetch_add(number, Ordering::Relaxed);
            match verdict {
                Verdict::Taken => {
                    count(&self.counts.sent, number);
                    return;
                }
                Verdict::Partly { rejected, why } => {
                    let rejected = rejected.min(number);
                    count(&self.counts.failed, rejected);
                    count(&self.counts.sent, number - rejected);
                    return self.tell(rejected, &why);
                }
                Verdict::Again(_) if left > 0 => sleep(pause).await,
                Verdict::Again(why) | Verdict::Never(why) => {
                    count(&self.counts.failed, number);
                    return self.tell(number, &why);
                }
            }
            pause *= 2;
        }
    }

    async fn once(&mut self, body: Bytes) -> Verdict {
        match timeout(PATIENCE, self.collector.send(body)).await {
            Ok(Ok(answer)) => self.speaks.protocol.judge(&answer),
            Ok(Err(refused)) => Verdict::Again(refused.to_string()),
            Err(_) => Verdict::Again(format!("no answer within {PATIENCE:?}")),
        }
    }

    fn tell(&mut self, spans: u64, why: &str) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= SELDOM) {
            self.told = Some(now);
            tracing::warn!(spans, why, "the collector of traces did not take them");
        }
    }
}

/// The next batch: as many spans as come together, the first of which waits no longer than that. Whoever
/// puts one in need not wake anybody but for the first.
async fn batch(waiting: &mut mpsc::Receiver<Encoded>) -> Option<Vec<Encoded>> {
    let mut batch = vec![waiting.recv().await?];
    let end = Instant::now() + TOGETHER;
    while batch.len() + waiting.len() < BATCH && Instant::now() < end && !waiting.is_closed() {
        sleep(LOOK).await;
    }
    while batch.len() < BATCH
        && let Ok(next) = waiting.try_recv()
    {
        batch.push(next);
    }
    Some(batch)
}

#[cfg(test)]
mod tests;
