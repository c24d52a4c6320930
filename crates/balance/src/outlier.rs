//! Outliers: endpoints that fail requests one after the other, and are ejected for a while.
//!
//! ```text
//!  Pick::record(Outcome) -> Verdict, seldom      many threads, atomics only (faults.rs)
//!                              |
//!  EndpointSet::eject(Verdict), tick(now)        one writer, a new snapshot (records.rs, set/eject.rs)
//! ```
//!
//! The semantics are Envoy's, as Istio's `outlierDetection` sets them up. An endpoint is an outlier
//! by so many failures with no success between them. It is ejected unless more than a percentage of
//! the endpoints would be, and comes back after a time that is longer each time it happens again,
//! and shorter after it has stayed well. Where we decide otherwise, or Envoy says nothing:
//!
//! - The percentage is never exceeded: of n endpoints `floor(n * percent / 100)` may be ejected, of
//!   nine with 10 percent none (as in Envoy, which has a switch for one at least, that Istio does not
//!   set). n are those that could be picked were none ejected: healthy, and not outside the places
//!   that the service is kept to. When n falls, or the percentage, those come back at once whose time
//!   is nearest to its end.
//! - An endpoint comes back when its time is over, not at the next of Envoy's sweeps: the writer is
//!   told when that is ([`EndpointSet::due`](crate::EndpointSet::due)). The sweep's interval is only
//!   what an endpoint has to stay well for until it is forgiven one ejection.
//! - An ejected endpoint that falls ill, or out of the places, is ejected no longer: not to be picked
//!   is stronger, and who is ready again has shown that it is well. How often it was ejected is
//!   remembered.
//! - An endpoint that goes and comes back is another one, of which nothing is known. Any other change
//!   of it, of weight or place, leaves it ejected.
//! - Settings hold at once for those that are ejected: with another base time they come back earlier
//!   or later, without detection at once.
//! - In panic, when fewer than a percentage of the endpoints are not ejected, all are picked from as
//!   if none were. Envoy asks level by level, and not while other levels can take the load; ours asks
//!   once for all endpoints of the set, as Istio documents it. An endpoint's time goes on meanwhile.
//! - It does not warm up when it comes back: it was not gone.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::OutlierPolicy;

use crate::endpoint::{Endpoint, Member};

mod faults;
mod records;

pub(crate) use faults::{Faults, Watch};
pub(crate) use records::Records;

/// No endpoint is ejected for longer, unless the base time is.
const LONGEST: Duration = Duration::from_secs(300);
/// Not even then: every endpoint comes back.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where there is no detection.
pub(crate) const NEVER: OutlierPolicy = OutlierPolicy {
    consecutive_5xx: 0,
    consecutive_gateway: 0,
    split_local_origin: false,
    consecutive_local_origin: 0,
    interval: Duration::ZERO,
    base_ejection_time: Duration::ZERO,
    max_ejection_percent: 0,
    min_health_percent: 0,
};

/// What follows from a policy.
pub(crate) trait Ejecting {
    /// How long an ejection takes, the first being number 1.
    fn time_of(&self, ejection: u32) -> Duration;

    /// Whether one more ejection makes the time longer, or would if it were not for its bound: what
    /// is counted beyond that has to be forgiven too.
    fn grows_after(&self, ejection: u32) -> bool;

    /// How many of so many endpoints may be ejected.
    fn most_of(&self, endpoints: usize) -> usize;

    /// Whether ejections are ignored if so many of so many endpoints are ejected.
    fn panics_at(&self, ejected: usize, endpoints: usize) -> bool;
}

fn base(policy: &OutlierPolicy) -> Duration {
    policy.base_ejection_time.min(YEAR)
}

impl Ejecting for OutlierPolicy {
    fn time_of(&self, ejection: u32) -> Duration {
        let base = base(self);
        base.saturating_mul(ejection).min(base.max(LONGEST))
    }

    fn grows_after(&self, ejection: u32) -> bool {
        let base = base(self);
        base.saturating_mul(ejection) < base.max(LONGEST).saturating_add(base)
    }

    fn most_of(&self, endpoints: usize) -> usize {
        let percent = u128::from(self.max_ejection_percent.min(100));
        usize::try_from(wide(endpoints) * percent / 100).unwrap_or_default()
    }

    fn panics_at(&self, ejected: usize, endpoints: usize) -> bool {
        let well = wide(endpoints.saturating_sub(ejected));
        well * 100 < wide(endpoints) * u128::from(self.min_health_percent.min(100))
    }
}

fn wide(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::MAX)
}

/// How a try at an endpoint ended.
///
/// What is our doing or the client's is none of these and not recorded: a refusal by policy, a limit
/// of ours that was reached, a client that has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this HTTP status.
    Status(u16),
    /// An answer of gRPC with this status.
    Grpc(u32),
    /// A connection by which something is passed on that is no HTTP.
    Connected,
    /// No connection, or not in time.
    ConnectFailed,
    /// A connection that ended before the answer.
    Reset,
    /// No answer in time.
    TimedOut,
}

impl Outcome {
    /// Whether there is no answer: a failure of local origin, in Envoy's words.
    fn is_local(self) -> bool {
        matches!(self, Self::ConnectFailed | Self::Reset | Self::TimedOut)
    }

    /// Whether an answer of a server's tells of the server's own failure, as a status of HTTP of 500 to 599
    /// does.
    pub fn is_failure(self) -> bool {
        self.status() >= 500
    }

    /// The HTTP status that this is or counts as.
    fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            // Unknown, unimplemented, internal, unavailable, data loss, deadline: the ones that
            // gRPC's table of HTTP statuses has on the server's side.
            Self::Grpc(2 | 13 | 15) => 500,
            Self::Grpc(12) => 501,
            Self::Grpc(4) | Self::TimedOut => 504,
            Self::Grpc(14) | Self::ConnectFailed | Self::Reset => 503,
            Self::Grpc(_) | Self::Connected => 200,
        }
    }
}

/// What an endpoint was found to be an outlier by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Answers of 500 to 599 in a row.
    Consecutive5xx,
    /// Answers of 502, 503 or 504 in a row.
    ConsecutiveGateway,
    /// Failures without an answer in a row.
    ConsecutiveLocalOrigin,
}

/// An endpoint shall be ejected: for [`EndpointSet::eject`](crate::EndpointSet::eject).
#[derive(Debug)]
#[must_use = "an endpoint is ejected by the set"]
pub struct Verdict<K, T> {
    pub(crate) member: Arc<Member<K, T>>,
    pub(crate) cause: Cause,
}

impl<K, T> Verdict<K, T> {
    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint<K, T> {
        &self.member.endpoint
    }

    /// What it was found by.
    pub fn cause(&self) -> Cause {
        self.cause
    }
}

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// The endpoint is ejected.
    Enforced,
    /// As many endpoints are ejected as may be; it is not.
    Overflow,
    /// It is ejected already, may not be picked anyway, or is gone.
    Void,
}

/// Ejections, as Envoy counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EjectionCounts {
    /// Endpoints that are ejected (`outlier_detection.ejections_active`).
    pub active: usize,
    /// Ejections there have been (`ejections_enforced_total`).
    pub enforced: u64,
    /// Ejections there would have been, but for the percentage (`ejections_overflow`).
    pub overflow: u64,
    /// Whether ejections are ignored because too few endpoints would be left.
    pub panic: bool,
}

#[cfg(test)]
mod tests;
