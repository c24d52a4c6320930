//! HTTP as the waypoint takes and sends it.

pub(crate) mod scan;
pub(crate) mod verified;
