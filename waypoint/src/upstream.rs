//! The way on: from an endpoint that was chosen to a connection to it.

mod idle;
mod keepalive;
pub(crate) mod link;
pub(crate) mod make;
pub(crate) mod pool;
mod shared;
