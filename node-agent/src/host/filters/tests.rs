use clap::ValueEnum;

use super::*;

#[test]
fn the_older_flavour_comes_first_only_where_it_is_in_use() {
    use Rules::{IptablesLegacy, IptablesNft, Nft};
    let auto = |in_use| Choice::Auto.candidates(in_use);
    assert_eq!(auto(false), [Nft, IptablesNft, IptablesLegacy]);
    assert_eq!(auto(true), [Nft, IptablesLegacy, IptablesNft]);
    let iptables = |in_use| Choice::Iptables.candidates(in_use);
    assert_eq!(iptables(false), [IptablesNft, IptablesLegacy]);
    assert_eq!(iptables(true), [IptablesLegacy, IptablesNft]);
}

#[tokio::test]
async fn every_choice_finds_a_filter_here() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test makes namespaces: run it as root"
    );
    for choice in Choice::value_variants() {
        let chosen = choose(*choice).await.unwrap();
        assert!(choice.candidates(legacy_in_use()).contains(&chosen));
    }
}

#[test]
fn a_node_without_any_is_told_why_each_one_fails() {
    let missing = FirewallError::Start {
        program: "nft",
        source: io::ErrorKind::NotFound.into(),
    };
    let error = NoFilter(vec![
        (Rules::Nft, missing.into()),
        (
            Rules::IptablesNft,
            TrialError::Namespace(io::ErrorKind::PermissionDenied.into()),
        ),
    ]);
    let text = error.to_string();
    for part in [
        "; nft: cannot run nft",
        "install",
        "; iptables-nft: ",
        "--firewall",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
