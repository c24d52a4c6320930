//! What happens to a request: which rule of a service's routes it meets, and what that rule makes
//! of it. Pure functions of plain values: no async, no I/O, no clock, no hidden randomness.

mod mirror;
mod retry;
mod tls;
mod weight;

pub use mirror::should_mirror;
pub use retry::{TryOutcome, worth_another_try};
pub use tls::tls_route;
pub use weight::choose;
