//! The protocols between the parts of the mesh: workload discovery, certificates, capture reports
//! and the feed between the roles of one agent.
//!
//! The messages of Istio and Envoy are written down here by their field numbers only, so that
//! either end may be of another make. Conversions between them and the mesh model, and the delta
//! subscription machines, are pure: no I/O, no clocks, no panics on any bytes.

pub mod decode;
pub mod delta;
pub mod encode;

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::large_futures,
    clippy::or_fun_call,
    clippy::use_self,
    clippy::too_many_lines,
    clippy::unused_async,
    clippy::wildcard_imports,
    clippy::semicolon_if_nothing_returned,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    let_underscore_drop,
    reason = "generated code follows its generator's style"
)]
mod generated;

/// Workload discovery (`istio.workload`).
pub mod workload {
    pub use crate::generated::istio::workload::*;
}

/// Authorization policies (`istio.security`).
pub mod security {
    pub use crate::generated::istio::security::*;
}

/// Delta discovery (`envoy.service.discovery.v3`, with the node and status messages it carries).
pub mod discovery {
    pub use crate::generated::envoy::config::core::v3::Node;
    pub use crate::generated::envoy::service::discovery::v3::*;
    pub use crate::generated::google::rpc::Status;
}

/// The certificate service (`istio.v1.auth`).
pub mod ca {
    pub use crate::generated::istio::v1::auth::*;
}

/// Messages of our own: capture and trust, and between the roles of one agent (`ambit.node.v1`).
pub mod node {
    pub use crate::generated::ambit::node::v1::*;
}

/// Our extension of workload discovery (`ambit.workload.v1`).
pub mod extension {
    pub use crate::generated::ambit::workload::v1::*;
}

/// Routes for waypoints (`ambit.waypoint.v1`).
pub mod waypoint {
    pub use crate::generated::ambit::waypoint::v1::*;
}
