use crate::fixtures::service;
use crate::scene::Scene;

#[tokio::test]
async fn every_cluster_has_its_series_while_all_is_calm() {
    let scene = Scene::new([service("server"), service("waypoint")]);
    let page = scene.page();
    for series in [
        "envoy_cluster_outlier_detection_ejections_active",
        "envoy_cluster_outlier_detection_ejections_enforced_total",
        "envoy_cluster_upstream_cx_overflow",
        "envoy_cluster_upstream_rq_pending_active",
        "envoy_cluster_upstream_rq_pending_overflow",
        "envoy_cluster_upstream_rq_retry",
        "envoy_cluster_upstream_rq_retry_overflow",
    ] {
        let line =
            format!("{series}{{cluster_name=\"outbound|80||server.shop.svc.cluster.local\"}} 0");
        assert!(
            page.lines().any(|found| found == line),
            "{line} is not in {page}"
        );
    }
    assert!(!page.contains("outbound|80||waypoint."), "{page}");
}
