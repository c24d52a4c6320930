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
        for dns in [false, true] {
            let chosen = choose(*choice, dns).await.unwrap();
            assert!(choice.candidates(legacy_in_use()).contains(&chosen));
        }
    }
}

fn missing() -> TrialError {
    let error = FirewallError::Start {
        program: "the program",
        source: io::ErrorKind::NotFound.into(),
    };
    error.into()
}

#[tokio::test]
async fn the_first_one_that_works_is_taken() {
    use Rules::{IptablesLegacy, IptablesNft, Nft};
    for (works, legacy_in_use, expected) in [
        (&[Nft, IptablesNft, IptablesLegacy][..], true, Nft),
        (&[IptablesNft, IptablesLegacy], false, IptablesNft),
        (&[IptablesNft, IptablesLegacy], true, IptablesLegacy),
        (&[IptablesLegacy], false, IptablesLegacy),
    ] {
        let try_out = async |rules| works.contains(&rules).then_some(()).ok_or_else(missing);
        let chosen = first_that_works(Choice::Auto, legacy_in_use, try_out).await;
        assert_eq!(chosen.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_error_says_why_each_one_failed_and_what_to_do() {
    let none = async |_| Err(missing());
    for (choice, parts) in [
        (
            Choice::Auto,
            &["; nft: cannot run", "; iptables-legacy: ", "ip_tables"][..],
        ),
        (
            Choice::IptablesNft,
            &["; iptables-nft: ", "install", "--firewall=auto"],
        ),
    ] {
        let error = first_that_works(choice, false, none).await.unwrap_err();
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
