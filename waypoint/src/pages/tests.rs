//! Which addresses are the waypoint's own.

use clap::Parser as _;

use super::*;

fn own() -> Own {
    let args = Args::parse_from([
        "ambit-waypoint",
        "--control-plane=control-plane:15012",
        "--token-file=/token",
        "--root-cert=/root.pem",
        "--namespace=shop",
        "--gateway=waypoint",
        "--pod-ip=10.1.0.5",
        "--metrics=[::]:15120",
    ]);
    let routes = |text: &'static str| Arc::new(Routes::new().get("/", text, |_| Page::text("")));
    let pages = Pages {
        metrics: routes("metrics"),
        ready: routes("ready"),
    };
    Own::new(&args, &pages)
}

#[test]
fn pages_are_at_their_ports_of_the_pods_address_and_nowhere_else() {
    let own = own();
    for (address, is_own) in [
        ("10.1.0.5:15120", true),
        ("10.1.0.5:15021", true),
        ("[::ffff:10.1.0.5]:15021", true),
        ("10.1.0.5:15020", false),
        ("10.1.0.5:15008", false),
        ("10.1.0.6:15021", false),
    ] {
        let found = own.at(address.parse().unwrap());
        assert_eq!(found.is_some(), is_own, "{address}");
    }
    let metrics = own.at("10.1.0.5:15120".parse().unwrap()).unwrap();
    assert!(Arc::ptr_eq(metrics, &own.pages[0].1));
}
