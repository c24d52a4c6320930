//! Bodies of requests, and answers.

use super::encoded::tests::{SpanMessage, with_span};
use super::*;

#[test]
fn bodies_are_messages_and_of_grpc_have_their_length_before_them() {
    let resource = Resource(vec![("service.name".into(), "waypoint.shop".into())]);
    let http = Protocol::Http(Box::default());
    let spans = || vec![with_span(|span| Encoded::from(&span))];
    let plain = http.body(&resource, spans());
    let framed = Protocol::Grpc.body(&resource, spans());
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
    assert_eq!(SpanMessage::decode(&read[..]).unwrap().name, "GET /");
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
