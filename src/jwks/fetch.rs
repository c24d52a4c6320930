//! One fetch of the public keys of an issuer: bounded in time and size, and believed only if it is a set that
//! tokens can be verified with.
//!
//! Whoever may write a request authentication names the URL, and the control plane asks it: so nothing is
//! sent but the question, nothing of an answer is shown that is no key set, no redirect is followed, and
//! addresses of this host and of its link (where clouds have their metadata) are not asked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::is_elsewhere;
use ambit_jwt::{KeySet, KeySetError};
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::Scheme;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::keys::KeySource;

/// The longest answer that is read.
const MAX_BYTES: usize = 1 << 20;
/// How much of a location or issuer is told.
const MAX_TOLD: usize = 200;

/// Fetches keys.
pub(super) struct Fetcher {
    tls: Result<TlsConnector, String>,
    /// Whether an address may be asked.
    may_ask: fn(IpAddr) -> bool,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("`{0}` is no URL of HTTP")]
    Url(String),
    #[error("there was no complete answer within {0:?}")]
    Late(Duration),
    #[error("{0} is an address of this host or of its link, which is not asked")]
    Forbidden(IpAddr),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no connection by TLS: {0}")]
    Tls(String),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error("the answer has more than 1 MiB")]
    TooLong,
    #[error("the answer leads to `{0}`, which is not followed: name that URL")]
    Redirect(String),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the discovery document {0}")]
    Discovery(String),
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl FetchError {
    /// Every word.
    pub(super) const WORDS: [&str; 11] = [
        "url",
        "late",
        "forbidden",
        "connect",
        "tls",
        "broken",
        "too_long",
        "redirect",
        "status",
        "discovery",
        "unusable",
    ];

    /// The word for it in the metric.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Late(_) => "late",
            Self::Forbidden(_) => "forbidden",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Broken(_) => "broken",
            Self::TooLong => "too_long",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::Discovery(_) => "discovery",
            Self::Keys(_) => "unusable",
        }
    }
}

/// What is read of a discovery document.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// One that believes whom the system believes.
    pub(super) fn new() -> Self {
        let tls = system_tls().inspect_err(|error| {
            tracing::warn!(%error, "keys of issuers cannot be fetched over HTTPS");
        });
        Self {
            tls,
            may_ask: is_elsewhere,
        }
    }

    /// The keys of a source, as text that [`KeySet`] can read.
    pub(super) async fn keys(
        &self,
        source: &KeySource,
        patience: Duration,
    ) -> Result<Arc<str>, FetchError> {
        let fetched = tokio::time::timeout(patience, Box::pin(self.all(source)));
        let fetched = fetched.await;
        fetched.map_err(|_elapsed| FetchError::Late(patience))?
    }

    async fn all(&self, source: &KeySource) -> Result<Arc<str>, FetchError> {
        let first = url(&source.url())?;
        let uri = match source {
            KeySource::Uri(_) => first,
            KeySource::Issuer(issuer) => self.discover(issuer, &first).await?,
        };
        let body = self.get(&uri).await?;
        let text = std::str::from_utf8(&body).map_err(|_no_text| KeySetError::Form)?;
        KeySet::parse(text)?;
        Ok(text.into())
    }

    /// Where an issuer says that its keys are.
    async fn discover(&self, issuer: &str, document: &Uri) -> Result<Uri, FetchError> {
        let body = self.get(document).await?;
        let found: Discovered = serde_json::from_slice(&body)
            .map_err(|_wrong| FetchError::Discovery("has no issuer and jwks_uri".to_owned()))?;
        if found.issuer != issuer {
            let what = format!("is of the issuer `{}`", told(&found.issuer));
            return Err(FetchError::Discovery(what));
        }
        let uri = url(&found.jwks_uri)?;
        if document.scheme() == Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTPS) {
            let what = format!("leads away from HTTPS, to `{}`", told(&found.jwks_uri));
            return Err(FetchError::Discovery(what));
        }
        Ok(uri)
    }

    async fn get(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = self.connect(host, port).await?;
        if !is_tls {
            return Box::pin(exchange(stream, uri)).await;
        }
        let tls = self.tls.as_ref();
        let tls = tls.map_err(|error| FetchError::Tls(error.clone()))?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| FetchError::Tls(error.to_string()))?;
        let secured = tls.connect(name, stream).await;
        let secured = secured.map_err(|error| FetchError::Tls(error.to_string()))?;
        Box::pin(exchange(secured, uri)).await
    }

    /// A connection to the first address that may be asked and answers.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, FetchError> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> = found.map_err(FetchError::Connect)?.collect();
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut last = FetchError::Connect(none());
        for address in found {
            if !(self.may_ask)(address.ip()) {
                last = FetchError::Forbidden(address.ip());
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = FetchError::Connect(error),
            }
        }
        Err(last)
    }
}

/// Asks over a connection, and reads the answer.
async fn exchange<S>(stream: S, uri: &Uri) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| FetchError::Broken(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "ambit")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| FetchError::Url(error.to_string()))?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        body(answer).await
    };
    // What the connection comes to is seen by who asks.
    let driving = async {
        drop(connection.await);
        std::future::pending::<Result<Bytes, FetchError>>().await
    };
    tokio::select! {
        asked = asking => asked,
        never = driving => never,
    }
}

async fn body(answer: Response<Incoming>) -> Result<Bytes, FetchError> {
    let status = answer.status();
    if status.is_redirection() {
        let to = answer.headers().get(LOCATION);
        let to = to.map_or("", |to| to.to_str().unwrap_or_default());
        return Err(FetchError::Redirect(told(to)));
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status(status));
    }
    let read = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    match read {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong),
        Err(error) => Err(FetchError::Broken(error.to_string())),
    }
}

/// A URL that can be asked: of HTTP, with a host and without credentials.
fn url(text: &str) -> Result<Uri, FetchError> {
    let wrong = || FetchError::Url(told(text));
    let uri: Uri = text.parse().map_err(|_invalid| wrong())?;
    let is_http = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (is_http && has_host && !authority.contains('@'))
        .then_some(uri)
        .ok_or_else(wrong)
}

fn told(text: &str) -> String {
    text.chars().take(MAX_TOLD).collect()
}

/// TLS towards servers that the system's roots vouch for.
fn system_tls() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("the system has no roots (see SSL_CERT_FILE)".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
pub(super) mod tests;
