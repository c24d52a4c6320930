//! Balancing of requests: which endpoint of a service a request goes to, and whether and when it is
//! tried again. No async, no I/O, no clock: times and random numbers are handed in.

mod backoff;
mod budget;
mod choice;
mod random;

pub use backoff::Backoff;
pub use budget::{ActiveRequest, ActiveRetry, RetryBudget, RetryLimits};
pub use choice::WeightedChoice;
pub use random::{Random, stable_hash};
