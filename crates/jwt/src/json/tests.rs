use super::*;

#[test]
fn objects_are_read() {
    let text = r#"{"a":[1,-1,1.5,true,null,"x"],"b":{"c":{}}}"#;
    let read = object(text.as_bytes()).unwrap();
    assert_eq!(
        Value::Object(read),
        serde_json::from_str::<Value>(text).unwrap()
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    for text in [
        "",
        "1",
        "[]",
        "null",
        "{",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":[{"b":1,"b":2}]}"#,
        r#"{"a":1e999}"#,
        r#"{"a":01}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":1,}"#,
        "{'a':1}",
    ] {
        assert_eq!(object(text.as_bytes()), None, "{text}");
    }
    assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
}

#[test]
fn there_is_an_end_to_depth() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(object(nested(MAX_DEPTH - 1).as_bytes()).is_some());
    assert!(object(nested(MAX_DEPTH).as_bytes()).is_none());
    assert!(object(nested(100_000).as_bytes()).is_none());
    assert!(object("{\"a\":".repeat(100_000).as_bytes()).is_none());
}
