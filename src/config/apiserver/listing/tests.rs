use serde_json::json;

use super::*;

fn policy(namespace: &str, name: &str, action: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"namespace": namespace, "name": name, "managedFields": []},
        "spec": {"action": action, "rules": [{}]},
    })
}

fn listed(listings: &mut Listings, kind: Kind, objects: &[Value]) -> Batch {
    let mut batch = Batch::default();
    listings.take(kind, Seen::Listing, &mut batch);
    for object in objects {
        listings.take(kind, Seen::Listed(object.clone()), &mut batch);
    }
    listings.take(kind, Seen::Complete, &mut batch);
    batch
}

fn take(listings: &mut Listings, seen: Seen) -> Batch {
    let mut batch = Batch::default();
    listings.take(Kind::AuthorizationPolicy, seen, &mut batch);
    batch
}

/// `+` for an object that is put, `!` for one that could not be read, `-` for one that is gone.
fn told(batch: &Batch) -> Vec<String> {
    let word = |event: &ObjectEvent| match event {
        ObjectEvent::Put { object, .. } if matches!(**object, Object::UnreadablePolicy(_)) => {
            format!("!{}", object.key())
        }
        ObjectEvent::Put { object, .. } => format!("+{}", object.key()),
        ObjectEvent::Remove { key, .. } => format!("-{key}"),
    };
    batch.events.iter().map(word).collect()
}

fn problems(batch: &Batch) -> usize {
    batch
        .problems
        .iter()
        .map(|(_, problems)| problems.len())
        .sum()
}

#[test]
fn complete_when_every_kind_was_listed() {
    let mut listings = Listings::default();
    for kind in Kind::ALL {
        assert!(!listings.are_complete());
        assert!(listings.missing().any(|missing| missing == *kind));
        listed(&mut listings, *kind, &[]);
    }
    assert!(listings.are_complete());
    assert_eq!(listings.missing().count(), 0);
}

#[test]
fn a_new_listing_tells_what_is_gone_when_it_is_complete_and_not_before() {
    let mut listings = Listings::default();
    let (one, two) = (policy("a", "one", "ALLOW"), policy("a", "two", "DENY"));
    let first = listed(
        &mut listings,
        Kind::AuthorizationPolicy,
        &[one.clone(), two],
    );
    assert_eq!(
        told(&first),
        ["+AuthorizationPolicy a/one", "+AuthorizationPolicy a/two"]
    );
    let mut batch = Batch::default();
    let kind = Kind::AuthorizationPolicy;
    listings.take(kind, Seen::Listing, &mut batch);
    listings.take(kind, Seen::Listed(one), &mut batch);
    assert_eq!(told(&batch), ["+AuthorizationPolicy a/one"]);
    listings.take(kind, Seen::Complete, &mut batch);
    assert_eq!(
        told(&batch),
        ["+AuthorizationPolicy a/one", "-AuthorizationPolicy a/two"]
    );
}

#[test]
fn a_broken_policy_keeps_its_last_good_version() {
    let mut listings = Listings::default();
    let good = policy("a", "one", "ALLOW");
    let broken = policy("a", "one", "PERHAPS");
    listed(
        &mut listings,
        Kind::AuthorizationPolicy,
        std::slice::from_ref(&good),
    );
    let changed = take(&mut listings, Seen::Changed(broken.clone()));
    assert_eq!((told(&changed).len(), problems(&changed)), (0, 1));
    let again = listed(&mut listings, Kind::AuthorizationPolicy, &[broken]);
    assert_eq!((told(&again).len(), problems(&again)), (0, 1));
    let mended = take(&mut listings, Seen::Changed(good));
    assert_eq!(told(&mended), ["+AuthorizationPolicy a/one"]);
    assert_eq!((mended.problems.len(), problems(&mended)), (1, 0));
}

#[test]
fn a_broken_policy_without_one_refuses_in_its_namespace_until_it_is_gone() {
    let mut listings = Listings::default();
    let broken = policy("a", "one", "PERHAPS");
    let batch = listed(
        &mut listings,
        Kind::AuthorizationPolicy,
        std::slice::from_ref(&broken),
    );
    assert_eq!(told(&batch), ["!AuthorizationPolicy a/one"]);
    assert_eq!(problems(&batch), 1);
    let gone = take(&mut listings, Seen::Gone(broken));
    assert_eq!(told(&gone), ["-AuthorizationPolicy a/one"]);
    assert_eq!((gone.problems.len(), problems(&gone)), (1, 0));
}

#[test]
fn a_policy_that_was_made_again_does_not_have_the_last_good_version_of_the_old_one() {
    let with_uid = |uid: &str, action: &str| {
        let mut policy = policy("a", "one", action);
        policy["metadata"]["uid"] = json!(uid);
        policy
    };
    let kind = Kind::AuthorizationPolicy;
    let mut listings = Listings::default();
    listed(&mut listings, kind, &[with_uid("1", "ALLOW")]);
    let same = listed(&mut listings, kind, &[with_uid("1", "PERHAPS")]);
    assert_eq!(told(&same), [""; 0]);
    let other = listed(&mut listings, kind, &[with_uid("2", "PERHAPS")]);
    assert_eq!(told(&other), ["!AuthorizationPolicy a/one"]);
    let again = take(&mut listings, Seen::Changed(with_uid("2", "MAYBE")));
    assert_eq!(told(&again), [""; 0], "as it is");
    let mended = take(&mut listings, Seen::Changed(with_uid("2", "DENY")));
    assert_eq!(told(&mended), ["+AuthorizationPolicy a/one"]);
}

#[test]
fn other_objects_that_cannot_be_read_are_left_out() {
    let mut listings = Listings::default();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": "one"},
        "spec": {"hostNetwork": "perhaps"},
    });
    let batch = listed(&mut listings, Kind::Pod, &[pod]);
    assert_eq!((told(&batch).len(), problems(&batch)), (0, 1));
}

#[test]
fn what_can_no_longer_be_read_holds_nothing_any_more() {
    let service = |ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"clusterIP": "10.96.0.7", "ports": ports},
        })
    };
    let mut listings = Listings::default();
    listed(
        &mut listings,
        Kind::Service,
        &[service(json!([{"port": 80}]))],
    );
    let mut batch = Batch::default();
    let broken = service(json!("none"));
    listings.take(Kind::Service, Seen::Changed(broken), &mut batch);
    assert_eq!(told(&batch), ["-Service shop/web"]);
    assert_eq!(problems(&batch), 1);
    let again = listed(
        &mut listings,
        Kind::Service,
        &[service(json!([{"port": 80}]))],
    );
    assert_eq!(
        (told(&again), problems(&again)),
        (vec!["+Service shop/web".to_owned()], 0)
    );
}

#[test]
fn an_owner_with_a_name_that_no_object_has_is_left_out() {
    let owner = json!({"apiVersion": "x/v1", "kind": "X", "name": "A B", "uid": "1"});
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"namespace": "shop", "name": "web", "ownerReferences": [owner]},
    });
    let mut listings = Listings::default();
    let batch = listed(&mut listings, Kind::ServiceAccount, &[account]);
    assert_eq!(
        (told(&batch), problems(&batch)),
        (vec!["+ServiceAccount shop/web".to_owned()], 0)
    );
}

/// They may be there for another mesh: that is no error.
#[test]
fn what_is_for_sidecars_is_warned_of_while_it_is_there() {
    let mut listings = Listings::default();
    let filter = json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"namespace": "shop", "name": "f", "uid": "u-1"}, "spec": {"configPatches": []},
    });
    let batch = listed(&mut listings, Kind::EnvoyFilter, &[filter]);
    assert_eq!(told(&batch), Vec::<String>::new());
    let found: Vec<_> = batch.problems.iter().flat_map(|(_, all)| all).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].to_string().contains("shop/f"), "{}", found[0]);
    let gone = listed(&mut listings, Kind::EnvoyFilter, &[]);
    assert_eq!(problems(&gone), 0);
}
