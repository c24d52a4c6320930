//! Spans as they come by OTLP, as far as scenarios look at them.

use prost::Message;

/// Kinds of spans.
pub(super) const SERVER: i32 = 2;
pub(super) const CLIENT: i32 = 3;

/// A span, ids as they are written.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty if it has none.
    pub(super) parent: String,
    pub(super) kind: i32,
    attributes: Vec<(String, String)>,
}

impl Span {
    /// An attribute as text; empty if it is not there.
    pub(super) fn attribute(&self, name: &str) -> String {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// The spans of a request to a collector; none of what is no such request.
pub(super) fn spans(body: &[u8]) -> Vec<Span> {
    let request = Request::decode(body).unwrap_or_default();
    let of_scopes = request.resources.into_iter().flat_map(|one| one.scopes);
    let spans = of_scopes.flat_map(|scope| scope.spans);
    spans.map(Span::from).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<SpanMessage> for Span {
    fn from(message: SpanMessage) -> Self {
        let attributes = message.attributes.into_iter().map(|pair| {
            let value = pair.value.unwrap_or_default();
            let number = || value.number.map(|number| number.to_string());
            let text = value.text.clone().or_else(number).unwrap_or_default();
            (pair.key, text)
        });
        Self {
            trace: hex(&message.trace),
            id: hex(&message.id),
            parent: hex(&message.parent),
            kind: message.kind,
            attributes: attributes.collect(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}
