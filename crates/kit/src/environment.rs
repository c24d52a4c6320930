//! Settings from the environment: a variable of ours that nothing reads is a mistake and is said
//! so, instead of a setting that silently does not apply.

use std::ffi::OsString;

/// What every variable of ours begins with.
const PREFIX: &str = "AMBIT_";

/// Every variable that some program of ours reads; a shell may have those of all of them set.
/// Tests hold the programs' arguments against it.
pub const NAMES: &[&str] = &[
    "AMBIT_ADMIN",
    "AMBIT_CA_SECRET",
    "AMBIT_CERTIFICATE_TTL",
    "AMBIT_CLUSTER",
    "AMBIT_CLUSTER_DOMAIN",
    "AMBIT_CNI_BIN_DIR",
    "AMBIT_CNI_CONF_DIR",
    "AMBIT_CONTROL_PLANE",
    "AMBIT_DNS_CAPTURE",
    "AMBIT_DNS_NAMES",
    "AMBIT_DNS_UPSTREAMS",
    "AMBIT_DRAIN_TIME",
    "AMBIT_EGRESS",
    "AMBIT_EXCLUDED_NAMESPACES",
    "AMBIT_FIREWALL",
    "AMBIT_FROM",
    "AMBIT_GATEWAY",
    "AMBIT_HANDOVER_WAIT",
    "AMBIT_JWKS_REFRESH",
    "AMBIT_LISTEN",
    "AMBIT_LOG_JSON",
    "AMBIT_LOG_LEVEL",
    "AMBIT_LOG_QUERIES",
    "AMBIT_MAX_CONNECTIONS",
    "AMBIT_MEMORY_LIMIT",
    "AMBIT_MESH_CONFIG",
    "AMBIT_METRICS",
    "AMBIT_NAMESPACE",
    "AMBIT_NODE",
    "AMBIT_NODE_IPS",
    "AMBIT_NODE_TAINT",
    "AMBIT_PATH_NORMALIZATION",
    "AMBIT_OUTSIDE_CREDENTIALS",
    "AMBIT_OUTSIDE_ROOTS",
    "AMBIT_POD",
    "AMBIT_POD_CONNECTIONS",
    "AMBIT_POD_HANDSHAKES",
    "AMBIT_POD_IP",
    "AMBIT_POD_NAME",
    "AMBIT_POD_UID",
    "AMBIT_PROXY_MEMORY",
    "AMBIT_READY",
    "AMBIT_REPORTER",
    "AMBIT_RETRY_IDEMPOTENT_ONLY",
    "AMBIT_ROOT_CERT",
    "AMBIT_ROOT_NAMESPACES",
    "AMBIT_ROTATION_PATIENCE",
    "AMBIT_RUN_DIR",
    "AMBIT_SERVER_NAME",
    "AMBIT_SERVICE_ACCOUNT",
    "AMBIT_STATE",
    "AMBIT_STATE_DIR",
    "AMBIT_STOP_TIME",
    "AMBIT_THREADS",
    "AMBIT_TOKENS",
    "AMBIT_TOKEN_FILE",
    "AMBIT_TRUST_DOMAIN",
    "AMBIT_TRUST_ZTUNNEL",
    "AMBIT_WAYPOINTS",
    "AMBIT_WEBHOOK",
];

/// Variables are set that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing reads {}; unset it, or see --help for the names there are", .0.join(", "))]
pub struct UnreadVariables(Vec<String>);

/// Fails if a variable of ours is set that nothing reads.
///
/// What Kubernetes sets for each service of a pod's namespace (`…_SERVICE_HOST`, `…_PORT_80_TCP`
/// and so on) may begin with our name too and is passed over.
pub fn check(set: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), UnreadVariables> {
    let names = set
        .into_iter()
        .map(|(name, _)| name.to_string_lossy().into_owned());
    let mut unread: Vec<String> = names
        .filter(|name| name.starts_with(PREFIX))
        .filter(|name| !NAMES.contains(&name.as_str()) && !is_of_a_service(name))
        .collect();
    unread.sort_unstable();
    if unread.is_empty() {
        Ok(())
    } else {
        Err(UnreadVariables(unread))
    }
}

fn is_of_a_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

#[cfg(test)]
mod tests;
