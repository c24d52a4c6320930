//! Balancing of requests: which endpoint of a service a request goes to, whether and when it is
//! tried again, and how much there may be at once. No async, no I/O, no clock: times and random
//! numbers are handed in.
//!
//! ```text
//!  Change -> EndpointSet::apply                 Ask -> EndpointSet::pick -> Pick
//!               |                                         |                   |
//!   known: key -> member, standing          the group due, or the nearest     | record(Outcome)
//!   groups: by nearness, each with          with an endpoint that will do:    |
//!     members in slots, weights, table      by draw, turn or table            v
//!     and a bench of those ejected  <-- EndpointSet::eject, tick --  seldom a Verdict
//! ```
//!
//! An [`EndpointSet`] is a snapshot: cloning it costs O(1), a change O(log n), and what did not
//! change is shared. A caller keeps the snapshot in force where every request finds it, and puts a
//! changed clone in its place. What lives on from one snapshot to the next, such as the number of
//! requests that are outstanding at an endpoint, or that failed there in a row, lies in atomics that
//! all of them share.
//!
//! A pick takes no lock and allocates nothing, but for the first by hash after a change, which
//! builds the group's table. Nor does taking in how it ended; only an endpoint that is to be ejected
//! is a change of the set ([`Verdict`]), and so is its return ([`EndpointSet::tick`]).
//!
//! Who is how near is told by a [`Preference`], what each group gets of the requests by
//! `spread.rs`. Limits of what there is at once are a [`Pool`]'s, which knows nothing of endpoints.

mod backoff;
mod budget;
mod endpoint;
mod group;
mod outlier;
mod pick;
mod place;
mod pool;
mod preference;
mod random;
mod set;
mod settings;
mod spread;
mod table;
mod weights;

pub use backoff::Backoff;
pub use budget::{ActiveRequest, ActiveRetry, RetryBudget, RetryLimits};
pub use endpoint::{Endpoint, Pick};
pub use outlier::{Cause, Ejection, EjectionCounts, Outcome, Verdict};
pub use pick::Ask;
pub use place::Place;
pub use pool::{Permit, Pool, PoolCounts, PoolLimits};
pub use preference::{Distribute, LocalitySetting, Preference, RegionFailover};
pub use random::{Random, stable_hash};
pub use set::{Change, EndpointSet, Shortage};
pub use settings::{Algorithm, Hashing, Settings};
