//! The agent's ports, the same as Istio's.

/// Captured connections of the pod, on its loopback.
pub const OUTBOUND: u16 = 15001;
/// Captured plaintext connections to the pod.
pub const PLAINTEXT: u16 = 15006;
/// HBONE tunnels to the pod.
pub const HBONE: u16 = 15008;
/// Questions about names, on the pod's loopback, by UDP and TCP.
pub const DNS: u16 = 15053;
/// Admin pages, on the node's loopback.
pub const ADMIN: u16 = 15000;
/// Metrics.
pub const METRICS: u16 = 15020;
/// Readiness.
pub const READY: u16 = 15021;
