use ambit_netsys::sockets::APP_MARK;

use super::*;

#[test]
fn without_ipv6_no_step_names_it() {
    for step in routing(false).iter().chain(&unrouting(false)) {
        match step {
            Step::Ip(arguments) => assert!(!arguments.contains("-6")),
            Step::Sysctl(setting) => assert!(!setting.path.contains("ipv6")),
        }
    }
}

#[test]
fn a_packet_in_mid_stream_makes_no_conntrack_entry() {
    let loose = |step: &Step| match step {
        Step::Sysctl(setting) if setting.path.ends_with("/nf_conntrack_tcp_loose") => {
            Some((setting.value, setting.at_least, setting.optional))
        }
        _ => None,
    };
    let found: Vec<_> = tracking().iter().filter_map(loose).collect();
    assert_eq!(found, [(0, false, false)]);
}

#[test]
fn a_back_end_is_kept_under_the_name_that_is_shown() {
    for rules in [Rules::Nft, Rules::IptablesNft, Rules::IptablesLegacy] {
        let kept = serde_json::to_string(&rules).unwrap();
        assert_eq!(kept, format!("\"{rules}\""));
    }
}

#[test]
fn established_connections_keep_their_conntrack_entry() {
    assert!(
        !tracking().iter().any(
            |step| matches!(step, Step::Sysctl(setting) if setting.path.contains("established"))
        )
    );
}

#[test]
fn the_routing_rules_match_the_mark_of_the_applications_leg() {
    let mark = format!("fwmark {APP_MARK:#x} ");
    let rules: Vec<_> = routing(true)
        .into_iter()
        .filter(|step| matches!(step, Step::Ip(arguments) if arguments.contains("rule add")))
        .collect();
    assert_eq!(rules.len(), 2);
    assert!(
        rules
            .iter()
            .all(|step| matches!(step, Step::Ip(line) if line.contains(&mark)))
    );
}
