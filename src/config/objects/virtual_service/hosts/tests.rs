use super::*;

fn service(namespace: &str, name: &str) -> Option<ObjectKey> {
    Some(ObjectKey::new(Kind::Service, namespace, name))
}

#[test]
fn short_names_are_of_the_namespace_and_full_ones_of_the_domain() {
    for (host, expected) in [
        ("web", service("shop", "web")),
        ("web.bank.svc.cluster.local", service("bank", "web")),
        ("web.bank.svc.other.domain", None),
        ("web.bank.svc", None),
        ("web.bank", None),
        ("example.com", None),
        ("*.shop.svc.cluster.local", None),
    ] {
        assert_eq!(
            Host::of("shop", host).service("cluster.local"),
            expected,
            "{host}"
        );
    }
    assert_eq!(Host::of("shop", "*"), Host::Wildcard("".into()));
    assert_eq!(Host::of("shop", "*.local"), Host::Wildcard(".local".into()));
}

#[test]
fn exports_reach_namespaces() {
    let of = |given: &[&str]| {
        let given: Vec<Arc<str>> = given.iter().map(|to| (*to).into()).collect();
        let export = Export::of(&"shop".into(), &given);
        ["shop", "bank", "post"].map(|namespace| export.reaches(namespace))
    };
    assert_eq!(of(&[]), [true; 3]);
    assert_eq!(of(&["*"]), [true; 3]);
    assert_eq!(of(&["."]), [true, false, false]);
    assert_eq!(of(&["bank", "."]), [true, true, false]);
    assert_eq!(of(&["~"]), [false; 3]);
}

#[test]
fn what_is_no_name_is_said() {
    let texts = |list: &[&str]| {
        list.iter()
            .map(|one| (*one).into())
            .collect::<Vec<Arc<str>>>()
    };
    for (hosts, export, field) in [
        (&["a", "B"][..], &[][..], "spec.hosts[1]"),
        (&["a*"], &[], "spec.hosts[0]"),
        (&["*a"], &[], "spec.hosts[0]"),
        (&["a/b"], &[], "spec.hosts[0]"),
        (&["a"], &["x.y"], "spec.exportTo[0]"),
        (&["a"], &[".", "~"], "spec.exportTo[1]"),
    ] {
        let error = check(&texts(hosts), &texts(export)).unwrap_err();
        assert_eq!(error.field, field);
    }
    check(
        &texts(&["*", "*.shop.svc.cluster.local", "a"]),
        &texts(&["*"]),
    )
    .unwrap();
}
