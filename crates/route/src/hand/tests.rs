use super::*;

#[test]
fn whoever_is_led_to_has_to_have_written_the_rule_to_be_trusted_with_it() {
    let rule = "VirtualService/shop/web/api";
    let by_client = |is_agreed| Hand::Client {
        changes: true,
        is_agreed,
    };
    for (rule, client, led, expected) in [
        (rule, None, Some("shop"), Hand::Trusted),
        (rule, None, Some("pay"), Hand::Other { changes: true }),
        (rule, None, None, Hand::Other { changes: true }),
        (rule, Some("shop"), Some("pay"), by_client(false)),
        // The client's own, whatever it leads to.
        (rule, Some("shop"), Some("shop"), by_client(true)),
        (
            "HTTPRoute/shop/web/api",
            Some("shop"),
            Some("pay"),
            by_client(true),
        ),
        (rule, Some("shop"), None, by_client(false)),
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
        ("web", Some("team"), Some("team"), by_client(false)),
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
    let client = |changes, is_agreed| Hand::Client { changes, is_agreed };
    for (hand, leads, changes, by_client, borrows) in [
        (Hand::Trusted, false, false, false, false),
        (Hand::Other { changes: false }, true, false, false, false),
        (Hand::Other { changes: true }, true, true, false, false),
        (client(false, true), true, false, false, false),
        (client(true, true), true, true, true, false),
        (client(false, false), true, false, false, true),
    ] {
        let said = (hand.leads(), hand.changes(), hand.is_changed_by_client());
        assert_eq!(said, (leads, changes, by_client), "{hand:?}");
        assert_eq!(hand.borrows(), borrows, "{hand:?}");
    }
}
