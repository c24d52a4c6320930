//! What the proxies tell about the traffic that they carry: counters with Istio's names and labels,
//! and a line of JSON for everything that ended or was refused.
//!
//! Counters live in bounded tables ([`Ledger`]): label values come from whoever may write objects,
//! so a full table counts what is new without names, and the series of workloads that are gone are
//! struck out. The data path neither waits for a scraper nor for the reader of the log.
//!
//! The node agent puts the parts together itself, since it tells its heir what it counted. A
//! waypoint hands what ended to [`Telemetry`]: an [`Exchange`] for each request, a [`Passage`] and
//! a [`Connection`] for what it passes on as it is.

mod cells;
mod connection;
mod ends;
mod exchange;
mod families;
mod histogram;
mod labels;
mod ledger;
mod line;
mod lines;
mod living;
mod object;
mod passage;
mod requests;
pub mod scratch;
mod series;
mod shape;
mod telemetry;

#[cfg(test)]
mod fixtures;

pub use connection::Connection;
pub use ends::{Ends, Reporter, tcp_labels};
pub use exchange::{Exchange, Onward, Protocol};
pub use labels::{Labels, UNKNOWN};
pub use ledger::{Cell, Delta, Family, Ledger};
pub use line::Line;
pub use lines::LineWriter;
pub use passage::Passage;
pub use series::{Series, SeriesTable, TcpFamily};
pub use shape::{Shape, Shaped};
pub use telemetry::{Masking, Settings, Telemetry};
