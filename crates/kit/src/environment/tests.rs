use super::*;

fn checked(set: &[&str]) -> Result<(), UnreadVariables> {
    check(set.iter().map(|name| (name.into(), OsString::new())))
}

#[test]
fn what_is_read_or_not_ours_is_fine() {
    checked(&["AMBIT_NODE", "PATH", "AMBITION"]).unwrap();
}

#[test]
fn every_variable_that_nothing_reads_is_named() {
    let error = checked(&["AMBIT_NODES", "AMBIT_NODE", "AMBIT_EGRES"]).unwrap_err();
    let expected = "nothing reads AMBIT_EGRES, AMBIT_NODES; unset it, or see --help for the \
                    names there are";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_kubernetes_says_of_services_is_passed_over() {
    checked(&[
        "AMBIT_CONTROL_PLANE_SERVICE_HOST",
        "AMBIT_CONTROL_PLANE_SERVICE_PORT_HTTPS",
        "AMBIT_CONTROL_PLANE_PORT",
        "AMBIT_CONTROL_PLANE_PORT_15012_TCP_ADDR",
    ])
    .unwrap();
}
