//! The waypoint: the L7 proxy of a namespace or service.
mod http;
