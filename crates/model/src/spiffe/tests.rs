use proptest::prelude::*;

use super::*;

#[test]
fn an_id_falls_into_its_parts() {
    let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    assert_eq!(id.trust_domain(), "cluster.local");
    assert_eq!(id.namespace(), "shop");
    assert_eq!(id.service_account(), "web");
    assert_eq!(id.principal(), "cluster.local/ns/shop/sa/web");
    assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(id, SpiffeId::from_parts("cluster.local", "shop", "web"));
}

#[test]
fn what_is_no_id_of_the_mesh_is_refused_with_the_reason() {
    let path = |text: &str| SpiffeIdError::Path(text.to_owned());
    let domain = |text: &str| SpiffeIdError::TrustDomain(text.to_owned());
    let scheme = |text: &str| SpiffeIdError::Scheme(text.to_owned());
    let cases = [
        ("", scheme("")),
        (
            "https://cluster.local/ns/a/sa/b",
            scheme("https://cluster.local/ns/a/sa/b"),
        ),
        (
            "SPIFFE://cluster.local/ns/a/sa/b",
            scheme("SPIFFE://cluster.local/ns/a/sa/b"),
        ),
        ("spiffe://", domain("")),
        ("spiffe:///ns/a/sa/b", domain("")),
        ("spiffe://Cluster.local/ns/a/sa/b", domain("Cluster.local")),
        (
            "spiffe://user@cluster.local/ns/a/sa/b",
            domain("user@cluster.local"),
        ),
        (
            "spiffe://cluster.local:443/ns/a/sa/b",
            domain("cluster.local:443"),
        ),
        ("spiffe://d", path("spiffe://d")),
        ("spiffe://d/", path("spiffe://d/")),
        ("spiffe://d/ns/a/sa/", path("spiffe://d/ns/a/sa/")),
        ("spiffe://d/ns//sa/b", path("spiffe://d/ns//sa/b")),
        ("spiffe://d/ns/a/sa/b/", path("spiffe://d/ns/a/sa/b/")),
        ("spiffe://d/ns/a/sa/b/c", path("spiffe://d/ns/a/sa/b/c")),
        ("spiffe://d/sa/a/ns/b", path("spiffe://d/sa/a/ns/b")),
        ("spiffe://d/ns/../sa/b", path("spiffe://d/ns/../sa/b")),
        ("spiffe://d/ns/a/sa/b?q", path("spiffe://d/ns/a/sa/b?q")),
        ("spiffe://d/ns/a/sa/b#f", path("spiffe://d/ns/a/sa/b#f")),
        ("spiffe://d/ns/a%2fb/sa/b", path("spiffe://d/ns/a%2fb/sa/b")),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
    }
}

#[test]
fn limits_of_length_hold() {
    let domain = |length| format!("spiffe://{}/ns/a/sa/b", "d".repeat(length));
    assert!(domain(255).parse::<SpiffeId>().is_ok());
    assert!(matches!(
        domain(256).parse::<SpiffeId>(),
        Err(SpiffeIdError::TrustDomain(_))
    ));
    let account = |length| format!("spiffe://d/ns/a/sa/{}", "b".repeat(length));
    assert!(account(2048 - 19).parse::<SpiffeId>().is_ok());
    assert_eq!(
        account(2048 - 18).parse::<SpiffeId>(),
        Err(SpiffeIdError::TooLong(2049))
    );
}

proptest! {
    #[test]
    fn parts_and_text_go_both_ways(
        domain in "[a-z0-9._-]{1,20}", namespace in "[a-z0-9-]{1,20}", account in "[a-z0-9.-]{3,20}",
    ) {
        let id = SpiffeId::from_parts(&domain, &namespace, &account);
        // "..." is a legal name, "." and ".." are not; three characters rule those out.
        prop_assert_eq!(id.as_str().parse::<SpiffeId>(), Ok(id.clone()));
        prop_assert_eq!(id.trust_domain(), domain);
        prop_assert_eq!(id.namespace(), namespace);
        prop_assert_eq!(id.service_account(), account);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(spiffe://)?.{0,60}") {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.as_str(), text);
            prop_assert!(!id.namespace().is_empty() && !id.service_account().is_empty());
        }
    }
}
