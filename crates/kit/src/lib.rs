//! What every program of the mesh needs and none should write twice: logs, metrics, admin pages,
//! lines that are written seldom, when proofs expire, tracked tasks, shares by source, signals, settings, state files and the clock.
//!
//! Nothing here knows what a mesh is; this crate depends on no other of ours.

pub mod clock;
pub mod environment;
pub mod expiry;
pub mod files;
pub mod logs;
pub mod metrics;
pub mod pages;
pub mod process;
pub mod seldom;
pub mod signals;
pub mod sources;
pub mod tasks;
