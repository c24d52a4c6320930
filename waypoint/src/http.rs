//! HTTP as the waypoint takes and sends it.

pub(crate) mod body;
pub(crate) mod replay;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod verified;
