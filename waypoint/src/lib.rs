//! The waypoint: the L7 proxy of a namespace or service.
//!
//! The way of a request: [`accept`] (a tunnel, a stream, who calls and what for: [`call`]) →
//! [`stream`] (which protocol) → [`http`] (read through a scan of its own) → [`request`] (the
//! pipeline) → [`upstream`] (a connection to the endpoint's agent). What is no HTTP goes from
//! [`stream`] to [`tcp`]. Both hand what ended to the telemetry of [`proxy`]. What decides all that is
//! the [`view`], which [`follow`] keeps up to date. ([`plain`] takes connections without a tunnel,
//! where that is asked for to measure.)

mod accept;
mod args;
mod authorize;
mod call;
mod callers;
mod clusters;
mod connection;
mod drain;
mod endpoint;
#[cfg(test)]
mod fixtures;
mod follow;
mod gauges;
pub mod hello;
pub mod http;
mod identity;
mod outside;
mod pages;
mod plain;
mod pressure;
pub mod protocol;
mod proxy;
mod request;
mod review;
mod room;
#[cfg(test)]
mod scene;
mod serve;
mod strangers;
mod stream;
mod tcp;
mod telling;
mod traces;
mod upstream;
mod verdicts;
mod view;

pub use args::Args;
pub use plain::Listen;
pub use serve::run;
