use super::*;

const METRICS: &str = r#"# HELP ambit_pods Pods of this node attached.
# TYPE ambit_pods gauge
ambit_pods 3
ambit_control_plane_connected 0
ambit_config_staleness_seconds 12
ambit_certificate_expiry_timestamp_seconds{identity="spiffe://cluster.local/ns/a/sa/b"} 1795265579.0
istio_build{component="ambit-node-agent",tag="0.1.0"} 1
# EOF
"#;

#[test]
fn an_agents_metrics_tell_how_it_is() {
    let page = AgentPage {
        version: Some("0.1.0".to_owned()),
        connected: Some(false),
        pods: Some(3),
        expiries: vec![1_795_265_579],
    };
    assert_eq!(AgentPage::of(METRICS), page);
    assert_eq!(AgentPage::of("<html>"), AgentPage::default());
}

#[test]
fn a_name_is_no_prefix_of_another() {
    assert!(series("ambit_pods_total 3\n", "ambit_pods").is_empty());
    let version = control_plane_version("ambit_build_info{version=\"0.2.0\"} 1\n");
    assert_eq!(version.as_deref(), Some("0.2.0"));
}

#[test]
fn times_are_those_of_rfc_3339() {
    assert_eq!(unix("1970-01-01T00:01:00Z"), Some(60));
    assert_eq!(unix("soon"), None);
}
