//! What it takes to open a stream, and what comes of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_identity::{Credential, HandshakeFailure, Trust};
use ambit_model::SpiffeId;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use tokio::net::TcpStream;

use crate::stream::Stream;

/// Whose connections may be shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Kubernetes' uid of the pod that opens.
    pub source_pod: Arc<str>,
    /// Kubernetes' uid of the pod that is meant: addresses and names are used again.
    pub destination_pod: Arc<str>,
    /// Where to connect.
    pub to: SocketAddr,
    /// Who may be there.
    pub expected: Arc<[SpiffeId]>,
}

/// What a tunnel is made from.
#[derive(Debug)]
pub struct Dialled {
    /// A connection to [`Key::to`].
    pub tcp: TcpStream,
    /// Who opens.
    pub credential: Arc<Credential>,
    /// Whom we believe.
    pub trust: Arc<Trust>,
}

/// What is asked of the far end.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Where the far end should connect to, `ip:port` or `name:port`.
    pub authority: String,
    /// Request headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

/// Why there is no TCP connection to open a tunnel on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// The opening pod has no valid certificate.
    #[error("no certificate: {0}")]
    NoCertificate(String),
    /// No socket was at hand.
    #[error("no socket to connect with")]
    OutOfSockets,
    /// Too many handshakes of this pod are under way.
    #[error("too many handshakes of this pod are under way")]
    HandshakeLimit,
    /// Nobody listens there.
    #[error("connection to {0} refused: nobody listens there")]
    Refused(SocketAddr),
    /// Nobody has answered.
    #[error("connection to {0} timed out")]
    Timeout(SocketAddr),
    /// Anything else.
    #[error("connection to {0} failed: {1}")]
    Failed(SocketAddr, Arc<io::Error>),
}

impl DialError {
    /// Classifies what the socket says.
    pub fn from_io(to: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(to),
            io::ErrorKind::TimedOut => Self::Timeout(to),
            _ => Self::Failed(to, Arc::new(error)),
        }
    }

    /// The reason word of logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoCertificate(_) => "no_certificate",
            Self::OutOfSockets => "out_of_sockets",
            Self::HandshakeLimit => "handshake_limit",
            Self::Refused(_) => "connect_refused",
            Self::Timeout(_) => "connect_timeout",
            Self::Failed(..) => "connect_failed",
        }
    }
}

/// Why there is no stream.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The caller's request cannot be written as HTTP.
    #[error("the request cannot be written: {0}")]
    BadAsk(String),
    /// There is no TCP connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The two sides did not come to trust each other.
    #[error(transparent)]
    Handshake(#[from] HandshakeFailure),
    /// The far end has answered with something other than 200.
    #[error("the far end refuses with status {status}")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The tunnel ended before the answer.
    #[error("the tunnel ended before the answer: {0}")]
    Closed(String),
    /// The far end did not answer in time.
    #[error("the far end did not answer in time")]
    Timeout,
}

impl OpenError {
    /// The reason word of logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::BadAsk(_) => "bad_request",
            Self::Dial(error) => error.word(),
            Self::Handshake(failure) => failure.word(),
            Self::Refused { .. } => "peer_refused",
            Self::Closed(_) => "connect_failed",
            Self::Timeout => "connect_timeout",
        }
    }
}

/// A stream, and what is known about its far end.
#[derive(Debug)]
pub struct Opened {
    /// The stream.
    pub stream: Stream,
    /// Who is at the far end.
    pub peer: SpiffeId,
    /// What the far end says about itself.
    pub baggage: Option<String>,
    /// Whether the connection was there already.
    pub reused: bool,
}

/// The CONNECT request (RFC 9113 section 8.5).
pub(crate) fn request_of(ask: &Ask) -> Result<Request<()>, OpenError> {
    let bad = |error: http::Error| OpenError::BadAsk(error.to_string());
    let authority =
        Authority::try_from(ask.authority.as_str()).map_err(|error| bad(error.into()))?;
    let uri = Uri::builder().authority(authority).build().map_err(bad)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    for (name, value) in &ask.headers {
        let name = HeaderName::try_from(*name).map_err(|error| bad(error.into()))?;
        let value = HeaderValue::try_from(value).map_err(|error| bad(error.into()))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}
