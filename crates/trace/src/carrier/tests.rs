//! Headers in, places in traces out, and back.

use proptest::prelude::*;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn read(lines: &[(&'static str, &str)]) -> Incoming {
    Incoming::read(&headers(lines))
}

/// The place as text, and what was decided.
fn told(incoming: &Incoming) -> (String, Option<bool>) {
    let from = incoming.from.as_ref();
    let place = from.map(|from| format!("{}/{}", from.trace, from.span));
    (place.unwrap_or_default(), incoming.sampled)
}

#[test]
fn w3c_is_read_as_its_specification_says() {
    let place = format!("{TRACE}/{SPAN}");
    let zeros = "0".repeat(32);
    for (text, expected) in [
        (format!("00-{TRACE}-{SPAN}-01"), Some(true)),
        (format!("00-{TRACE}-{SPAN}-00"), Some(false)),
        // Other flags say nothing to us.
        (format!("00-{TRACE}-{SPAN}-ff"), Some(true)),
        (format!("00-{TRACE}-{SPAN}-fe"), Some(false)),
        // Later versions may say more.
        (format!("01-{TRACE}-{SPAN}-01"), Some(true)),
        (format!("cc-{TRACE}-{SPAN}-01-what-else"), Some(true)),
        // What is not valid begins a new trace.
        (format!("00-{TRACE}-{SPAN}-01-what-else"), None),
        (format!("cc-{TRACE}-{SPAN}-01.what"), None),
        (format!("ff-{TRACE}-{SPAN}-01"), None),
        (format!("0-{TRACE}-{SPAN}-01"), None),
        (format!("00-{zeros}-{SPAN}-01"), None),
        (format!("00-{TRACE}-0000000000000000-01"), None),
        (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
        (format!("00-{TRACE}-{SPAN}-1"), None),
        (format!("00-{TRACE}-{SPAN}"), None),
        (format!("00_{TRACE}-{SPAN}-01"), None),
        (format!("00-{SPAN}-{TRACE}-01"), None),
        (String::new(), None),
    ] {
        let place = expected.map_or(String::new(), |_| place.clone());
        let seen = told(&read(&[("traceparent", &text)]));
        assert_eq!(seen, (place, expected), "{text}");
    }
}

#[test]
fn what_is_there_twice_is_not_believed() {
    let one = format!("00-{TRACE}-{SPAN}-01");
    let twice = [("traceparent", one.as_str()), ("traceparent", &one)];
    assert_eq!(read(&twice).from, None);
}

#[test]
fn b3_is_read_from_one_header() {
    let place = |trace: &str| format!("{trace}/{SPAN}");
    let long = |trace: &str| format!("{trace:0>32}");
    for (text, expected) in [
        (format!("{TRACE}-{SPAN}-1"), (place(TRACE), Some(true))),
        (format!("{TRACE}-{SPAN}-0"), (place(TRACE), Some(false))),
        (format!("{TRACE}-{SPAN}-d"), (place(TRACE), Some(true))),
        (format!("{TRACE}-{SPAN}"), (place(TRACE), None)),
        (
            format!("{TRACE}-{SPAN}-1-{SPAN}"),
            (place(TRACE), Some(true)),
        ),
        // Half an id is one.
        (format!("{SPAN}-{SPAN}-1"), (place(&long(SPAN)), Some(true))),
        // A decision without a trace.
        ("0".to_owned(), (String::new(), Some(false))),
        ("1".to_owned(), (String::new(), Some(true))),
        // What is not valid.
        (format!("{TRACE}-{SPAN}-2"), (String::new(), None)),
        (format!("{TRACE}-{SPAN}-1-x"), (String::new(), None)),
        (format!("{TRACE}-{SPAN}-1-{SPAN}-1"), (String::new(), None)),
        (format!("{TRACE}-{TRACE}-1"), (String::new(), None)),
        ("-".to_owned(), (String::new(), None)),
        (String::new(), (String::new(), None)),
    ] {
        let seen = read(&[("b3", &text)]);
        assert_eq!(told(&seen), expected, "{text}");
        assert!(seen.forms.b3 && !seen.forms.b3_many);
    }
}

#[test]
fn b3_is_read_from_several_headers() {
    let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    let place = format!("{TRACE}/{SPAN}");
    for (more, decided) in [
        (("x-b3-sampled", "1"), Some(true)),
        (("x-b3-sampled", "true"), Some(true)),
        (("x-b3-sampled", "0"), Some(false)),
        (("x-b3-flags", "1"), Some(true)),
        (("x-b3-flags", "0"), None),
        (("x-other", "1"), None),
    ] {
        let seen = read(&[ids[0], ids[1], more]);
        assert_eq!(told(&seen), (place.clone(), decided), "{more:?}");
        assert!(seen.forms.b3_many && !seen.forms.b3);
    }
    let seen = read(&[("x-b3-sampled", "0")]);
    assert_eq!(told(&seen), (String::new(), Some(false)));
    assert_eq!(told(&read(&ids[..1])), (String::new(), None));
}

#[test]
fn w3c_counts_before_b3_and_all_forms_are_written_on() {
    let other = "1".repeat(16);
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let many = format!("{other}-{other}-0");
    let mut headers = headers(&[
        ("traceparent", &parent),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("b3", &many),
        ("x-b3-traceid", &other),
        ("x-b3-spanid", &other),
        ("x-b3-parentspanid", "2222222222222222"),
        ("x-b3-flags", "1"),
    ]);
    let incoming = Incoming::read(&headers);
    assert_eq!(told(&incoming), (format!("{TRACE}/{SPAN}"), Some(true)));
    assert_eq!(&*incoming.state, "a=1,b=2");
    let outgoing = Outgoing {
        context: Context {
            span: SpanId::new(0xabc),
            ..incoming.from.unwrap()
        },
        parent: None,
        forms: incoming.forms,
    };
    outgoing.write(&mut headers, true);
    let seen = |name: &str| {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        values
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let span = "0000000000000abc";
    assert_eq!(seen("traceparent"), format!("00-{TRACE}-{span}-01"));
    assert_eq!(seen("tracestate"), "a=1 b=2");
    assert_eq!(seen("b3"), format!("{TRACE}-{span}-1"));
    assert_eq!(seen("x-b3-traceid"), TRACE);
    assert_eq!(seen("x-b3-spanid"), span);
    assert_eq!(seen("x-b3-sampled"), "1");
    assert_eq!(seen("x-b3-parentspanid") + &seen("x-b3-flags"), "");
}

#[test]
fn forms_that_did_not_come_are_not_made() {
    let mut headers = headers(&[("tracestate", "of=another")]);
    let incoming = Incoming::read(&headers);
    assert_eq!(incoming, Incoming::default());
    let outgoing = Outgoing {
        context: Context {
            trace: TraceId::new(0),
            span: SpanId::new(0),
            sampled: None,
        },
        parent: Some(SpanId::new(9)),
        forms: incoming.forms,
    };
    outgoing.write(&mut headers, false);
    let expected = format!("00-{:032x}-{:016x}-00", 1, 1);
    assert_eq!(headers.len(), 1);
    assert_eq!(headers["traceparent"], expected);
}

#[test]
fn a_state_that_is_too_long_to_keep_is_passed_on_all_the_same() {
    let (parent, state) = (format!("00-{TRACE}-{SPAN}-01"), "x".repeat(513));
    let headers = headers(&[("traceparent", &parent), ("tracestate", &state)]);
    assert_eq!(&*Incoming::read(&headers).state, "");
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_again(
        trace in any::<u128>(), span in any::<u64>(), parent in any::<Option<u64>>(), sampled: bool, b3: bool,
    ) {
        let context = Context {
            trace: TraceId::new(trace),
            span: SpanId::new(span),
            sampled: Some(sampled),
        };
        let parent = parent.map(SpanId::new);
        let forms = Forms { b3, b3_many: !b3 };
        let mut headers = HeaderMap::new();
        Outgoing { context, parent, forms }.write(&mut headers, false);
        let seen = Incoming::read(&headers);
        prop_assert_eq!((seen.from, seen.forms), (Some(context), forms));
        // And without W3C's.
        headers.remove("traceparent");
        prop_assert_eq!(Incoming::read(&headers).from, Some(context));
    }

    #[test]
    fn no_bytes_do_harm(
        parent in prop::collection::vec(any::<u8>(), 0..70),
        b3 in "[0-9a-fd-]{0,70}",
        sampled in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [("traceparent", &parent[..]), ("b3", b3.as_bytes()), ("x-b3-sampled", &sampled)] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        }
        let seen = Incoming::read(&headers);
        prop_assert_eq!(seen.from.and_then(|from| from.sampled), seen.from.and(seen.sampled));
    }
}

#[test]
fn tables_of_headers_do_not_keep_what_is_written() {
    let mut headers = HeaderMap::new();
    let outgoing = Outgoing {
        context: Context {
            trace: TraceId::new(1),
            span: SpanId::new(2),
            sampled: None,
        },
        parent: None,
        forms: Forms {
            b3: true,
            b3_many: true,
        },
    };
    outgoing.write(&mut headers, false);
    assert!(headers.len() >= 5);
    assert!(
        headers.values().all(HeaderValue::is_sensitive),
        "{headers:?}"
    );
}
