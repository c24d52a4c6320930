//! Balancing of requests: which endpoint of a service a request goes to, and whether and when it is
//! tried again. No async, no I/O, no clock: times and random numbers are handed in.
//!
//! ```text
//!  Change -> EndpointSet::apply                 Ask -> EndpointSet::pick -> Pick
//!               |                                         |
//!   known: key -> member, standing          the nearest group with an endpoint that will do,
//!   groups: by nearness, each with          by draw, turn or table
//!     members in slots, weights, table
//! ```
//!
//! An [`EndpointSet`] is a snapshot: cloning it costs O(1), a change O(log n), and what did not
//! change is shared. A caller keeps the snapshot in force where every request finds it, and puts a
//! changed clone in its place. What lives on from one snapshot to the next, such as the number of
//! requests that are outstanding at an endpoint, lies in atomics that all of them share.
//!
//! A pick takes no lock and allocates nothing, but for the first by hash after a change, which
//! builds the group's table.

mod backoff;
mod budget;
mod endpoint;
mod group;
mod outlier;
mod pick;
mod place;
mod pool;
mod random;
mod set;
mod settings;
mod table;
mod weights;

pub use backoff::Backoff;
pub use budget::{ActiveRequest, ActiveRetry, RetryBudget, RetryLimits};
pub use endpoint::{Endpoint, Pick};
pub use outlier::{Cause, Ejection, EjectionCounts, Outcome, OutlierSettings, Verdict};
pub use pick::Ask;
pub use place::{Place, Preference};
pub use pool::{Permit, Pool, PoolCounts, PoolLimits};
pub use random::{Random, stable_hash};
pub use set::{Change, EndpointSet, Shortage};
pub use settings::{Algorithm, ConnectionSettings, Hashing, Settings};
