//! Traffic to a set: requests begin when they are told to, and end when their endpoint is done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ambit_balance::{Algorithm, Ask, Change, Endpoint, EndpointSet, Pick, Place, Random, Settings};
use ambit_model::Health;

/// An endpoint of which the payload says how long requests take there, on average.
pub(crate) type Server = Endpoint<u32, Duration>;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

pub(crate) fn server(key: u32, weight: u32) -> Server {
    Endpoint {
        key,
        payload: 10 * MILLISECOND,
        weight,
        place: Place::default(),
        health: Health::Healthy,
    }
}

pub(crate) fn by(algorithm: Algorithm) -> Settings {
    Settings {
        algorithm,
        ..Settings::default()
    }
}

/// Whether so many of `all` are what is expected of this probability.
pub(crate) fn is_share(count: usize, all: usize, probability: f64) -> bool {
    let expected = all as f64 * probability;
    let deviation = (expected * (1.0 - probability)).sqrt();
    (count as f64 - expected).abs() <= 4.0 * deviation
}

/// A set with requests in progress.
pub(crate) struct Traffic {
    pub(crate) set: EndpointSet<u32, Duration>,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    /// By when they end; the number tells those apart that end at once.
    underway: BTreeMap<(Instant, u64), Pick<u32, Duration>>,
    started: u64,
}

impl Traffic {
    pub(crate) fn new(settings: Settings, servers: Vec<Server>) -> Self {
        let mut traffic = Self {
            set: EndpointSet::new(settings, 5),
            now: Instant::now(),
            random: Random::new(1),
            underway: BTreeMap::new(),
            started: 0,
        };
        traffic.apply(servers.into_iter().map(Change::Put).collect());
        traffic
    }

    pub(crate) fn apply(&mut self, changes: Vec<Change<u32, Duration>>) {
        let mut next = self.set.clone();
        next.apply(changes, self.now);
        self.set = next;
    }

    /// Picks for a request.
    pub(crate) fn pick(&mut self, hash: Option<u64>, tried: &[u32]) -> Pick<u32, Duration> {
        let ask = Ask {
            now: self.now,
            random: self.random.any(),
            hash,
            tried,
        };
        self.set.pick(&ask).unwrap()
    }

    /// Begins a request; says where.
    pub(crate) fn request(&mut self) -> u32 {
        let pick = self.pick(None, &[]);
        let Endpoint { key, payload, .. } = *pick.endpoint();
        // From nothing to twice the average.
        let spread = u64::try_from(2 * payload.as_nanos()).unwrap();
        let end = self.now + Duration::from_nanos(self.random.below(spread));
        self.started += 1;
        self.underway.insert((end, self.started), pick);
        key
    }

    /// Lets time pass; requests end.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
        self.underway = self.underway.split_off(&(self.now, 0));
    }

    /// Requests one after the other; how many each endpoint got.
    pub(crate) fn one_by_one(&mut self, requests: usize) -> BTreeMap<u32, usize> {
        let keys = (0..requests).map(|_| self.pick(None, &[]).endpoint().key);
        counts(keys)
    }

    /// Requests that overlap; how many each endpoint got.
    pub(crate) fn run(&mut self, requests: usize, every: Duration) -> BTreeMap<u32, usize> {
        let keys = (0..requests).map(|_| {
            self.advance(every);
            self.request()
        });
        counts(keys)
    }
}

/// How often each key is there.
pub(crate) fn counts(keys: impl Iterator<Item = u32>) -> BTreeMap<u32, usize> {
    keys.fold(BTreeMap::new(), |mut counts, key| {
        *counts.entry(key).or_default() += 1;
        counts
    })
}
