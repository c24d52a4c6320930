//! Small languages: filters and templates of users, and what clients say of the trace that they are part of.

use ambit_model::{PathTemplate, TemplateSegment};
use ambit_trace::{Context, Incoming};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Templates of paths: of users. What is read says what was written.
pub fn path_template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(template) = PathTemplate::parse(text) {
        assert_eq!(template.to_string(), text);
        let is_literal = |segment: &TemplateSegment| matches!(segment, TemplateSegment::Literal(_));
        let is_one = !template.segments().iter().all(is_literal);
        assert_eq!(PathTemplate::is_one(text), is_one, "{text}");
    }
}

/// Headers of traces: from clients, a header in each line. What is written on is read as it was written.
pub fn trace_context(bytes: &[u8]) {
    const NAMES: [&str; 8] = [
        "traceparent",
        "tracestate",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES
        .iter()
        .cycle()
        .zip(bytes.split(|byte| *byte == b'\n').take(64))
    {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let read = Incoming::read(&headers);
    let Some(context) = read.from else {
        return;
    };
    let outgoing = ambit_trace::Outgoing {
        context,
        parent: None,
        forms: read.forms,
    };
    outgoing.write(&mut headers, true);
    let again = Incoming::read(&headers).from;
    // What nobody decided is not recorded.
    let expected = Context {
        sampled: Some(context.sampled.unwrap_or_default()),
        ..context
    };
    assert_eq!(again, Some(expected), "{headers:?}");
}
