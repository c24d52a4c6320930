//! The way on: from an endpoint that was chosen to a connection to it.

pub(crate) mod link;
pub(crate) mod pool;
