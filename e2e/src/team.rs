//! What a team that has used Istio's sidecars brings along, as it stands in its repository: the files
//! of `e2e/team`. Scenarios apply them unmodified.

/// Its DestinationRules.
pub const DESTINATION_RULES: &str = include_str!("../team/destination-rules.yaml");
/// Its VirtualServices.
pub const VIRTUAL_SERVICES: &str = include_str!("../team/virtual-services.yaml");
/// Its Telemetry.
pub const TELEMETRY: &str = include_str!("../team/telemetry.yaml");
/// Its `meshConfig`, as values of the chart.
pub const MESH_CONFIG: &str = include_str!("../team/mesh-config.yaml");

/// Its access log, as the control plane's own file has it.
pub fn access_log() -> String {
    let lines = MESH_CONFIG
        .lines()
        .filter_map(|line| line.strip_prefix("  "));
    let from = lines.skip_while(|line| !line.starts_with("accessLogFile:"));
    let own = from.take_while(|line| line.starts_with([' ', '}']) || line.starts_with("accessLog"));
    own.map(|line| format!("{line}\n")).collect()
}

/// The object of this name among the documents of a file; empty if there is none.
pub fn object(file: &'static str, name: &str) -> &'static str {
    let named = format!("\nmetadata:\n  name: {name}\n");
    let mut documents = file.split("---\n");
    documents
        .find(|document| document.contains(&named))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
