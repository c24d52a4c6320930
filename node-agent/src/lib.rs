//! The node agent: every enrolled pod of one node speaks to the mesh through it.
//!
//! One program, three roles, three processes (`main.rs` dispatches):
//! - [`host`]: privileged and small. Pods, namespaces, rules, listeners, outgoing sockets.
//! - `control`: no power over the node. Talks to the control plane, keeps the workloads' keys.
//! - `proxy`: no power at all. Reads bytes from workloads: TLS, HBONE, policy, copying.
//!
//! Invariant: a byte that comes from a workload is read by the proxy role only.

pub mod control;
mod frames;
pub mod host;
mod inbound;
pub mod launch;
pub mod link;
mod outbound;
mod passthrough;
pub mod ports;
pub mod proxy;
mod runtime;
