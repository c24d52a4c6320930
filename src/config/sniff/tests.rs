use super::*;

#[test]
fn a_broken_document_still_says_what_it_is() {
    let policy = |text: &str| {
        let identity = sniff(text.as_bytes());
        let parts = [identity.namespace, identity.name].map(|part| part.map(|p| p.to_string()));
        (identity.kind, parts, identity.policy)
    };
    let some = |namespace: &str, name: &str| [Some(namespace.to_owned()), Some(name.to_owned())];
    let kind = Some(Kind::AuthorizationPolicy);
    let full =
        "kind: AuthorizationPolicy # ours\nmetadata:\n  name: 'deny'\n  namespace: shop\nspec: [";
    assert_eq!(policy(full), (kind, some("shop", "deny"), true));
    let default = "kind: AuthorizationPolicy\nmetadata:\n  name: deny\nspec: [";
    assert_eq!(policy(default), (kind, some("default", "deny"), true));
    let shifted = "kind: AuthorizationPolicy\nmetadata:\n  name: deny\n namespace: shop\nspec: {}";
    assert_eq!(
        policy(shifted),
        (kind, [Some("shop".to_owned()), None], true)
    );
    let garbled = "kind: AuthorizationPolicy\nmetadata:\n  name: deny\n  namespace shop\nspec: {}";
    assert_eq!(
        policy(garbled),
        (kind, [None, Some("deny".to_owned())], true)
    );
    let flow = "kind: AuthorizationPolicy\nmetadata: {name: deny, namespace: shop\nspec: {}";
    assert_eq!(policy(flow), (kind, [None, None], true));
    let pod = "kind: Pod\nmetadata:\n  name: web\n  labels:\n    name: x\nspec: [";
    assert_eq!(
        policy(pod),
        (Some(Kind::Pod), some("default", "web"), false)
    );
    assert_eq!(policy("\u{0}\u{1}"), (None, [None, None], false));
}
