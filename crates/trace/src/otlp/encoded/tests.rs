//! What is written, read as protobuf by a library.

use std::time::Duration;

use prost::Message;

use super::super::KeyValue;
use super::*;
use crate::{SpanId, TraceId};

/// `Span`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time: u64,
    #[prost(fixed64, tag = "8")]
    end_time: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<StatusMessage>,
}

/// `Status`.
#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

/// Gives a span with everything.
pub(crate) fn with_span<R>(give: impl FnOnce(Span<'_>) -> R) -> R {
    let long = "x".repeat(70_000);
    let began = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
    give(Span {
        trace: TraceId::new(0x0102),
        id: SpanId::new(3),
        parent: Some(SpanId::new(4)),
        state: "a=1",
        name: "GET /",
        kind: Kind::Client,
        began,
        ended: began + Duration::from_millis(5),
        attributes: &[
            ("http.method", "GET".into()),
            ("http.status_code", 200.into()),
            ("empty", "".into()),
            ("long", long.as_str().into()),
            ("negative", (-1).into()),
        ],
        error: Some("it broke"),
    })
}

fn message(span: &Span<'_>) -> SpanMessage {
    let Encoded(bytes) = span.into();
    assert!(bytes.len() <= room(span) && room(span) <= bytes.len() + REST);
    let message = SpanMessage::decode(&bytes[..]).unwrap();
    // Nothing that a library would not write, but for the order of a message's fields.
    assert_eq!(message.encoded_len(), bytes.len());
    message
}

#[test]
fn a_span_is_written_with_the_numbers_of_the_protocol() {
    // Fields as numbers and wire types, read by hand: a name of ours cannot hide a wrong number.
    let bytes = with_span(|span| {
        let attributes = &span.attributes[..2];
        Encoded::from(&Span { attributes, ..span }).into_bytes()
    });
    let mut seen = Vec::new();
    let mut rest = &bytes[..];
    while let [key, after @ ..] = rest {
        let (number, kind) = (key >> 3, key & 7);
        let length = match kind {
            0 => 1,
            1 => 8,
            2 => usize::from(after[0]) + 1,
            _ => panic!("wire type {kind}"),
        };
        seen.push((number, kind));
        rest = &after[length..];
    }
    let expected = [
        (1, 2),
        (2, 2),
        (3, 2),
        (4, 2),
        (5, 2),
        (6, 0),
        (7, 1),
        (8, 1),
        (9, 2),
        (9, 2),
        (15, 2),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_library_reads_all_of_it() {
    let message = with_span(|span| message(&span));
    assert_eq!(message.trace_id, [&[0; 14][..], &[1, 2]].concat());
    assert_eq!(message.span_id, [0, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(message.parent_span_id, [0, 0, 0, 0, 0, 0, 0, 4]);
    assert_eq!((&*message.trace_state, &*message.name), ("a=1", "GET /"));
    assert_eq!(message.kind, 3);
    assert_eq!(message.end_time - message.start_time, 5_000_000);
    assert_eq!(message.start_time, 1_700_000_000_000_000_001);
    let status = message.status.unwrap();
    assert_eq!((&*status.message, status.code), ("it broke", 2));
    let told: Vec<_> = message
        .attributes
        .iter()
        .map(|attribute| {
            let value = attribute.value.as_ref().unwrap();
            let text = value.text.as_ref().map(String::len);
            (&*attribute.key, text, value.number)
        })
        .collect();
    let expected = [
        ("http.method", Some(3), None),
        ("http.status_code", None, Some(200)),
        ("empty", Some(0), None),
        ("long", Some(70_000), None),
        ("negative", None, Some(-1)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_span_that_went_well_and_has_no_parent_says_neither() {
    let message = with_span(|span| {
        message(&Span {
            parent: None,
            error: None,
            state: "",
            attributes: &[],
            ..span
        })
    });
    assert!(message.status.is_none() && message.parent_span_id.is_empty());
    assert!(message.trace_state.is_empty() && message.attributes.is_empty());
}
