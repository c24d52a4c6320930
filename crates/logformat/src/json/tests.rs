//! JSON as Envoy 1.40 writes it, and texts that are JSON.

use serde_json::json;

use crate::fixtures::{self, empty, full, line};
use crate::{Format, Shape};

/// What is written for an object, as it stands in the line.
fn written(format: &serde_json::Value, entry: &fixtures::Facts) -> String {
    let format = Format::json(format).unwrap();
    assert_eq!(format.shape(), Shape::Json);
    String::from_utf8(line(&format, entry)).unwrap()
}

fn without_empty(format: &serde_json::Value, entry: &fixtures::Facts) -> String {
    let format = Format::json(format).unwrap().omitting_empty();
    String::from_utf8(line(&format, entry)).unwrap()
}

#[test]
fn an_object_is_written_sorted_and_with_the_types_of_single_operators() {
    let format = json!({
        "z": "%REQ(X-A)%",
        "mix": "%REQ(X-NO)%-%DURATION%",
        "twice": "%DURATION%%DURATION%",
        "space": " %DURATION%",
        "number": 7,
        "fraction": 1.5,
        "bool": true,
        "null": null,
        "list": ["%PROTOCOL%", 3, "x"],
        "nest": {"b": "%REQ(X-NO)%", "a": "x"},
        "%PROTOCOL%": "k",
        "empty": "",
        "percent": "5%%",
        "key\"q": "v\"\n",
        "none": {},
        "no": [],
    });
    let expected = r#"{"%PROTOCOL%":"k","bool":true,"empty":"","fraction":1.5,"key\"q":"v\"\u000a","list":["HTTP/1.1",3,"x"],"mix":"--42","nest":{"a":"x","b":null},"no":[],"none":{},"null":null,"number":7,"percent":"5%","space":" 42","twice":"4242","z":"größe"}"#;
    assert_eq!(written(&format, &full()), expected);
}

#[test]
fn what_is_absent_is_left_out_where_that_is_wanted() {
    let format = json!({
        "no": "%REQ(X-NO)%",
        "flags": "%RESPONSE_FLAGS%",
        "code": "%RESPONSE_CODE%",
        "null": null,
        "mix": "a%REQ(X-NO)%b",
        "mixed": "%REQ(X-NO)%%REQ(X-NO)%",
        "list": ["%REQ(X-NO)%", "x"],
        "lists": [["%REQ(X-NO)%"], {"a": "%REQ(X-NO)%"}],
        "nest": {"no": "%REQ(X-NO)%", "deep": {"no": "%TRACE_ID%"}},
        "none": {},
        "empty": "",
        "env": "%ENVIRONMENT(INSTANCE_IP)%",
    });
    let expected = r#"{"code":0,"empty":"","env":"-","flags":"-","list":["x"],"lists":[[]],"mix":"ab","mixed":""}"#;
    assert_eq!(without_empty(&format, &empty()), expected);
    assert_eq!(without_empty(&json!({"a": "%TRACE_ID%"}), &empty()), "{}");
    let here = json!({"a": "%REQ(X-EMPTY)%"});
    assert_eq!(without_empty(&here, &full()), r#"{"a":""}"#);
    let text = "a%REQ(X-NO)%b%RESPONSE_FLAGS%c%GRPC_STATUS%d";
    let text = Format::text(text).unwrap().omitting_empty();
    assert_eq!(line(&text, &empty()), b"ab-cd");
}

#[test]
fn a_json_text_is_as_good_as_its_object() {
    let text = r#"{"b": "%PROTOCOL%", "a": ["%DURATION%"]}"#;
    assert_eq!(
        written(&json!(text), &full()),
        r#"{"a":[42],"b":"HTTP/1.1"}"#
    );
}

#[test]
fn errors_say_which_member_is_wrong() {
    for (format, expected) in [
        (
            json!({"a": "%PROTOCOL"}),
            "in `a`, at character 1: %PROTOCOL has no end",
        ),
        (
            json!({"a": {"b": ["x", "é %PROTOCOL(x)%"]}}),
            "in `a.b[1]`, at character 3: operator %PROTOCOL% takes no argument, not `(x)`",
        ),
        (
            json!("{\"a\": 1"),
            "expected a JSON object of texts: EOF while parsing",
        ),
        (
            json!("[1]"),
            "expected a JSON object of texts: invalid type: sequence",
        ),
        (
            json!([1]),
            "expected a JSON object of texts: it is another value",
        ),
        (
            json!(null),
            "expected a JSON object of texts: it is another value",
        ),
    ] {
        let error = Format::json(&format).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let deep = (0..40).fold(json!("x"), |inner, _| json!({ "a": inner }));
    let error = Format::json(&deep).unwrap_err().to_string();
    assert!(
        error.ends_with("the format is larger than 32 levels"),
        "{error}"
    );
}

#[test]
fn a_text_is_json_only_if_it_is_an_object_whatever_its_operators_write() {
    for text in [
        r#"{"a":"%DURATION%"}"#,
        r#" {"a": %DURATION% , "b" : [ %REQ(X)% ]}"#,
        "{\n  \"a\": \"%REQ(A)%\\\"%REQ(B)%\\\\%REQ(C)%\"\n}\n",
        r#"{"%PROTOCOL%": 1}"#,
        r#"{"a": "%START_TIME(%Y"%m)%", "b": "100%%"}"#,
        "{}",
    ] {
        let format = Format::text(text).unwrap();
        assert_eq!(format.shape(), Shape::JsonText, "{text}");
    }
    for text in [
        r#"{%REQ(X)%: 1}"#,
        r#"{"a": 1%DURATION%}"#,
        r#"{"a": %DURATION%%DURATION%}"#,
        r#"{"a": 1 %DURATION%}"#,
        r#"{"a": -%DURATION%}"#,
        r#"{"a": "\%REQ(X)%"}"#,
        r#"{"a": "\u00%REQ(X)%"}"#,
        r#"{"a": %%}"#,
        r#"{"a": "%REQ(X)%",}"#,
        r#"{"a": "%REQ(X)%"} and more"#,
        r#"{"a": "%REQ(X)%"#,
        r#"["%REQ(X)%"]"#,
        "{%REQ(X)%}",
        "{\"a\": \"two\nlines\"}",
        "{1 2}",
    ] {
        let format = Format::text(text).unwrap();
        assert_eq!(format.shape(), Shape::Text, "{text}");
    }
}

#[test]
fn a_text_that_is_json_keeps_its_order_and_escapes_what_clients_send() {
    let text = "{\n  \"z\" : \"%REQ(USER-AGENT)%\",\n\t\"a b\": [%DURATION%, %TRACE_ID%, %PROTOCOL%],\n  \"no\": \"%REQ(X-NO)%\",\n  \"in  side\": \"it took %DURATION% ms; \\\"%REQ(X-NO)%\\\"\",\n  \"cut\": %REQ(USER-AGENT):2%\n}\n";
    let mut facts = full();
    facts.request = vec![("user-agent", b"\"},{\"a\":\"\\\n\xff".to_vec())];
    let format = Format::text(text).unwrap();
    let expected = r#"{"z":"\"},{\"a\":\"\\\u000a\u00ff","a b":[42,"4bf92f3577b34da6a3ce929d0e0e4736","HTTP/1.1"],"no":"-","in  side":"it took 42 ms; \"-\"","cut":"\"}"}"#;
    assert_eq!(line(&format, &facts), expected.as_bytes());
    facts.is_full = false;
    assert_eq!(
        fixtures::json(&format, &facts)["a b"],
        json!([42, null, null])
    );
}
