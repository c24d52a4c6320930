use super::*;

/// Which of the services `shop/a`, `team/a` and `gates/a` one of these may be about, at a waypoint of `gates`.
fn about(resources: &[&str]) -> Vec<&'static str> {
    let mut unread = Unread::new(&"gates".into());
    unread.hold_everywhere(&["root".to_owned(), "other-root".to_owned()]);
    for resource in resources {
        assert!(unread.note(resource), "{resource}");
        assert!(!unread.note(resource), "{resource}");
    }
    let is_refused = |namespace: &&str| {
        let service = ServiceName::new(*namespace, "a");
        let refusal = unread.check(&service).err();
        let refusal = refusal.inspect(|why| assert_eq!(why.reason, Reason::PoliciesUnknown));
        let policy = refusal.map(|why| why.policy.unwrap());
        policy.is_some_and(|policy| resources.contains(&&*policy.to_string()))
    };
    let all = ["shop", "team", "gates"].into_iter();
    all.filter(is_refused).collect()
}

#[test]
fn they_are_about_their_namespace_or_about_everything() {
    let everything = ["shop", "team", "gates"];
    assert!(about(&[]).is_empty());
    assert_eq!(about(&["shop/p"]), ["shop"]);
    assert_eq!(about(&["team/p", "shop/p"]), ["shop", "team"]);
    assert!(about(&["elsewhere/p"]).is_empty());
    for wide in ["gates/p", "root/p", "other-root/p", "/p"] {
        assert_eq!(about(&[wide]), everything, "{wide}");
    }
}

/// Of a resource whose name is none of a policy nothing is known at all.
#[test]
fn one_whose_name_cannot_be_read_either_is_about_everything_until_it_is_gone() {
    let mut unread = Unread::new(&"gates".into());
    let service = ServiceName::new("shop", "a");
    for resource in ["p", "shop/", ""] {
        assert!(unread.check(&service).is_ok(), "{resource}");
        unread.note(resource);
        assert!(unread.check(&service).is_err(), "{resource}");
        unread.forget(resource);
    }
}

#[test]
fn each_is_forgotten_by_itself() {
    let mut unread = Unread::new(&"gates".into());
    let service = ServiceName::new("shop", "a");
    unread.note("shop/p");
    unread.note("shop/q");
    unread.forget("shop/p");
    let refusal = unread.check(&service).unwrap_err();
    assert_eq!(refusal.policy, Some(PolicyName::new("shop", "q")));
    unread.forget("shop/q");
    unread.forget("shop/q");
    assert!(unread.check(&service).is_ok());
}
