//! Fetching the public keys of issuers, for request authentications that do not have them.
//!
//! Every replica fetches for itself: each serves waypoints of its own, and none may wait for a leader.
//!
//! | file | what |
//! |---|---|
//! | `schedule.rs` | when which source is asked: a machine without I/O |
//! | `fetch.rs` | one fetch, bounded in time and size |
//!
//! What comes is told to the owner of the configuration ([`Found`]), who keeps the last good keys while
//! there are no others. An issuer that is away, slow, huge or lying costs nobody but its own users: so many
//! are asked at once, fewer of them for one namespace, and the others wait their turn.
//!
//! Tasks: "keys", one, ended by the stop token.

mod fetch;
mod schedule;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::metrics::Registry;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::fetch::{FetchError, Fetcher};
use self::schedule::Schedule;
use crate::config::keys::{Fetched, KeySource, Wanted};

/// Fetches at once.
const AT_ONCE: usize = 16;

/// What came of a fetch.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Where from.
    pub(crate) source: KeySource,
    /// The keys, or why there are none.
    pub(crate) fetched: Fetched,
}

/// What is to be fetched, and whom to tell.
#[derive(Debug)]
pub(crate) struct Errand {
    /// Sources, as they are wanted now.
    pub(crate) wanted: watch::Receiver<Arc<Wanted>>,
    /// Takes what was found.
    pub(crate) found: mpsc::Sender<Found>,
}

/// Counts fetches by what came of them.
#[derive(Clone)]
struct Fetches(Family<[(&'static str, &'static str); 1], Counter>);

impl fmt::Debug for Fetches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetches").finish_non_exhaustive()
    }
}

impl Fetches {
    fn new(registry: &Registry) -> Self {
        let help = "Fetches of the keys of issuers, by outcome";
        let family = registry.register("ambit_jwks_fetches", help, Family::default());
        for outcome in [FETCHED].into_iter().chain(FetchError::WORDS) {
            drop(family.get_or_create(&[("outcome", outcome)]));
        }
        Self(family)
    }

    fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&[("outcome", outcome)]).inc();
    }
}

/// The outcome of a fetch that brought keys.
const FETCHED: &str = "fetched";

/// Does the errand until it is told to stop.
pub(crate) fn run(
    errand: Errand,
    refresh: Duration,
    registry: &Registry,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let fetches = Fetches::new(registry);
    async move {
        let fetcher = Fetcher::new();
        tokio::select! {
            () = fetch_all(errand, refresh, &fetcher, &fetches) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Until nobody wants to know any more.
async fn fetch_all(mut errand: Errand, refresh: Duration, fetcher: &Fetcher, fetches: &Fetches) {
    let mut schedule = Schedule::new(refresh);
    let mut running = FuturesUnordered::new();
    errand.wanted.mark_changed();
    loop {
        tokio::select! {
            changed = errand.wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = Arc::clone(&errand.wanted.borrow_and_update());
                schedule.want(&wanted, clock::now());
            }
            () = clock::until(schedule.due()), if running.len() < AT_ONCE => {
                let Some(ask) = schedule.next(clock::now()) else { continue };
                running.push(async move {
                    let fetched = fetcher.keys(&ask.source, ask.patience).await;
                    (ask, fetched)
                });
            }
            Some((ask, fetched)) = running.next() => {
                schedule.done(&ask, fetched.is_ok(), clock::now(), rand::random());
                let source = ask.source;
                match &fetched {
                    Ok(_) => fetches.count(FETCHED),
                    Err(error) => {
                        fetches.count(error.word());
                        tracing::warn!(%source, %error, "keys of an issuer could not be fetched");
                    }
                }
                let fetched = fetched.map_err(|error| error.to_string());
                if errand.found.send(Found { source, fetched }).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
