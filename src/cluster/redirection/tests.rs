use super::*;

#[test]
fn a_mark_is_for_the_pod_of_its_uid_only() {
    let mark = |redirection| Mark {
        uid: "u-1".into(),
        namespace: "shop".into(),
        name: "web".into(),
        redirection,
    };
    for (redirection, value) in [
        (Redirection::Enabled, json!("enabled")),
        (Redirection::Pending("why".to_owned()), json!("pending")),
        (Redirection::Absent, Value::Null),
    ] {
        let expected = json!({"metadata": {
            "uid": "u-1",
            "annotations": {"ambit.mesh/redirection": value},
        }});
        assert_eq!(patch_of(&mark(redirection)), expected);
    }
}
