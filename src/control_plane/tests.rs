use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(extra: &[&str]) -> Result<Args, clap::Error> {
    let line = [
        "ambit",
        "--from",
        "dir:/etc/mesh",
        "--state",
        "/var/lib/ambit",
    ];
    Line::try_parse_from(line.iter().chain(extra)).map(|line| line.args)
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let args = parse(&[]).unwrap();
    assert_eq!(args.from, Source::Directory("/etc/mesh".into()));
    assert_eq!(args.listen.port(), 15012);
    assert_eq!(args.metrics.port(), 15014);
    assert!(args.admin.0.unwrap().ip().is_loopback());
    assert_eq!(args.names.trust_domain, "cluster.local");
    assert!(!args.trust_ztunnel);
    assert_eq!(args.certificate_ttl, Duration::from_secs(24 * 3600));
}

#[test]
fn arguments_are_read_and_wrong_ones_refused() {
    let args = parse(&[
        "--admin",
        "none",
        "--certificate-ttl",
        "5s",
        "--dns-name",
        "a,b",
    ])
    .unwrap();
    assert_eq!(args.admin, OptionalAddress(None));
    assert_eq!(args.certificate_ttl, Duration::from_secs(5));
    assert_eq!(args.dns_names, ["a", "b"]);
    for wrong in [
        ["--from", "kube"],
        ["--from", "dir:"],
        ["--listen", "nowhere"],
        ["--admin", "off"],
        ["--certificate-ttl", "5"],
    ] {
        assert!(parse(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_variable_that_is_read_is_known() {
    let settings = <Args as clap::Args>::augment_args(clap::Command::default());
    for name in settings.get_arguments().filter_map(clap::Arg::get_env) {
        let known = ambit_kit::environment::NAMES.contains(&name.to_str().unwrap());
        assert!(known, "{name:?} is missing in ambit_kit::environment");
    }
}
