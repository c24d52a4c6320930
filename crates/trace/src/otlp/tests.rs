//! Messages, byte by byte where that matters, and answers.

use std::time::Duration;

use super::*;
use crate::{SpanId, TraceId};

fn span() -> Span {
    let began = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
    Span {
        trace: TraceId::new(0x0102),
        id: SpanId::new(3),
        parent: Some(SpanId::new(4)),
        state: "a=1".into(),
        name: "GET /".into(),
        kind: Kind::Client,
        began,
        ended: began + Duration::from_millis(5),
        attributes: vec![
            ("http.method".into(), "GET".into()),
            ("http.status_code".into(), 200.into()),
        ],
        error: Some("it broke".into()),
    }
}

#[test]
fn a_span_is_written_with_the_numbers_of_the_protocol() {
    // Fields as numbers and wire types, read by hand: a name of ours cannot hide a wrong number.
    let bytes = SpanMessage::from(span()).encode_to_vec();
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
    let message = SpanMessage::decode(&bytes[..]).unwrap();
    assert_eq!(message.trace_id, [&[0; 14][..], &[1, 2]].concat());
    assert_eq!(message.parent_span_id, [0, 0, 0, 0, 0, 0, 0, 4]);
    assert_eq!(message.kind, 3);
    assert_eq!(message.end_time - message.start_time, 5_000_000);
    assert_eq!(message.start_time, 1_700_000_000_000_000_001);
    assert_eq!(message.status.unwrap().code, 2);
}

#[test]
fn a_span_that_went_well_and_has_no_parent_says_neither() {
    let message = SpanMessage::from(Span {
        parent: None,
        error: None,
        ..span()
    });
    assert!(message.status.is_none() && message.parent_span_id.is_empty());
}

#[test]
fn bodies_are_messages_and_of_grpc_have_their_length_before_them() {
    let resource = Resource(vec![("service.name".into(), "waypoint.shop".into())]);
    let http = Protocol::Http(Box::default());
    let plain = http.body(&resource, vec![span().into()]);
    let framed = Protocol::Grpc.body(&resource, vec![span().into()]);
    assert_eq!(framed[PREFIX..], plain[..]);
    assert_eq!(framed[0], 0);
    let length = u32::from_be_bytes(framed[1..PREFIX].try_into().unwrap());
    assert_eq!(length as usize, plain.len());
    let message = Request::decode(plain).unwrap();
    let of_resource = &message.spans[0];
    let said = &of_resource.resource.as_ref().unwrap().attributes[0];
    assert_eq!(said.key, "service.name");
    let [read] = &of_resource.scopes[0].spans[..] else {
        panic!("one span was written: {message:?}");
    };
    assert_eq!(SpanMessage::decode(&read[..]), Ok(span().into()));
    let all = [http, Protocol::Http("/otlp".into()), Protocol::Grpc];
    let paths: Vec<_> = all.iter().map(Protocol::path).collect();
    assert_eq!(paths, ["/v1/traces", "/otlp", METHOD]);
}

/// Whether a verdict is as expected.
type Judge<'a> = &'a dyn Fn(&Verdict) -> bool;

fn answer(status: u16, grpc: Option<&str>, body: &[u8]) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(status) = grpc {
        headers.insert("grpc-status", status.parse().unwrap());
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::copy_from_slice(body),
    }
}

#[test]
fn answers_say_what_was_taken_and_what_is_worth_another_try() {
    let http = Protocol::Http(Box::default());
    let partial = Response {
        partial: Some(Partial {
            rejected: 2,
            message: "too old".to_owned(),
        }),
    };
    let partial = partial.encode_to_vec();
    let framed = [&[0; PREFIX][..], &partial].concat();
    let again = |verdict: &Verdict| matches!(verdict, Verdict::Again(_));
    let never = |verdict: &Verdict| matches!(verdict, Verdict::Never(_));
    let partly = |verdict: &Verdict| matches!(verdict, Verdict::Partly { rejected: 2, .. });
    let taken = |verdict: &Verdict| *verdict == Verdict::Taken;
    let cases: [(&Protocol, Answer, Judge<'_>); 12] = [
        (&http, answer(200, None, b""), &taken),
        (&http, answer(200, None, b"\xffnonsense"), &taken),
        (&http, answer(200, None, &partial), &partly),
        (&http, answer(429, None, b""), &again),
        (&http, answer(503, None, b""), &again),
        (&http, answer(500, None, b""), &never),
        (&http, answer(404, None, b""), &never),
        (&Protocol::Grpc, answer(200, Some("0"), &[0; 5]), &taken),
        (&Protocol::Grpc, answer(200, Some("0"), &framed), &partly),
        (&Protocol::Grpc, answer(200, Some("14"), b""), &again),
        (&Protocol::Grpc, answer(200, Some("12"), b""), &never),
        (&Protocol::Grpc, answer(200, None, b""), &again),
    ];
    for (protocol, answer, is_expected) in cases {
        let verdict = protocol.judge(&answer);
        assert!(is_expected(&verdict), "{answer:?}: {verdict:?}");
    }
}
