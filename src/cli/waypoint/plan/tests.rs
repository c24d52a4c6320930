use super::*;
use crate::config::objects::read;

#[test]
fn the_gateway_is_one_that_is_read_as_a_waypoint() {
    let gateway = gateway(Some("shop"), "waypoint", Some(For::All));
    assert!(is_waypoint(&gateway));
    assert_eq!(scope_of(&gateway), "all");
    assert_eq!(scope_of(&super::gateway(None, "w", None)), "service");
    let read = read(gateway).unwrap();
    let crate::config::objects::Object::Gateway(read) = read else {
        panic!("{read:?}");
    };
    assert!(crate::config::translate::tunnel_listener(&read).is_some());
    assert!(!is_waypoint(
        &json!({"spec": {"gatewayClassName": "nginx"}})
    ));
}

#[test]
fn a_namespace_is_bound_to_another_waypoint_only_if_that_is_said() {
    let labels = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let ours = "ambit.mesh/use-waypoint";
    let home = "ambit.mesh/use-waypoint-namespace";
    let change = Ok(Some(json!({ours: "w"})));
    assert_eq!(binding(&labels(&[]), "w", false), change);
    assert_eq!(binding(&labels(&[(ours, "w")]), "w", false), Ok(None));
    assert_eq!(
        binding(&labels(&[("istio.io/use-waypoint", "w")]), "w", false),
        Ok(None)
    );
    let other = labels(&[("istio.io/use-waypoint", "x")]);
    assert!(
        binding(&other, "w", false)
            .unwrap_err()
            .contains("istio.io/use-waypoint=x")
    );
    assert_eq!(binding(&other, "w", true), change);
    let far = labels(&[(ours, "w"), (home, "gw")]);
    assert!(
        binding(&far, "w", false).is_err(),
        "a waypoint of that name elsewhere"
    );
    let change = json!({ours: "w", home: null});
    assert_eq!(binding(&far, "w", true), Ok(Some(change)));
}

#[test]
fn only_what_is_said_of_the_present_version_counts() {
    let shown = |observed: i64, status: &str| {
        state(&json!({
            "metadata": {"generation": 2},
            "status": {
                "conditions": [{"type": "Programmed", "status": status, "message": "why", "observedGeneration": observed}],
                "addresses": [{"type": "IPAddress", "value": "10.96.0.9"}],
            },
        }))
    };
    assert!(shown(2, "True").is_programmed);
    assert!(!shown(1, "True").is_programmed);
    assert!(shown(1, "True").complaint().contains("nobody"));
    assert_eq!(shown(2, "False").complaint(), "Programmed: why");
    assert_eq!(shown(2, "False").of("Programmed"), "False");
    assert_eq!(shown(2, "True").addresses, ["10.96.0.9"]);
}
