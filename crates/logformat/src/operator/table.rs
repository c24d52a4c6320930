//! Every operator that Envoy has, by its name.

use std::time::Duration;

use super::{Part, Source};
use crate::entry::Entry;

/// A value that needs no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Protocol,
    UpstreamProtocol,
    ResponseCode,
    Flags,
    LongFlags,
    TerminationDetails,
    BytesReceived,
    BytesSent,
    UpstreamCluster,
    UpstreamClusterRaw,
    UpstreamFailure,
    Attempts,
    PeerUri,
    LocalUri,
    UpstreamPeerUri,
    TlsVersion,
    ServerName,
    RouteName,
    VirtualCluster,
    Hostname,
    TraceId,
    SpanId,
    StreamId,
    LogType,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Whole,
    Request,
    RequestTx,
    Response,
    ResponseTx,
}

impl Span {
    /// How long it took.
    pub(crate) fn of(self, entry: &(impl Entry + ?Sized)) -> Option<Duration> {
        match self {
            Self::Whole => Some(entry.duration()),
            Self::Request => entry.request_duration(),
            Self::RequestTx => entry.request_tx_duration(),
            Self::Response => entry.response_duration(),
            Self::ResponseTx => entry.response_tx_duration(),
        }
    }
}

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    UpstreamHost,
    UpstreamLocal,
    UpstreamRemote,
    Remote,
    DirectRemote,
    Local,
}

/// What an operator takes, and what it makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Takes nothing.
    Field(Field),
    /// Takes nothing.
    Span(Span),
    /// Takes a format. True for what is the local time elsewhere.
    Time(bool),
    /// Takes names; false if the query is left out.
    Headers(Source, bool),
    /// Takes what of it and where from.
    Path,
    /// Takes what comes first and where from.
    ServerName,
    /// Takes a word.
    Details,
    /// Takes a form.
    Grpc,
    /// Takes nothing.
    GrpcNumber,
    /// Takes a number of bits if it is the part without the port.
    Address(Address, Part),
    /// Takes a name.
    Environment,
}

/// Operators that are known.
pub(super) const OPERATORS: &[(&str, Kind)] = &[
    ("START_TIME", Kind::Time(false)),
    ("START_TIME_LOCAL", Kind::Time(true)),
    ("REQ", Kind::Headers(Source::Request, true)),
    ("REQUEST_HEADER", Kind::Headers(Source::Request, true)),
    ("RESP", Kind::Headers(Source::Response, true)),
    ("RESPONSE_HEADER", Kind::Headers(Source::Response, true)),
    ("TRAILER", Kind::Headers(Source::Trailer, true)),
    ("RESPONSE_TRAILER", Kind::Headers(Source::Trailer, true)),
    ("REQ_WITHOUT_QUERY", Kind::Headers(Source::Request, false)),
    ("PATH", Kind::Path),
    ("PROTOCOL", Kind::Field(Field::Protocol)),
    ("UPSTREAM_PROTOCOL", Kind::Field(Field::UpstreamProtocol)),
    ("RESPONSE_CODE", Kind::Field(Field::ResponseCode)),
    ("RESPONSE_CODE_DETAILS", Kind::Details),
    ("RESPONSE_FLAGS", Kind::Field(Field::Flags)),
    ("RESPONSE_FLAGS_LONG", Kind::Field(Field::LongFlags)),
    (
        "CONNECTION_TERMINATION_DETAILS",
        Kind::Field(Field::TerminationDetails),
    ),
    ("BYTES_RECEIVED", Kind::Field(Field::BytesReceived)),
    ("BYTES_SENT", Kind::Field(Field::BytesSent)),
    ("DURATION", Kind::Span(Span::Whole)),
    ("REQUEST_DURATION", Kind::Span(Span::Request)),
    ("REQUEST_TX_DURATION", Kind::Span(Span::RequestTx)),
    ("RESPONSE_DURATION", Kind::Span(Span::Response)),
    ("RESPONSE_TX_DURATION", Kind::Span(Span::ResponseTx)),
    (
        "UPSTREAM_HOST",
        Kind::Address(Address::UpstreamHost, Part::Whole),
    ),
    ("UPSTREAM_CLUSTER", Kind::Field(Field::UpstreamCluster)),
    (
        "UPSTREAM_CLUSTER_RAW",
        Kind::Field(Field::UpstreamClusterRaw),
    ),
    (
        "UPSTREAM_LOCAL_ADDRESS",
        Kind::Address(Address::UpstreamLocal, Part::Whole),
    ),
    (
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        Kind::Address(Address::UpstreamLocal, Part::Ip),
    ),
    (
        "UPSTREAM_LOCAL_PORT",
        Kind::Address(Address::UpstreamLocal, Part::Port),
    ),
    (
        "UPSTREAM_REMOTE_ADDRESS",
        Kind::Address(Address::UpstreamRemote, Part::Whole),
    ),
    (
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        Kind::Address(Address::UpstreamRemote, Part::Ip),
    ),
    (
        "UPSTREAM_REMOTE_PORT",
        Kind::Address(Address::UpstreamRemote, Part::Port),
    ),
    (
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
        Kind::Field(Field::UpstreamFailure),
    ),
    (
        "UPSTREAM_REQUEST_ATTEMPT_COUNT",
        Kind::Field(Field::Attempts),
    ),
    (
        "DOWNSTREAM_REMOTE_ADDRESS",
        Kind::Address(Address::Remote, Part::Whole),
    ),
    (
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        Kind::Address(Address::Remote, Part::Ip),
    ),
    (
        "DOWNSTREAM_REMOTE_PORT",
        Kind::Address(Address::Remote, Part::Port),
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        Kind::Address(Address::DirectRemote, Part::Whole),
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        Kind::Address(Address::DirectRemote, Part::Ip),
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_PORT",
        Kind::Address(Address::DirectRemote, Part::Port),
    ),
    (
        "DOWNSTREAM_LOCAL_ADDRESS",
        Kind::Address(Address::Local, Part::Whole),
    ),
    (
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        Kind::Address(Address::Local, Part::Ip),
    ),
    (
        "DOWNSTREAM_LOCAL_PORT",
        Kind::Address(Address::Local, Part::Port),
    ),
    ("DOWNSTREAM_PEER_URI_SAN", Kind::Field(Field::PeerUri)),
    ("DOWNSTREAM_LOCAL_URI_SAN", Kind::Field(Field::LocalUri)),
    ("UPSTREAM_PEER_URI_SAN", Kind::Field(Field::UpstreamPeerUri)),
    ("DOWNSTREAM_TLS_VERSION", Kind::Field(Field::TlsVersion)),
    ("REQUESTED_SERVER_NAME", Kind::ServerName),
    ("ROUTE_NAME", Kind::Field(Field::RouteName)),
    ("VIRTUAL_CLUSTER_NAME", Kind::Field(Field::VirtualCluster)),
    ("HOSTNAME", Kind::Field(Field::Hostname)),
    ("GRPC_STATUS", Kind::Grpc),
    ("GRPC_STATUS_NUMBER", Kind::GrpcNumber),
    ("TRACE_ID", Kind::Field(Field::TraceId)),
    ("SPAN_ID", Kind::Field(Field::SpanId)),
    ("STREAM_ID", Kind::Field(Field::StreamId)),
    ("ACCESS_LOG_TYPE", Kind::Field(Field::LogType)),
    ("ENVIRONMENT", Kind::Environment),
];

/// Operators of Envoy's that tell nothing here, and what to use instead.
pub(super) const UNSUPPORTED: &[(&[&str], &str)] = &[
    (
        &["CEL", "TYPED_CEL"],
        "no expressions are evaluated for a line; write the attributes themselves, such as \
         %REQ(X)%, %RESPONSE_CODE% or %DOWNSTREAM_PEER_URI_SAN%",
    ),
    (
        &["FILTER_STATE", "UPSTREAM_FILTER_STATE"],
        "there are no filters that keep state; the peers are told by %DOWNSTREAM_PEER_URI_SAN% \
         and %UPSTREAM_PEER_URI_SAN%",
    ),
    (
        &[
            "DYNAMIC_METADATA",
            "CLUSTER_METADATA",
            "UPSTREAM_METADATA",
            "METADATA",
        ],
        "there are no filters that keep metadata; use %ROUTE_NAME%, %UPSTREAM_CLUSTER% or a header \
         by %REQ(X)% or %RESP(X)%",
    ),
    (
        &["SECRET", "FILE_CONTENT", "LOCAL_REPLY_BODY"],
        "what it tells does not belong in logs; use %RESPONSE_CODE_DETAILS% for answers of the \
         proxy's own",
    ),
    (
        &["QUERY_PARAM", "QUERY_PARAMS"],
        "use %PATH(WQ)%, in which secrets are masked",
    ),
    (
        &["COALESCE"],
        "use %REQ(X?Y)%, or %REQUESTED_SERVER_NAME(SNI_FIRST)%",
    ),
    (
        &["COMMON_DURATION", "ROUNDTRIP_DURATION"],
        "use %DURATION%, %REQUEST_DURATION%, %REQUEST_TX_DURATION%, %RESPONSE_DURATION% or \
         %RESPONSE_TX_DURATION%",
    ),
    (
        &["EMIT_TIME", "EMIT_TIME_LOCAL"],
        "use %START_TIME% and %DURATION%",
    ),
    (
        &["CONNECTION_ID", "UPSTREAM_CONNECTION_ID", "UNIQUE_ID"],
        "use %STREAM_ID%",
    ),
    (
        &["UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAME_WITHOUT_PORT"],
        "use %UPSTREAM_HOST%",
    ),
];
