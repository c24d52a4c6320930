use super::*;

fn map(namespace: &str, content: &str, is_ours: bool) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.namespace = Some(namespace.to_owned());
    map.metadata.uid = Some(format!("uid-{namespace}"));
    map.metadata.labels = is_ours.then(super::super::labels);
    map.data = Some(BTreeMap::from([(KEY.to_owned(), content.to_owned())]));
    map
}

fn names(namespaces: &[&str]) -> BTreeSet<Arc<str>> {
    namespaces
        .iter()
        .map(|&namespace| namespace.into())
        .collect()
}

fn listed(maps: Vec<ConfigMap>) -> There {
    let mut there = There::default();
    there.take(Ok(Event::Init));
    for map in maps {
        there.take(Ok(Event::InitApply(map)));
    }
    assert!(there.seen.is_none(), "half a list is none");
    there.take(Ok(Event::InitDone));
    there
}

fn acts(there: &There, wanted: &[&str]) -> Vec<(String, Act)> {
    let plan = plan(there.seen.as_ref().unwrap(), &names(wanted), "roots");
    let named = |(namespace, act): (Arc<str>, Act)| (namespace.to_string(), act);
    plan.into_iter().map(named).collect()
}

#[test]
fn only_what_differs_is_written_and_only_what_is_ours_taken_away() {
    let there = listed(vec![
        map("right", "roots", true),
        map("old", "old roots", true),
        map("foreign", "roots", false),
        map("left", "roots", true),
        map("elsewhere", "theirs", false),
    ]);
    let expected = [
        ("foreign", Act::Apply),
        ("new", Act::Apply),
        ("old", Act::Apply),
        ("left", Act::Delete("uid-left".to_owned())),
    ];
    let expected = expected.map(|(namespace, act)| (namespace.to_owned(), act));
    assert_eq!(acts(&there, &["right", "old", "foreign", "new"]), expected);
}

#[test]
fn what_somebody_changes_or_deletes_comes_back() {
    let mut there = listed(vec![map("shop", "roots", true)]);
    assert!(acts(&there, &["shop"]).is_empty());
    there.take(Ok(Event::Apply(map("shop", "forged", true))));
    assert_eq!(acts(&there, &["shop"]), [("shop".to_owned(), Act::Apply)]);
    there.after(vec![(
        "shop".into(),
        seen_of(map("shop", "roots", true)).map(|(_, s)| s),
    )]);
    assert!(acts(&there, &["shop"]).is_empty());
    there.take(Ok(Event::Delete(map("shop", "roots", true))));
    assert_eq!(acts(&there, &["shop"]), [("shop".to_owned(), Act::Apply)]);
    // A new list that does not have it: deleted while nobody watched.
    there.after(vec![(
        "shop".into(),
        seen_of(map("shop", "roots", true)).map(|(_, s)| s),
    )]);
    there.take(Ok(Event::Init));
    there.take(Ok(Event::InitDone));
    assert_eq!(acts(&there, &["shop"]), [("shop".to_owned(), Act::Apply)]);
}
