use proptest::prelude::*;

use super::*;
use crate::config::objects::Kind;
use crate::config::objects::authorization_policy::PolicyAction;

const GOOD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: deny
  namespace: shop
spec:
  action: DENY
  rules: [{}]
";

fn name() -> Arc<str> {
    "shop.yaml".into()
}

fn read(before: &FileState, text: &str) -> Reading {
    before.read(&name(), Ok(text.as_bytes()), Vec::new)
}

fn good() -> FileState {
    let reading = read(&FileState::default(), GOOD);
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    reading.state
}

/// What a file provides, `!` for policies that refuse everything.
fn provided(state: &FileState) -> Vec<String> {
    let named = |(key, (_, object)): (&ObjectKey, &(Origin, Arc<Object>))| match **object {
        Object::UnreadablePolicy(_) => format!("!{key}"),
        _ => key.to_string(),
    };
    state.provided.iter().map(named).collect()
}

fn problems(reading: &Reading) -> String {
    reading
        .problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

#[test]
fn a_change_of_one_document_is_an_event_for_its_object_only() {
    let reading = read(
        &good(),
        &GOOD.replace("name: web,", "name: web, labels: {a: b},"),
    );
    let [ObjectEvent::Put { object, .. }] = &reading.events[..] else {
        panic!("one event, not {:?}", reading.events)
    };
    assert_eq!(object.key(), ObjectKey::new(Kind::Pod, "shop", "web"));
}

#[test]
fn a_document_that_only_moves_is_not_parsed_again() {
    let before = good();
    let reading = read(&before, &format!("# a comment\n\n---\n{GOOD}"));
    let policy = ObjectKey::new(Kind::AuthorizationPolicy, "shop", "deny");
    let (old, new) = (&before.provided[&policy], &reading.state.provided[&policy]);
    assert_eq!(
        (new.0.document, new.0.line),
        (old.0.document, old.0.line + 3)
    );
    assert!(Arc::ptr_eq(&old.1, &new.1));
}

#[test]
fn what_a_file_no_longer_holds_is_removed() {
    let before = good();
    let reading = read(&before, GOOD.split("---").next().expect("the pod"));
    assert_eq!(provided(&reading.state), ["Pod shop/web"]);
    assert!(
        matches!(&reading.events[..], [ObjectEvent::Remove { .. }]),
        "{:?}",
        reading.events
    );
    assert_eq!(before.remove(&name()).len(), 2);
}

#[test]
fn a_broken_object_keeps_its_last_good_version() {
    for broken in [
        GOOD.replace("action: DENY", "action: DENI"),
        GOOD.replace("rules: [{}]", "rules: [{"),
        GOOD.replace("security.istio.io/v1", "security.istio.io/v2"),
        GOOD.replace("kind: AuthorizationPolicy", "kind: AuthorisationPolicy"),
        GOOD.replace(
            "kind: AuthorizationPolicy",
            "kind: AuthorizationPolicy\n  x",
        ),
        GOOD.replace("  name: deny", "  name: [deny"),
        GOOD.replace("  namespace: shop", "  namespce: shop"),
        GOOD.replace("apiVersion: security", "\0\u{1}apiVersion: security"),
    ] {
        let reading = read(&good(), &broken);
        let kept = ["Pod shop/web", "AuthorizationPolicy shop/deny"];
        assert_eq!(provided(&reading.state), kept, "{broken}");
        assert_eq!(reading.problems.len(), 1, "{broken}");
        assert!(reading.events.is_empty(), "{broken}: {:?}", reading.events);
        let again = read(
            &reading.state,
            &broken.replace("shop}", "shop, labels: {}}"),
        );
        assert_eq!(provided(&again.state), kept, "the second time: {broken}");
    }
}

#[test]
fn a_file_that_cannot_be_read_keeps_everything() {
    let before = good();
    for contents in [
        Err("permission denied".to_owned()),
        Ok(&b"\xff\xfe\x00"[..]),
    ] {
        let reading = before.read(&name(), contents, Vec::new);
        assert!(reading.events.is_empty(), "{:?}", reading.events);
        assert_eq!(reading.problems.len(), 1);
    }
    let too_many = "---\na\n".repeat(documents::MAX_DOCUMENTS + 1);
    assert!(read(&before, &too_many).events.is_empty());
}

#[test]
fn a_policy_that_was_never_readable_refuses_its_scope() {
    let cases = [
        (
            GOOD.replace("DENY", "DENI"),
            "!AuthorizationPolicy shop/deny",
        ),
        (GOOD.replace("[{}]", "[{"), "!AuthorizationPolicy shop/deny"),
        (
            GOOD.replace("kind: AuthorizationPolicy", "kind: RequestAuthentication"),
            "!RequestAuthentication shop/deny",
        ),
        (
            GOOD.replace("/v1\n", "/v9\n"),
            "!AuthorizationPolicy shop/deny",
        ),
    ];
    for (broken, refuses) in cases {
        let reading = read(&FileState::default(), &broken);
        assert_eq!(
            provided(&reading.state),
            ["Pod shop/web", refuses],
            "{broken}"
        );
    }
    let nameless = [
        (GOOD.replace("  name: deny", "  nam: deny"), "shop/"),
        (
            GOOD.replace("kind: AuthorizationPolicy", "kind: Policy"),
            "shop/",
        ),
        (
            GOOD.replace("  namespace: shop", "  namespace: sh/op"),
            "ambit-system/",
        ),
        (
            GOOD.replace("  namespace: shop", "  namespce: shop"),
            "ambit-system/",
        ),
        (
            GOOD.replace("metadata:\n", "metadata: {\n"),
            "ambit-system/",
        ),
    ];
    for (broken, namespace) in nameless {
        let reading = read(&FileState::default(), &broken);
        let provided = provided(&reading.state);
        let start = format!("!AuthorizationPolicy {namespace}unreadable.");
        assert!(provided[1].starts_with(&start), "{broken}: {provided:?}");
    }
}

#[test]
fn the_refusal_ends_with_the_correction() {
    let broken = read(&FileState::default(), &GOOD.replace("DENY", "DENI")).state;
    let reading = read(&broken, GOOD);
    assert_eq!(
        provided(&reading.state),
        ["Pod shop/web", "AuthorizationPolicy shop/deny"]
    );
    let nameless = read(
        &FileState::default(),
        &GOOD.replace("  name: deny", "  nam: deny"),
    )
    .state;
    let reading = read(&nameless, GOOD);
    assert_eq!(
        provided(&reading.state),
        ["Pod shop/web", "AuthorizationPolicy shop/deny"]
    );
    assert!(
        reading
            .events
            .iter()
            .any(|event| matches!(event, ObjectEvent::Remove { .. }))
    );
}

#[test]
fn what_else_is_broken_refuses_nothing() {
    for broken in [
        "kind: Pod\nmetadata: {name: web}\n",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
        "a: [",
        "just text",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: 1\n",
    ] {
        let reading = read(&FileState::default(), broken);
        assert!(provided(&reading.state).is_empty(), "{broken}");
        assert_eq!(reading.problems.len(), 1, "{broken}");
    }
}

#[test]
fn last_good_objects_from_disk_stand_in_on_the_first_reading() {
    let kept: Vec<_> = good().good_objects().cloned().collect();
    let broken = GOOD.replace("DENY", "DENI");
    let reading = FileState::default().read(&name(), Ok(broken.as_bytes()), || kept.clone());
    assert_eq!(
        provided(&reading.state),
        ["Pod shop/web", "AuthorizationPolicy shop/deny"]
    );
    let unreadable = Err("input/output error".to_owned());
    let reading = FileState::default().read(&name(), unreadable, || kept.clone());
    assert_eq!(
        provided(&reading.state),
        ["Pod shop/web", "AuthorizationPolicy shop/deny"]
    );
    let reading = FileState::default().read(&name(), Ok(b"---\n"), || panic!("nothing is broken"));
    assert!(provided(&reading.state).is_empty());
}

#[test]
fn one_broken_item_of_a_list_loses_only_itself() {
    let list = "apiVersion: v1\nkind: PodList\nitems:\n\
                - {apiVersion: v1, kind: Pod, metadata: {name: a}}\n\
                - {apiVersion: v1, kind: Pod, metadata: {name: b/}}\n\
                - {apiVersion: v1, kind: Pod, metadata: {name: c}}\n";
    let reading = read(&FileState::default(), list);
    assert_eq!(provided(&reading.state), ["Pod default/a", "Pod default/c"]);
    insta::assert_snapshot!(problems(&reading));
}

#[test]
fn of_two_documents_of_one_name_the_first_counts() {
    let doubled = format!("{GOOD}---\n{}", GOOD.replace("[{}]", "[]"));
    let reading = read(&FileState::default(), &doubled);
    assert_eq!(provided(&reading.state).len(), 2);
    insta::assert_snapshot!(problems(&reading));
}

#[test]
fn problems_say_what_happens_until_they_are_corrected() {
    let first = read(&FileState::default(), &GOOD.replace("DENY", "DENI"));
    let later = read(&good(), &GOOD.replace("rules: [{}]", "rules: [{"));
    let nameless = read(&good(), &GOOD.replace("metadata:\n", "metadata: {\n"));
    let all = [first, later, nameless]
        .iter()
        .map(problems)
        .collect::<String>();
    insta::assert_snapshot!(all);
}

/// The policy of [`GOOD`], alone.
fn deny() -> &'static str {
    GOOD.split("---\n").nth(1).expect("the policy")
}

fn refuses_something(state: &FileState) -> bool {
    state.provided.values().any(|(_, object)| match &**object {
        Object::UnreadablePolicy(_) => true,
        Object::AuthorizationPolicy(policy) => {
            // Whatever its name is now.
            policy.spec.action == PolicyAction::Deny && policy.spec.rules.len() == 1
        }
        _ => false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_slip_of_a_single_key_opens_a_door(
        place in 0..deny().len(),
        slip in prop::sample::select(b"abXY019 :-_[]{}\"'\t\n\r,.!&*|>%@`~\\\0\x01\xff/?=+;".to_vec()),
        insert in any::<bool>(),
    ) {
        let mut bytes = deny().as_bytes().to_vec();
        if insert { bytes.insert(place, slip) } else { bytes[place] = slip }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let first = FileState::default().read(&name(), Ok(&bytes), Vec::new);
        prop_assert!(refuses_something(&first.state), "at first: {text}");
        let later = good().read(&name(), Ok(&bytes), Vec::new);
        prop_assert!(refuses_something(&later.state), "later: {text}");
    }

    #[test]
    fn any_bytes_are_safe(
        one in proptest::collection::vec(any::<u8>(), 0..300),
        two in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let state = good().read(&name(), Ok(&one), Vec::new).state;
        let state = state.read(&name(), Ok(&two), Vec::new).state;
        prop_assert!(state.read(&name(), Ok(GOOD.as_bytes()), Vec::new).problems.is_empty());
    }
}
