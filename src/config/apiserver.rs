//! The cluster source: every kind that is read, listed once and then watched at the API server.
//!
//! [`Listings`] is the part without tasks: it turns what watchers see into batches, tells what a
//! new listing no longer holds, and keeps the last good version of an object that cannot be read;
//! [`last_good`] is how such versions outlive the process.
//! [`watch()`] runs one watcher for each kind and one task that collects what they see. The first
//! batch is sent when every kind has been listed once: it holds everything that there is.
//!
//! [`list()`] reads once and does not watch, for the command line.
//!
//! A kind that the API server does not know (its CRD is not installed) counts as listed with
//! nothing in it, and is asked for again.

pub mod last_good;

mod list;
mod listing;
mod watch;

pub use self::list::{Listed, list};
pub use self::listing::{Listings, Seen};
pub use self::watch::watch;
