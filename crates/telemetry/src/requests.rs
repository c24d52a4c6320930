//! The counters of requests: one tally for each set of labels, found by a small key.
//!
//! Counting a request whose like was seen before takes a look-up and a handful of additions: no
//! lock, and nothing is allocated. What such a request is found by is its [`Key`]: the ends by
//! their addresses, and the outcome. An entry holds its ends, so that an address cannot be used
//! again while it is in a key. The table of entries is an immutable value; whoever adds to it puts
//! another one in its place, which shares all but the way to the new entry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_model::Mesh;
use arc_swap::ArcSwap;
use imbl::HashMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::cells::Cells;
use crate::ends::{Ends, PairKey, Reporter, labels_of_ends};
use crate::exchange::Exchange;
use crate::families::Families;
use crate::histogram::{Histogram, Reading};
use crate::labels::Labels;
use crate::ledger::{Cell, Ledger};
use crate::living::Living;

mod outcome;

use outcome::Outcome;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Label sets with names. Each is some sixty lines of the page, or 50 kB.
    tallies: usize,
    /// Entries for looking up; pods of one Deployment have entries of their own, and one label
    /// set. With more they are all forgotten, which costs time and no count.
    entries: usize,
}

const BOUNDS: Bounds = Bounds {
    tallies: 3_000,
    entries: 32_768,
};

/// What is counted of the requests of one label set. How many there were is in the histograms.
#[derive(Debug, Default)]
struct Tally {
    /// In microseconds, told in milliseconds.
    duration: Histogram<1000>,
    request_bytes: Histogram<1>,
    response_bytes: Histogram<1>,
    /// How often one of them was sent again.
    retries: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pair: PairKey,
    outcome: Outcome,
}

#[derive(Debug)]
struct Entry {
    ends: Ends,
    tally: Arc<Tally>,
    /// gRPC messages of requests and of responses.
    messages: Option<[Cell; 2]>,
}

/// Every request that was counted.
#[derive(Debug)]
pub(crate) struct Requests {
    reporter: Reporter,
    ledger: Ledger<Families>,
    tallies: Arc<Cells<Labels, Tally>>,
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
            tallies: Arc::new(Cells::new(bounds.tallies)),
            entries: ArcSwap::default(),
            most_entries: bounds.entries,
        }
    }

    /// Counts a request.
    pub(crate) fn record(&self, exchange: &Exchange<'_>) {
        let key = Key {
            pair: PairKey::of(exchange.ends),
            outcome: Outcome::of(exchange),
        };
        if let Some(entry) = self.entries.load().get(&key) {
            return entry.add(exchange);
        }
        let entry = Arc::new(self.entry(exchange.ends, key.outcome));
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
        self.entries.rcu(|entries| {
            let mut entries = HashMap::clone(entries);
            entries.retain(|_, entry| living.has_both(&entry.ends));
            entries
        });
        self.tallies.retain(|labels| living.has_names(labels));
    }

    /// What shows the requests on the page.
    pub(crate) fn page(&self) -> Box<dyn Collector> {
        Box::new(RequestPage(Arc::clone(&self.tallies)))
    }

    fn entry(&self, ends: &Ends, outcome: Outcome) -> Entry {
        let mut pairs = labels_of_ends(self.reporter, ends);
        let messages = outcome.is_grpc().then(|| {
            let labels = outcome.label_messages(pairs.clone());
            [Families::RequestMessages, Families::ResponseMessages]
                .map(|family| self.ledger.cell(family, &labels))
        });
        outcome.label(&mut pairs);
        Entry {
            ends: ends.clone(),
            tally: self.tallies.of(pairs.into_iter().collect()),
            messages,
        }
    }
}

impl Entry {
    fn add(&self, exchange: &Exchange<'_>) {
        let micros = u64::try_from(exchange.duration.as_micros()).unwrap_or(u64::MAX);
        self.tally.duration.observe(micros);
        self.tally.request_bytes.observe(exchange.sent);
        self.tally.response_bytes.observe(exchange.received);
        let retries = exchange.tries.saturating_sub(1);
        if retries > 0 {
            self.tally
                .retries
                .fetch_add(retries.into(), Ordering::Relaxed);
        }
        if let Some([requests, responses]) = &self.messages {
            requests.fetch_add(exchange.request_messages, Ordering::Relaxed);
            responses.fetch_add(exchange.response_messages, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct RequestPage(Arc<Cells<Labels, Tally>>);

impl Collector for RequestPage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("istio_requests", "Requests");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, tally) in self.0.read().iter() {
            ConstCounter::new(tally.duration.count()).encode(metric.encode_family(labels)?)?;
        }
        let (name, help) = ("ambit_request_retries", "Tries of requests after the first");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, tally) in self.0.read().iter() {
            let retries = tally.retries.load(Ordering::Relaxed);
            if retries > 0 {
                ConstCounter::new(retries).encode(metric.encode_family(labels)?)?;
            }
        }
        let (name, help) = ("istio_request_duration_milliseconds", "Time of requests");
        self.histogram(&mut encoder, name, help, |tally| tally.duration.read())?;
        let (name, help) = ("istio_request_bytes", "Bytes of requests");
        self.histogram(&mut encoder, name, help, |tally| tally.request_bytes.read())?;
        let (name, help) = ("istio_response_bytes", "Bytes of responses");
        self.histogram(&mut encoder, name, help, |tally| {
            tally.response_bytes.read()
        })
    }
}

impl RequestPage {
    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        read: fn(&Tally) -> Reading,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, tally) in self.0.read().iter() {
            let Reading {
                buckets,
                count,
                sum,
            } = read(tally);
            metric
                .encode_family(labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
