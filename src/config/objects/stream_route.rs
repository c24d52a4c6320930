//! Gateway API's `TLSRoute` and `TCPRoute`, which differ in the host names only.

use serde::{Deserialize, Serialize};

use super::route_parts::{BackendReference, RouteObject, RuleName};
use super::route_values::at_most;

/// A `TLSRoute`.
pub type TlsRoute = RouteObject<StreamRouteRule>;
/// A `TCPRoute`.
pub type TcpRoute = RouteObject<StreamRouteRule>;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteRule {
    /// Its name.
    #[serde(default)]
    pub name: Option<RuleName>,
    /// Where connections go.
    #[serde(deserialize_with = "at_most::<16, _, _>")]
    pub backend_refs: Vec<BackendReference>,
}
