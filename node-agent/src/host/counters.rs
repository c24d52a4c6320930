//! What the host role counts. It has no page of its own (it listens on no network port): the
//! numbers are part of the answer to `list`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Pods captured.
    Enrolled,
    /// Enrolments that failed or were refused.
    EnrolmentsFailed,
    /// Pods released.
    Released,
    /// Pods whose network namespace went away before they were released.
    PodsVanished,
    /// Connections and requests on `agent.sock` that were not well formed or not from root.
    RequestsRejected,
    /// Generations of the proxy started.
    ProxiesStarted,
    /// Generations of the proxy that ended without having been told to.
    ProxiesDied,
    /// Records of a proxy that were not well formed or not allowed.
    RecordsRejected,
    /// Starts of the control role.
    ControlsStarted,
    /// Outgoing sockets made.
    SocketsMade,
    /// Requests for sockets that were answered with none.
    SocketsRefused,
    /// Listeners that had stopped listening and were made anew.
    ListenersRenewed,
    /// Pods captured but for their questions about names, since they hold that port themselves.
    NamesLeftOut,
}

/// All counters, from zero at the start of the role.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; Count::ALL.len()],
}

impl Count {
    /// Every counter.
    pub(crate) const ALL: [Self; 13] = [
        Self::Enrolled,
        Self::EnrolmentsFailed,
        Self::Released,
        Self::PodsVanished,
        Self::RequestsRejected,
        Self::ProxiesStarted,
        Self::ProxiesDied,
        Self::RecordsRejected,
        Self::ControlsStarted,
        Self::SocketsMade,
        Self::SocketsRefused,
        Self::ListenersRenewed,
        Self::NamesLeftOut,
    ];

    /// Its name in the answer to `list`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::EnrolmentsFailed => "enrolments_failed",
            Self::Released => "released",
            Self::PodsVanished => "pods_vanished",
            Self::RequestsRejected => "requests_rejected",
            Self::ProxiesStarted => "proxies_started",
            Self::ProxiesDied => "proxies_died",
            Self::RecordsRejected => "records_rejected",
            Self::ControlsStarted => "controls_started",
            Self::SocketsMade => "sockets_made",
            Self::SocketsRefused => "sockets_refused",
            Self::ListenersRenewed => "listeners_renewed",
            Self::NamesLeftOut => "names_left_out",
        }
    }
}

impl Counters {
    /// One more.
    pub(crate) fn count(&self, count: Count) {
        self.add(count, 1);
    }

    /// Several more.
    pub(crate) fn add(&self, count: Count, several: u64) {
        if let Some(counter) = self.counts.get(count as usize) {
            counter.fetch_add(several, Ordering::Relaxed);
        }
    }

    /// All numbers by name.
    pub(crate) fn numbers(&self) -> BTreeMap<String, u64> {
        Count::ALL
            .iter()
            .zip(&self.counts)
            .map(|(count, number)| (count.word().to_owned(), number.load(Ordering::Relaxed)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
