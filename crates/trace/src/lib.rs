//! Traces of requests: who called whom, in which order, and how long each took.
//!
//! ```text
//!  headers -> Incoming::read -> Sampling::decide -> Outgoing::write -> headers of each try
//!                                   |
//!                      Span, one for the request and one for each try
//!                                   |
//!                     Spans::put (never waits) -> batches -> otlp -> Collector
//! ```
//!
//! [`Incoming`] is what the client's headers say of the trace that the request belongs to, in W3C's
//! form (Trace Context, level 1) or one of B3's. What the caller has decided about sampling holds; where
//! nobody has, [`Sampling`] decides by the id of the trace, so that all who are asked decide alike.
//! Spans are handed to [`Spans`], a queue with an end: where a collector is slow or away, they are dropped
//! and counted, and no request waits.

mod carrier;
mod context;
mod export;
mod otlp;
mod sampling;
mod span;

pub use carrier::{Forms, Incoming, Outgoing};
pub use context::{Context, Digits, IdError, SpanId, TraceId};
pub use export::{Collector, Counts, Refused, Spans, Speaks, export};
pub use otlp::{Answer, Protocol, Resource};
pub use sampling::{Sampling, SamplingError};
pub use span::{Kind, Span, Value};
