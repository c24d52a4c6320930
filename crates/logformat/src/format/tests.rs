//! Whole formats, and any format with any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixtures::{self, Facts, empty, full, line, text};
use crate::{ISTIO_JSON, ISTIO_TEXT};

/// The format of the JSON access log that users of Istio are told to write.
const USUAL: &str = r#"{
  "timestamp": "%START_TIME%",
  "method": "%REQ(:METHOD)%",
  "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  "protocol": "%PROTOCOL%",
  "response_code": "%RESPONSE_CODE%",
  "response_flags": "%RESPONSE_FLAGS%",
  "upstream_service": "%UPSTREAM_CLUSTER%",
  "duration_ms": "%DURATION%",
  "request_id": "%REQ(X-REQUEST-ID)%",
  "upstream_host": "%UPSTREAM_HOST%"
}
"#;

#[test]
fn the_usual_format_makes_one_line_of_json_for_each_request() {
    let format = Format::text(USUAL).unwrap();
    assert_eq!(format.shape(), Shape::JsonText);
    let expected = r#"{"timestamp":"2026-11-22T10:01:58.271Z","method":"GET","path":"/rewrite/q?x=1&token=REDACTED","protocol":"HTTP/1.1","response_code":"200","response_flags":"URX,UF","upstream_service":"outbound|80||cart.shop.svc.cluster.local","duration_ms":"42","request_id":"5f3c","upstream_host":"10.0.0.2:8080"}"#;
    assert_eq!(line(&format, &full()), expected.as_bytes());
    let expected = json!({
        "timestamp": "2026-11-22T10:01:58.271Z",
        "method": "-",
        "path": "-",
        "protocol": "-",
        "response_code": "0",
        "response_flags": "-",
        "upstream_service": "-",
        "duration_ms": "0",
        "request_id": "-",
        "upstream_host": "-",
    });
    assert_eq!(fixtures::json(&format, &empty()), expected);
    // The same where `accessLogEncoding` is `JSON`: numbers are numbers.
    let format = Format::json(&json!(USUAL)).unwrap();
    let read = fixtures::json(&format, &full());
    assert_eq!(read["duration_ms"], 42);
    assert_eq!(read["response_code"], 200);
    assert_eq!(fixtures::json(&format, &empty())["method"], json!(null));
}

#[test]
fn istios_own_formats_are_written() {
    let expected = r#"[2026-11-22T10:01:58.271Z] "GET /rewrite/q?x=1&token=REDACTED HTTP/1.1" 200 URX,UF via_upstream too_old "delayed_connect_error:_Connection_refused" 120 4000 42 7 "-" "curl/8" "5f3c" "shop:80" "10.0.0.2:8080" raw 10.0.0.2:5001 [2001:db8::1]:80 10.1.10.23:4000 shop.example shop/cart"#;
    assert_eq!(text(ISTIO_TEXT, &full()), expected);
    let read = fixtures::json(&Format::json(&json!(ISTIO_JSON)).unwrap(), &full());
    assert_eq!(read.as_object().unwrap().len(), 24);
    assert_eq!(read["upstream_service_time"], "7");
    assert_eq!(read["bytes_sent"], 4000);
    assert_eq!(read["x_forwarded_for"], json!(null));
}

#[test]
fn a_percent_sign_is_written_twice_and_line_breaks_at_the_end_once() {
    assert_eq!(
        text("100%% %% %%%PROTOCOL%%%\n\r\n", &full()),
        "100% % %HTTP/1.1%"
    );
    assert_eq!(text("", &full()), "");
    assert_eq!(text("größe", &full()), "größe");
}

#[test]
fn a_format_tells_which_headers_it_needs() {
    let format = Format::json(&json!({
        "a": "%REQ(X-A?:PATH)% %REQ(Host)% %REQ(x-a):3%",
        "b": ["%RESP(?ETag)%", {"c": "%TRAILER(Grpc-Status)%"}],
        "d": "%REQUESTED_SERVER_NAME(SNI_FIRST:HOST)% %PROTOCOL%",
    }));
    let format = format.unwrap();
    let names = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
    let expected = Needs {
        request_headers: names(&[":authority", ":path", "x-a"]),
        response_headers: names(&["etag"]),
        response_trailers: names(&["grpc-status"]),
        server_name: true,
    };
    assert_eq!(*format.needs(), expected);
    for (text, asked) in [("%REQUESTED_SERVER_NAME%", true), ("%HOSTNAME%", false)] {
        let format = Format::text(text).unwrap();
        assert_eq!(format.needs().server_name, asked, "{text}");
    }
    assert_eq!(
        *Format::text("%DURATION%").unwrap().needs(),
        Needs::default()
    );
}

#[test]
fn a_line_is_as_long_as_it_is_not_allocated_again() {
    let format = Format::text(USUAL).unwrap();
    let mut line = Vec::with_capacity(1024);
    let begin = line.as_ptr();
    format.write(&full(), &mut line);
    assert_eq!(line.as_ptr(), begin);
}

/// Words that formats are made of, put together at random.
fn formats() -> impl Strategy<Value = String> {
    let words = crate::known().map(String::from).chain(
        [
            "%",
            "%%",
            "(",
            ")",
            ":",
            "?",
            "8",
            "99999999999999999999",
            "x",
            "X-A",
            ":PATH",
            "%Y",
            "%3f",
            "{",
            "}",
            "\"",
            "\\",
            "\n",
            "[",
            "]",
            ",",
            "NUMBER",
            "NQ",
            "é",
            "\0",
            "\u{2028}",
            "%REQ(X-A)%",
            "%REQ(:PATH):5%",
            "\"a\":",
            "%DURATION%",
            "CEL(",
            "%START_TIME(",
        ]
        .map(String::from),
    );
    let words: Vec<String> = words.collect();
    vec(proptest::sample::select(words), 0..12).prop_map(|words| words.concat())
}

/// An entry of which clients have chosen all that they can.
fn entries() -> impl Strategy<Value = Facts> {
    let bytes = || {
        prop_oneof![
            vec(any::<u8>(), 0..40),
            any::<String>().prop_map(String::into_bytes),
            "[a-z/?&=;#%\"\\\\\n]{0,40}".prop_map(String::into_bytes),
        ]
    };
    let all = (bytes(), bytes(), bytes(), bytes(), any::<bool>());
    all.prop_map(|(a, path, response, server_name, is_full)| Facts {
        request: vec![(":path", path), ("x-a", a.clone()), ("cookie", a)],
        response: vec![("x-a", response.clone())],
        trailers: vec![("x-a", response)],
        server_name: Some(server_name),
        is_full,
        ..full()
    })
}

/// JSON of these formats.
fn objects() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        formats().prop_map(serde_json::Value::from),
        any::<Option<i32>>().prop_map(|number| json!(number)),
    ];
    let tree = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| json!(members)),
        ]
    });
    tree.prop_map(|inner| json!({ "a": inner }))
}

/// Operators whose values are of clients, alone and among others, in and out of quotes.
const OF_CLIENTS: &str = r#"{"a": "%REQ(X-A)%", "b": [%REQ(X-A)%, "%REQ(:PATH):7% \"%RESP(X-A)%\""],
    "of %TRAILER(X-A)%": %REQUESTED_SERVER_NAME%, "c": "%REQ_WITHOUT_QUERY(:PATH)%", "d": %REQ(COOKIE)%}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_panics(format in any::<String>(), words in formats(), entry in entries()) {
        for text in [format, words] {
            if let Ok(format) = Format::text(&text) {
                let mut line = Vec::new();
                format.write(&entry, &mut line);
                let written = String::from_utf8(line).expect("a line is UTF-8");
                // As many lines as the format has.
                let breaks = |text: &str| text.matches('\n').count();
                let own = breaks(text.trim_end_matches(['\n', '\r']));
                prop_assert!(breaks(&written) <= own + 1);
                if format.shape() != Shape::Text {
                    prop_assert_eq!(breaks(&written), 1);
                    serde_json::from_str::<serde_json::Value>(&written).expect(&written);
                }
            }
        }
    }

    #[test]
    fn what_clients_send_never_breaks_json(entry in entries(), omits in any::<bool>()) {
        for format in [Format::text(OF_CLIENTS).unwrap(), Format::text(USUAL).unwrap()] {
            prop_assert_eq!(format.shape(), Shape::JsonText);
            let format = if omits { format.omitting_empty() } else { format };
            fixtures::json(&format, &entry);
        }
        let line = fixtures::json(&Format::text(OF_CLIENTS).unwrap(), &entry);
        let value = entry.request[1].1.clone();
        let latin_1 = || value.iter().copied().map(char::from).collect();
        let expected = String::from_utf8(value.clone()).unwrap_or_else(|_| latin_1());
        prop_assert_eq!(&line["a"], &expected);
        prop_assert_eq!(&line["d"], crate::REDACTED);
    }

    #[test]
    fn any_object_writes_json(object in objects(), entry in entries(), omits in any::<bool>()) {
        if let Ok(format) = Format::json(&object) {
            let format = if omits { format.omitting_empty() } else { format };
            fixtures::json(&format, &entry);
        }
    }
}
