use clap::{Args, FromArgMatches};

use super::*;

fn parsed(more: &[&str]) -> HostArgs {
    let command = HostArgs::augment_args(clap::Command::new("agent").no_binary_name(true));
    let required = [
        "--node",
        "n1",
        "--control-plane",
        "cp:15012",
        "--token-file",
        "/t",
    ];
    let words = required.iter().chain(&["--root-cert", "/r"]).chain(more);
    HostArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
}

fn words(arguments: &[OsString]) -> Vec<&str> {
    arguments
        .iter()
        .map(|word| word.to_str().unwrap())
        .collect()
}

#[test]
fn times_are_read_with_their_unit() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(duration("0"), Ok(Duration::ZERO));
    assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
    for bad in ["", "s", "10h", "-1s", "1.5s", "10 s"] {
        assert!(duration(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn each_role_is_told_what_it_needs_and_no_secret_is_an_argument_of_the_proxy() {
    let args = parsed(&[
        "--egress",
        "REGISTRY_ONLY",
        "--pod-connections",
        "7",
        "--log-json",
    ]);
    let roles = args.roles(
        &["10.0.0.1".parse().unwrap()],
        &["10.96.0.10:53".parse().unwrap()],
    );
    let proxy = words(&roles.proxy_arguments);
    for word in [
        "--node=n1",
        "--egress=REGISTRY_ONLY",
        "--pod-connections=7",
        "--log-json",
        "--dns-upstream=10.96.0.10:53",
    ] {
        assert!(proxy.contains(&word), "{word}: {proxy:?}");
    }
    assert!(
        !proxy
            .iter()
            .any(|word| word.contains("token") || word.contains("control-plane"))
    );
    let control = words(&roles.control_arguments);
    for word in [
        "--token-file=/t",
        "--control-plane=cp:15012",
        "--node-ip=10.0.0.1",
    ] {
        assert!(control.contains(&word), "{word}: {control:?}");
    }
}

#[test]
fn every_variable_that_is_read_is_known() {
    let settings = HostArgs::augment_args(clap::Command::default());
    for name in settings.get_arguments().filter_map(clap::Arg::get_env) {
        let known = ambit_kit::environment::NAMES.contains(&name.to_str().unwrap());
        assert!(known, "{name:?} is missing in ambit_kit::environment");
    }
}

#[test]
fn the_packet_filter_is_chosen_by_name_and_automatically_without() {
    assert_eq!(parsed(&[]).firewall, Choice::Auto);
    for (name, choice) in [
        ("nft", Choice::Nft),
        ("iptables", Choice::Iptables),
        ("iptables-nft", Choice::IptablesNft),
        ("iptables-legacy", Choice::IptablesLegacy),
    ] {
        assert_eq!(parsed(&["--firewall", name]).firewall, choice);
    }
}
