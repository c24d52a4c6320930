use super::*;
use crate::host::rules::{self, RuleInput};
use crate::host::testing::Namespace;

fn input() -> RuleInput {
    RuleInput::new(&[
        "10.244.1.1".parse().unwrap(),
        "fd00:244:1::1".parse().unwrap(),
    ])
}

#[test]
fn half_open_connections_are_seen_in_the_kernels_table() {
    let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
    let line =
        |state| format!("{head}   0: 0100007F:0CEA 00000000:0000 {state} 00000000:00000000\n");
    assert!(lists_half_open(&line("02")));
    assert!(lists_half_open(&line("03")));
    for state in ["01", "06", "0A"] {
        assert!(!lists_half_open(&line(state)), "{state}");
    }
    assert!(!lists_half_open(""));
    assert!(!lists_half_open("one\ntwo\n\n"));
}

#[tokio::test]
async fn every_text_is_accepted_by_a_kernel_and_may_be_loaded_again() {
    let namespace = Namespace::make("texts");
    let netns = namespace.open();
    let texts = [
        Rules::Nft.nothing(),
        Rules::Nft.drain(),
        Rules::Nft.capture(&input()),
        Rules::Nft.capture(&input()),
        Rules::Nft.capture(&RuleInput::default()),
        Rules::Nft.drain(),
    ];
    for text in &texts {
        load(&netns, Rules::Nft, text).await.unwrap();
    }
    let loaded = namespace.shell("nft list table inet ambit");
    assert!(loaded.contains("ct state invalid return"), "{loaded}");
    load(&netns, Rules::Nft, &Rules::Nft.nothing())
        .await
        .unwrap();
    assert_eq!(namespace.shell("nft list tables"), "");
}

#[tokio::test]
async fn an_error_carries_what_the_program_said() {
    let namespace = Namespace::make("error");
    let error = load(&namespace.open(), Rules::Nft, "table inet ambit { chain")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("syntax error"), "{error}");
}

#[tokio::test]
async fn steps_are_taken_twice_without_harm_and_taken_back() {
    let namespace = Namespace::make("steps");
    let netns = namespace.open();
    let steps = rules::routing(speaks_ipv6(&netns));
    let before = take(&netns, &steps).await.unwrap();
    assert!(before.contains(&("net/ipv4/tcp_fwmark_accept".to_owned(), "0".to_owned())));
    assert_eq!(take(&netns, &steps).await.unwrap(), []);
    assert_eq!(namespace.shell("ip rule list | grep -c 0x539").trim(), "1");
    assert!(
        namespace
            .shell("ip route list table 100")
            .contains("local default dev lo")
    );
    assert_eq!(
        namespace
            .shell("cat /proc/sys/net/ipv4/fwmark_reflect")
            .trim(),
        "1"
    );

    take_back(&netns, &rules::unrouting(speaks_ipv6(&netns)), &before).await;
    assert!(
        !namespace
            .shell("ip rule list; ip -6 rule list")
            .contains("0x539")
    );
    assert_eq!(
        namespace
            .shell("ip route show table all | grep 'table 100' | wc -l")
            .trim(),
        "0"
    );
    assert_eq!(
        namespace
            .shell("cat /proc/sys/net/ipv4/fwmark_reflect")
            .trim(),
        "0"
    );
}

#[tokio::test]
async fn a_larger_queue_limit_of_the_namespace_stays() {
    let namespace = Namespace::make("queue");
    let netns = namespace.open();
    namespace.shell("echo 9000 > /proc/sys/net/core/somaxconn");
    assert_eq!(set(&netns, &rules::queue_limit()).unwrap(), None);
    namespace.shell("echo 128 > /proc/sys/net/core/somaxconn");
    let before = set(&netns, &rules::queue_limit()).unwrap();
    assert_eq!(
        before,
        Some(("net/core/somaxconn".to_owned(), "128".to_owned()))
    );
    assert_eq!(
        namespace.shell("cat /proc/sys/net/core/somaxconn").trim(),
        "4096"
    );
}
