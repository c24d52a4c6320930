use super::*;

#[test]
fn only_what_is_not_written_yet_is_written_into_that_very_request() {
    let request: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": NAME, "uid": "u-1"},
        "data": {"n1": "left"},
    }))
    .unwrap();
    let nodes = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    assert_eq!(note(&request, &nodes(&[])), None);
    assert_eq!(note(&request, &nodes(&["n1"])), None);
    assert_eq!(
        note(&request, &nodes(&["n1", "n2", "n3"])),
        Some(json!({"metadata": {"uid": "u-1"}, "data": {"n2": "left", "n3": "left"}}))
    );
    let empty = ConfigMap::default();
    assert!(note(&empty, &nodes(&["n1"])).is_some());
}
