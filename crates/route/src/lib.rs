//! What happens to a request: which rule of a service's routes it meets, and what that rule makes
//! of it.
//!
//! Everything here is a pure function of plain values: no async, no I/O, no clock, no hidden
//! randomness. [`Compiled`] is made once, when routes arrive, and finds all that could be wrong with
//! them; what is left for a request cannot fail or is an answer. The waypoint calls it for every
//! request. The control plane makes [`Filters`], [`Session`] and expressions ([`check_pattern`]) of
//! what people wrote before it sends it; a rule that cannot be used after all is answered with 500.
//!
//! The steps of a request, in order: [`normalize`]; [`Compiled::find`]; [`inject`] after the rule's CORS;
//! [`Rule::choose`], unless it [answers](Rule::answers); CORS and changes of headers of the backend; of the rule, then of
//! the backend, the rest of [`Filters`] in the order of its fields; [`Direct`] before a rewrite; [`worth_another_try`]
//! after each try.

mod asked;
mod compiled;
mod cookie_path;
mod cors;
mod direct;
mod faults;
mod hand;
mod head;
mod headers;
mod host;
mod index;
mod matching;
mod mirror;
mod normal;
mod path;
mod pattern;
mod problem;
mod query;
mod redirect;
mod retry;
mod rewrite;
mod rule;
mod session;
mod substitution;
mod tls;
mod weight;

pub use compiled::{CompileError, Compiled, Found};
pub use cors::{CorsHeaders, CorsPolicy, CorsVerdict};
pub use direct::Direct;
pub use faults::{Injected, inject};
pub use hand::Hand;
pub use head::{Head, Source};
pub use headers::{HeaderEdits, RequestEdits};
pub use mirror::{shadow, should_mirror};
pub use normal::{NoNormalForm, Normalization, normal_form, normalize};
pub use path::Covered;
pub use pattern::{Patterns, check_pattern};
pub use problem::Problem;
pub use redirect::Redirection;
pub use retry::{TryOutcome, worth_another_try};
pub use rewrite::{Rewriting, TooLong};
pub use rule::{Filters, Rule, RuleBackend};
pub use session::{EndpointTag, Session};
pub use tls::tls_route;
pub use weight::choose;
