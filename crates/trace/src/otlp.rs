//! Spans as a collector takes them: OTLP, over gRPC or as protobuf over HTTP.
//!
//! The messages are those of `opentelemetry.proto.collector.trace.v1`, as far as they are used here.

mod encoded;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use prost::Message;

pub(crate) use self::encoded::Encoded;

/// Path of the method over gRPC.
const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Path where collectors take it over HTTP, if no other is said.
const PATH: &str = "/v1/traces";
/// Bytes before a message of gRPC: not compressed, and its length.
const PREFIX: usize = 5;
/// Codes of gRPC with which a collector asks to be asked again (OTLP, "failures").
const AGAIN: [i32; 7] = [1, 4, 8, 10, 11, 14, 15];
/// Statuses with which it does.
const STATUSES: [u16; 4] = [429, 502, 503, 504];
/// What a status says of an error.
const ERROR: u64 = 2;

/// How a collector is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, over HTTP/2.
    Grpc,
    /// Protobuf over HTTP, to this path; empty for the usual one.
    Http(Box<str>),
}

impl Protocol {
    /// The path that is asked for.
    pub fn path(&self) -> &str {
        match self {
            Self::Grpc => METHOD,
            Self::Http(path) if path.is_empty() => PATH,
            Self::Http(path) => path,
        }
    }

    /// The type of the body.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::Http(_) => "application/x-protobuf",
        }
    }

    /// The body for these spans.
    pub(crate) fn body(&self, resource: &Resource, spans: Vec<Encoded>) -> Bytes {
        let request = request(resource, spans);
        let length = request.encoded_len();
        let mut body = BytesMut::with_capacity(PREFIX + length);
        if *self == Self::Grpc {
            body.put_u8(0);
            body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        }
        // There is room for all of it.
        let _all = request.encode(&mut body);
        body.freeze()
    }

    /// What an answer says.
    pub(crate) fn judge(&self, answer: &Answer) -> Verdict {
        if !answer.status.is_success() {
            let again = STATUSES.contains(&answer.status.as_u16());
            let why = format!("it answered {}", answer.status.as_u16());
            return Verdict::refused(again, why);
        }
        let message = match self {
            Self::Http(_) => answer.body.as_ref(),
            Self::Grpc => match grpc_status(&answer.headers) {
                Some(0) => answer.body.get(PREFIX..).unwrap_or_default(),
                status => {
                    let code = status
                        .map_or_else(|| "no status".to_owned(), |code| format!("status {code}"));
                    let again = status.is_none_or(|code| AGAIN.contains(&code));
                    return Verdict::refused(again, format!("it answered gRPC with {code}"));
                }
            },
        };
        // What cannot be read has been taken all the same.
        let partial = Response::decode(message).ok().and_then(|said| said.partial);
        match partial.filter(|partial| partial.rejected > 0) {
            None => Verdict::Taken,
            Some(Partial { rejected, message }) => Verdict::Partly {
                rejected: u64::try_from(rejected).unwrap_or_default(),
                why: message,
            },
        }
    }
}

/// What a collector answered, with the trailers among the headers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers and trailers.
    pub headers: HeaderMap,
    /// Body, as far as it was read.
    pub body: Bytes,
}

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it was taken.
    Taken,
    /// But so many.
    Partly { rejected: u64, why: String },
    /// Nothing was, and it is worth another try.
    Again(String),
    /// Nothing was, and it will not be.
    Never(String),
}

impl Verdict {
    fn refused(again: bool, why: String) -> Self {
        match again {
            true => Self::Again(why),
            false => Self::Never(why),
        }
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Who sends spans: attributes such as `service.name`.
#[derive(Clone, Debug, Default)]
pub struct Resource(pub Vec<(Box<str>, Box<str>)>);

fn request(resource: &Resource, spans: Vec<Encoded>) -> Request {
    let attributes = resource.0.iter().map(|(name, text)| KeyValue {
        key: name.to_string(),
        value: Some(AnyValue {
            text: Some(text.to_string()),
            number: None,
        }),
    });
    Request {
        spans: vec![OfResource {
            resource: Some(ResourceMessage {
                attributes: attributes.collect(),
            }),
            scopes: vec![OfScope {
                scope: Some(ScopeMessage {
                    name: "ambit".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                spans: spans.into_iter().map(Encoded::into_bytes).collect(),
            }],
        }],
    }
}

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<OfResource>,
}

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

/// `ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// `ResourceSpans`.
#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
}

/// `Resource`.
#[derive(Clone, PartialEq, Message)]
struct ResourceMessage {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

/// `ScopeSpans`.
#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<ScopeMessage>,
    /// Each a `Span`: on the wire a message is as its bytes are.
    #[prost(bytes = "vec", repeated, tag = "2")]
    spans: Vec<Vec<u8>>,
}

/// `InstrumentationScope`.
#[derive(Clone, PartialEq, Message)]
struct ScopeMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// `KeyValue`.
#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// `AnyValue`, of which one field is there.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

#[cfg(test)]
mod tests;
