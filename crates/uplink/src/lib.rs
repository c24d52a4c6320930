//! The way to the control plane, for whoever asks it: node agents and waypoints.
//!
//! [`Access`] proves the two ends to each other and makes the one connection; [`Discovery`],
//! [`trust`] and [`certificates`] are a stream or a call each. What comes is handed to the owner by
//! channels; nothing here keeps or decides anything. [`Backoff`] says how long to wait after a
//! failure, which never touches what is in force.

mod backoff;
pub mod certificates;
mod connection;
mod discovery;
pub mod trust;

pub use backoff::{Backoff, is_not_served};
pub use connection::{Access, AccessError, Target, in_time};
pub use discovery::{Check, Delivery, Discovered, Discovery, Subscription, Want, node_of};
