//! What happens to a request: which rule of a service's routes it meets, and what that rule makes
//! of it. Pure functions of plain values: no async, no I/O, no clock, no hidden randomness.

mod cookie_path;
mod cors;
mod head;
mod headers;
mod host;
mod mirror;
mod path;
mod problem;
mod redirect;
mod retry;
mod rewrite;
mod session;
mod tls;
mod weight;

pub use cors::{CorsHeaders, CorsPolicy, CorsVerdict};
pub use head::Head;
pub use headers::{HeaderEdits, RequestEdits};
pub use mirror::should_mirror;
pub use path::Covered;
pub use problem::Problem;
pub use redirect::Redirection;
pub use retry::{TryOutcome, worth_another_try};
pub use rewrite::{Rewriting, TooLong};
pub use session::{EndpointTag, Session};
pub use tls::tls_route;
pub use weight::choose;
