use super::*;

#[test]
fn what_is_not_known_or_cannot_be_is_refused() {
    let least = "image: i\ncontrolPlane: c:15012\n";
    let settings = WaypointSettings::parse(least).unwrap();
    assert_eq!(settings.replicas, 2);
    assert!(settings.autoscaling.enabled && settings.disruption_budget);
    for wrong in [
        "replica: 3",
        "autoscaling: {enabled: true, minReplicas: 3, maxReplicas: 2, targetCpu: 80}",
        "autoscaling: {enabled: true, minReplicas: 0, maxReplicas: 2, targetCpu: 80}",
    ] {
        let text = format!("{least}{wrong}\n");
        assert!(WaypointSettings::parse(&text).is_err(), "{wrong}");
    }
    assert!(
        WaypointSettings::parse("image: i").is_err(),
        "no control plane"
    );
}
