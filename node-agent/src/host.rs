//! The host role: the only part of the mesh with power over a node, and the smallest.
//!
//! Invariant: no byte of a workload is read here, and nothing here decides about a connection.

pub mod api;
mod firewall;
mod kept;
pub mod names;
mod pods;
mod rules;
#[cfg(test)]
mod testing;
