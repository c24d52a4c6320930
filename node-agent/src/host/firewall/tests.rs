use super::*;
use crate::host::rules;
use crate::host::testing::Namespace;

/// Every test named is run once with each packet filter.
macro_rules! with_every_filter {
    ($($test:ident)*) => {
        mod with_nft {
            $(#[tokio::test] async fn $test() { super::$test(super::Rules::Nft).await })*
        }
        mod with_iptables_nft {
            $(#[tokio::test] async fn $test() { super::$test(super::Rules::IptablesNft).await })*
        }
        mod with_iptables_legacy {
            $(#[tokio::test] async fn $test() { super::$test(super::Rules::IptablesLegacy).await })*
        }
    };
}

mod behaviour;
mod names;
mod stray;
mod texts;
mod wire;

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
async fn an_error_carries_what_the_program_said() {
    let namespace = Namespace::make("error");
    for (rules, text, words) in [
        (Rules::Nft, "table inet ambit { chain", "syntax error"),
        (
            Rules::IptablesNft,
            "*nat\n-A NOWHERE\nCOMMIT\n",
            "line 2 failed",
        ),
        (
            Rules::IptablesLegacy,
            "*nat\n-A NOWHERE\nCOMMIT\n",
            "line 2 failed",
        ),
    ] {
        let program = rules.loaders()[0].load;
        let error = run(&namespace.open(), program, text).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(program.name), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_prints_without_end_is_given_up() {
    let endless = Program {
        name: "yes",
        arguments: "",
    };
    let error = run(&Namespace::make("endless").open(), endless, "").await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("printed more"), "{error}");
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
