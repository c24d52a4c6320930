//! What published dashboards and alerts ask of Prometheus (the contract's M14, M15 and M18), in the
//! words that their readers will type.

/// By service.
const BY: &str = "by (destination_service_name)";
/// Requests whose way was secured.
const SECURED: &str = "istio_requests_total{connection_security_policy=\"mutual_tls\"}";
const ALL: &str = "istio_requests_total";

/// Requests per second, by service.
pub fn request_rate() -> String {
    format!("{} {BY}", rate(""))
}

/// Percentage of requests answered with 5xx, by service.
pub fn error_percent() -> String {
    let bad = rate(",response_code=~\"5..\"");
    format!("{bad} {BY} / {} {BY} * 100", rate(""))
}

/// The quantiles of the duration in ms that are drawn, by service, the smallest first.
pub fn latencies() -> [String; 3] {
    let buckets = "istio_request_duration_milliseconds_bucket{reporter=\"destination\"}[5m]";
    let by = "by (destination_service_name, le)";
    ["0.50", "0.95", "0.99"]
        .map(|quantile| format!("histogram_quantile({quantile}, sum(rate({buckets})) {by})"))
}

/// Percentage of all requests whose way was secured.
pub fn coverage() -> String {
    format!("sum({SECURED}) / sum({ALL}) * 100")
}

/// The share of those of the last minutes, which the alert looks at.
pub fn coverage_lately() -> String {
    let lately = |series: &str| format!("sum(rate({series}[10m]))");
    format!("{} / {}", lately(SECURED), lately(ALL))
}

fn rate(labels: &str) -> String {
    format!("sum(rate({ALL}{{reporter=\"destination\"{labels}}}[5m]))")
}
