use super::*;

#[test]
fn whoever_is_led_to_has_to_have_written_the_rule_to_be_trusted_with_it() {
    let rule = "VirtualService/shop/web/api";
    for (rule, client, led, expected) in [
        (rule, None, Some("shop"), Hand::Trusted),
        (rule, None, Some("pay"), Hand::Other { changes: true }),
        (rule, None, None, Hand::Other { changes: true }),
        (
            rule,
            Some("shop"),
            Some("pay"),
            Hand::Client { changes: true },
        ),
        // The client's own, whatever it leads to.
        (
            rule,
            Some("shop"),
            Some("shop"),
            Hand::Client { changes: true },
        ),
        // For this client alone, and by somebody else.
        (rule, Some("team"), Some("shop"), Hand::Trusted),
        (
            rule,
            Some("team"),
            Some("pay"),
            Hand::Other { changes: true },
        ),
        // Of a name that says nothing the worst is taken.
        ("web", None, Some("shop"), Hand::Other { changes: true }),
        (
            "web",
            Some("team"),
            Some("shop"),
            Hand::Client { changes: true },
        ),
        ("web//api", None, Some(""), Hand::Other { changes: true }),
    ] {
        assert_eq!(
            Hand::of(rule, true, client, led),
            expected,
            "{rule} {client:?} {led:?}"
        );
    }
}

#[test]
fn what_is_not_changed_is_not_judged_again_as_it_is_sent() {
    for (hand, leads, changes, by_client) in [
        (Hand::Trusted, false, false, false),
        (Hand::Other { changes: false }, true, false, false),
        (Hand::Other { changes: true }, true, true, false),
        (Hand::Client { changes: false }, true, false, false),
        (Hand::Client { changes: true }, true, true, true),
    ] {
        let said = (hand.leads(), hand.changes(), hand.is_changed_by_client());
        assert_eq!(said, (leads, changes, by_client), "{hand:?}");
    }
}
