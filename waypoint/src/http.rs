//! HTTP as the waypoint takes and sends it.

pub(crate) mod activity;
pub(crate) mod body;
pub(crate) mod busy;
pub(crate) mod copied;
pub mod grpc;
pub(crate) mod guarded;
pub(crate) mod late;
pub(crate) mod replay;
pub mod scan;
pub(crate) mod serve;
pub mod verified;
