//! What waypoints tell of requests, as whoever runs the mesh wants it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What holds for the whole mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshTelemetry {
    /// The access log.
    pub access_log: AccessLog,
}

/// The lines of an access log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// Our own fields.
    #[default]
    Usual,
    /// None are written.
    Off,
    /// A text in Envoy's command operators.
    Text(Arc<str>),
    /// A JSON object of such texts, as text.
    Json(Arc<str>),
}
