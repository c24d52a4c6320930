//! The counters of requests: one for each set of labels, found by a small key.
//!
//! Counting a request whose like was seen before takes a look-up and a handful of additions: no
//! lock, and nothing is allocated. What such a request is found by is its [`Key`]: the ends by
//! their addresses, the outcome, and what is other than usual. An entry holds its ends, so that an address cannot be used
//! again while it is in a key. The table of entries is an immutable value; whoever adds to it puts
//! another one in its place, which shares all but the way to the new entry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_model::{Mesh, Metric};
use arc_swap::ArcSwap;
use imbl::HashMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::cells::{Cells, MadeKey};
use crate::ends::{Ends, PairKey, Reporter, labels_of_ends};
use crate::exchange::Exchange;
use crate::families::Families;
use crate::histogram::{Histogram, Reading};
use crate::labels::Labels;
use crate::ledger::{Cell, Ledger};
use crate::living::Living;
use crate::shape::{Made, Shape, ShapeKey, each, made};

mod outcome;

use outcome::Outcome;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Label sets with names, of each family. Each is some sixty lines of the page, or 50 kB.
    labels: usize,
    /// Entries for looking up; pods of one Deployment have entries of their own, and one label
    /// set. With more they are all forgotten, which costs time and no count.
    entries: usize,
}

const BOUNDS: Bounds = Bounds {
    labels: 3_000,
    entries: 32_768,
};

type Counter = AtomicU64;
/// In microseconds, told in milliseconds.
type Times = Histogram<1000>;
type Sizes = Histogram<1>;

/// What is counted, by the labels of each family: they need not be the same.
#[derive(Debug)]
struct Tables {
    requests: Cells<Labels, Counter>,
    /// How often they were sent again.
    retries: Cells<Labels, Counter>,
    durations: Cells<Labels, Times>,
    request_bytes: Cells<Labels, Sizes>,
    response_bytes: Cells<Labels, Sizes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pair: PairKey,
    outcome: Outcome,
    shape: Option<ShapeKey>,
}

/// The counters of requests of one kind; a family that is not wanted has none.
#[derive(Debug)]
struct Entry {
    ends: Ends,
    /// Also kept for its address, which is in the key.
    shape: Option<Arc<Shape>>,
    requests: Option<Arc<Counter>>,
    retries: Option<Arc<Counter>>,
    duration: Option<Arc<Times>>,
    request_bytes: Option<Arc<Sizes>>,
    response_bytes: Option<Arc<Sizes>>,
    /// gRPC messages of requests and of responses.
    messages: [Option<Cell>; 2],
}

/// Every request that was counted.
#[derive(Debug)]
pub(crate) struct Requests {
    reporter: Reporter,
    ledger: Ledger<Families>,
    tables: Arc<Tables>,
    entries: ArcSwap<HashMap<Key, Arc<Entry>>>,
    most_entries: usize,
}

impl Requests {
    /// No requests; gRPC messages are counted in this ledger.
    pub(crate) fn new(reporter: Reporter, ledger: Ledger<Families>) -> Self {
        Self::within(BOUNDS, reporter, ledger)
    }

    fn within(bounds: Bounds, reporter: Reporter, ledger: Ledger<Families>) -> Self {
        Self {
            reporter,
            ledger,
            tables: Arc::new(Tables::within(bounds.labels)),
            entries: ArcSwap::default(),
            most_entries: bounds.entries,
        }
    }

    /// Counts a request.
    pub(crate) fn record(&self, exchange: &Exchange<'_>) {
        let key = Key {
            pair: PairKey::of(exchange.ends),
            outcome: Outcome::of(exchange),
            shape: exchange.shaped.map(|shaped| shaped.key()),
        };
        if let Some(entry) = self.entries.load().get(&key) {
            return entry.add(exchange);
        }
        let entry = Arc::new(self.entry(exchange, key.outcome));
        entry.add(exchange);
        self.entries.rcu(|entries| {
            let mut entries = match entries.len() < self.most_entries {
                true => HashMap::clone(entries),
                false => HashMap::new(),
            };
            entries.insert(key.clone(), Arc::clone(&entry));
            entries
        });
    }

    /// Forgets the requests of workloads that are gone from the mesh, or are called otherwise now.
    pub(crate) fn sweep(&self, mesh: &Mesh) {
        let living = Living::of(mesh);
        self.sweep_shapes(&living);
        self.entries.rcu(|entries| {
            let mut entries = HashMap::clone(entries);
            entries.retain(|_, entry| living.has_both(&entry.ends));
            entries
        });
        self.tables.retain(|labels| living.has_names(labels));
    }

    fn sweep_shapes(&self, living: &Living<'_>) {
        let entries = self.entries.load();
        let shapes = entries.values().filter_map(|entry| entry.shape.as_ref());
        for shape in each(shapes) {
            shape.retain(|labels| living.has_names(labels));
        }
    }

    /// What shows the requests on the page.
    pub(crate) fn page(&self) -> Box<dyn Collector> {
        Box::new(RequestPage(Arc::clone(&self.tables), self.ledger.clone()))
    }

    fn entry(&self, exchange: &Exchange<'_>, outcome: Outcome) -> Entry {
        let shaped = exchange.shaped;
        let mut pairs = labels_of_ends(self.reporter, exchange.ends);
        let messages = outcome.is_grpc().then(|| {
            let pairs = outcome.label_messages(pairs.clone());
            let cell = |family, metric| {
                let made = made(shaped, metric, &pairs)?;
                Some(self.ledger.shaped(family, &made))
            };
            [
                cell(Families::RequestMessages, Metric::GrpcRequestMessages),
                cell(Families::ResponseMessages, Metric::GrpcResponseMessages),
            ]
        });
        outcome.label(&mut pairs);
        let counted = made(shaped, Metric::RequestCount, &pairs);
        let tables = &self.tables;
        Entry {
            ends: exchange.ends.clone(),
            shape: shaped.map(|shaped| Arc::clone(shaped.shape)),
            requests: cell(&tables.requests, counted.clone()),
            retries: cell(&tables.retries, counted),
            duration: cell(
                &tables.durations,
                made(shaped, Metric::RequestDuration, &pairs),
            ),
            request_bytes: cell(
                &tables.request_bytes,
                made(shaped, Metric::RequestSize, &pairs),
            ),
            response_bytes: cell(
                &tables.response_bytes,
                made(shaped, Metric::ResponseSize, &pairs),
            ),
            messages: messages.unwrap_or_default(),
        }
    }
}

/// The cell of these labels, if there are any. Those of a user's making get half of the table: what others
/// count as usual is never without room for them.
fn cell<C: Default>(table: &Cells<Labels, C>, made: Option<Made>) -> Option<Arc<C>> {
    let made = made?;
    let key = MadeKey {
        own: made.labels,
        other: made.other,
        nameless: made.nameless,
        is_folded: made.is_folded,
    };
    Some(table.made(table.most() / 2, key))
}

impl Tables {
    fn within(most: usize) -> Self {
        Self {
            requests: Cells::new(most),
            retries: Cells::new(most),
            durations: Cells::new(most),
            request_bytes: Cells::new(most),
            response_bytes: Cells::new(most),
        }
    }

    /// How often labels of a user's making found no room.
    fn folded(&self) -> u64 {
        let counters = self.requests.folded() + self.retries.folded();
        let sizes = self.request_bytes.folded() + self.response_bytes.folded();
        counters + self.durations.folded() + sizes
    }

    fn retain(&self, keep: impl Fn(&Labels) -> bool + Copy) {
        self.requests.retain(keep);
        self.retries.retain(keep);
        self.durations.retain(keep);
        self.request_bytes.retain(keep);
        self.response_bytes.retain(keep);
    }
}

impl Entry {
    fn add(&self, exchange: &Exchange<'_>) {
        let count = |counter: Option<&Counter>, number: u64| {
            if let Some(counter) = counter {
                counter.fetch_add(number, Ordering::Relaxed);
            }
        };
        count(self.requests.as_deref(), 1);
        let retries = exchange.tries.saturating_sub(1);
        if retries > 0 {
            count(self.retries.as_deref(), retries.into());
        }
        if let Some(duration) = &self.duration {
            let micros = u64::try_from(exchange.duration.as_micros());
            duration.observe(micros.unwrap_or(u64::MAX));
        }
        for (bytes, number) in [
            (&self.request_bytes, exchange.sent),
            (&self.response_bytes, exchange.received),
        ] {
            if let Some(bytes) = bytes {
                bytes.observe(number);
            }
        }
        let [requests, responses] = &self.messages;
        count(requests.as_deref(), exchange.request_messages);
        count(responses.as_deref(), exchange.response_messages);
    }
}

#[derive(Debug)]
struct RequestPage(Arc<Tables>, Ledger<Families>);

impl Collector for RequestPage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Tables {
            requests,
            retries,
            durations,
            request_bytes,
            response_bytes,
        } = &*self.0;
        let encoder = &mut encoder;
        counters(encoder, ("istio_requests", "Requests"), requests)?;
        let help = "Tries of requests after the first";
        counters(encoder, ("ambit_request_retries", help), retries)?;
        let name = "istio_request_duration_milliseconds";
        histograms(encoder, (name, "Time of requests"), durations)?;
        let (name, help) = ("istio_request_bytes", "Bytes of requests");
        histograms(encoder, (name, help), request_bytes)?;
        let (name, help) = ("istio_response_bytes", "Bytes of responses");
        histograms(encoder, (name, help), response_bytes)?;
        let folded = self.0.folded() + self.1.folded();
        if folded == 0 {
            return Ok(());
        }
        let help =
            "Label sets with labels of a user's own that are counted as `other`, for want of room";
        let counter = MetricType::Counter;
        let metric = encoder.encode_descriptor("ambit_series_overflow", help, None, counter)?;
        ConstCounter::new(folded).encode(metric)
    }
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    table: &Cells<Labels, Counter>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, counter) in table.read().iter() {
        let count = counter.load(Ordering::Relaxed);
        if count > 0 {
            ConstCounter::new(count).encode(metric.encode_family(labels)?)?;
        }
    }
    Ok(())
}

fn histograms<const PARTS: u64>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    table: &Cells<Labels, Histogram<PARTS>>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, histogram) in table.read().iter() {
        let Reading {
            buckets,
            count,
            sum,
        } = histogram.read();
        metric
            .encode_family(labels)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
