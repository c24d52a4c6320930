//! What the command line means.

use ambit_kit::environment;
use clap::{Args as _, Parser as _};

use super::*;

fn parsed(more: &[&str]) -> Result<Args, clap::Error> {
    let needed = [
        "ambit-waypoint",
        "--control-plane=control-plane:15012",
        "--token-file=/token",
        "--root-cert=/root.pem",
        "--namespace=shop",
        "--gateway=waypoint",
        "--pod-ip=10.1.0.5",
    ];
    Args::try_parse_from(needed.iter().chain(more))
}

#[test]
fn the_reporter_is_one_that_a_waypoint_can_be() {
    assert_eq!(parsed(&[]).unwrap().reporter, Reporter::Destination);
    let waypoint = parsed(&["--reporter=waypoint"]).unwrap();
    assert_eq!(waypoint.reporter, Reporter::Waypoint);
    for wrong in ["--reporter=source", "--reporter=", "--reporter=Waypoint"] {
        assert!(parsed(&[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn retries_hold_for_every_method_unless_that_is_switched_off() {
    assert!(!parsed(&[]).unwrap().retry_idempotent_only);
    let switched = parsed(&["--retry-idempotent-only"]).unwrap();
    assert!(switched.retry_idempotent_only);
}

#[test]
fn paths_have_one_of_istios_forms() {
    let form = |more: &[&str]| parsed(more).map(|args| args.path_normalization);
    assert_eq!(form(&[]).unwrap(), Normalization::Base);
    let merged = form(&["--path-normalization=MERGE_SLASHES"]);
    assert_eq!(merged.unwrap(), Normalization::MergeSlashes);
    assert!(form(&["--path-normalization=base"]).is_err());
}

#[test]
fn the_namespaces_for_the_whole_mesh_are_those_of_the_control_plane() {
    let roots = |more: &[&str]| parsed(more).unwrap().root_namespaces;
    assert_eq!(roots(&[]), ["ambit-system", "istio-system"]);
    assert_eq!(roots(&["--root-namespace=mesh,other"]), ["mesh", "other"]);
}

#[test]
fn every_variable_that_is_read_is_known() {
    let settings = Args::augment_args(clap::Command::default());
    for name in settings.get_arguments().filter_map(clap::Arg::get_env) {
        let known = environment::NAMES.contains(&name.to_str().unwrap());
        assert!(known, "{name:?} is missing in ambit_kit::environment");
    }
}
