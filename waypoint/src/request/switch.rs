//! Requests that ask to go on with another protocol on their connection: WebSocket and any other
//! `Upgrade`, CONNECT, and CONNECT with a protocol (RFC 8441), which goes on as an `Upgrade`.
//!
//! Once the endpoint has agreed, bytes are copied both ways until both have ended, and only then is
//! the request over. A changed policy ends it, and so does silence. If it does not agree the answer goes back like any other; of HTTP/1 the
//! connection ends with it, because what follows an `Upgrade` was not looked at as HTTP.
//!
//! Tasks: "switched", one per connection that goes on so, and "refused switch", one per connection
//! that ends so; they end with the connection.

use std::sync::Arc;
use std::time::Duration;

use ambit_decide::Reason;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};

use super::local::{Fault, Flag};
use super::record::Record;
use crate::http::activity::{Active, Activity};
use crate::http::body::Body;
use crate::proxy::Proxy;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// `Upgrade`, to what it names.
    Upgrade(HeaderValue),
    /// CONNECT with a protocol.
    Extended(HeaderValue),
    /// CONNECT.
    Connect,
    /// `Upgrade`, to nothing that is passed on.
    Nothing,
}

/// A client that asks to go on with another protocol.
#[derive(Debug)]
pub(super) struct Switch {
    wanted: Wanted,
    client: OnUpgrade,
    is_http1: bool,
}

impl Switch {
    /// What a request asks for, if it asks for that.
    pub(super) fn asked(request: &mut Request<Incoming>) -> Option<Self> {
        let is_http1 = request.version() <= Version::HTTP_11;
        let wanted = if request.method() == Method::CONNECT {
            match request.extensions().get::<Protocol>() {
                None => Wanted::Connect,
                Some(protocol) => Wanted::Extended(HeaderValue::from_str(protocol.as_str()).ok()?),
            }
        } else if is_http1 && request.headers().contains_key(UPGRADE) {
            let protocol = upgrade(request.headers());
            protocol.map_or(Wanted::Nothing, |protocol| {
                Wanted::Upgrade(protocol.clone())
            })
        } else {
            return None;
        };
        let client = hyper::upgrade::on(request);
        Some(Self {
            wanted,
            client,
            is_http1,
        })
    }

    /// Refuses a protocol that would be several to the endpoint, or HTTP once more: nobody would look at its
    /// requests.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let Wanted::Extended(protocol) = &self.wanted else {
            return Ok(());
        };
        let named = protocol.as_bytes();
        if is_word(named) && !is_http(named) {
            return Ok(());
        }
        let detail = "`:protocol` is not one protocol, or is HTTP";
        let word = Reason::MalformedRequest.word();
        Err(Fault::new(400, Flag::Malformed, word, detail))
    }

    /// Whether an endpoint is asked to agree.
    pub(super) fn is_passed_on(&self) -> bool {
        self.wanted != Wanted::Nothing
    }

    /// Puts into the head what the endpoint is asked for, after what belongs to one hop has gone.
    pub(super) fn ask(&self, head: &mut http::request::Parts) {
        let protocol = match &self.wanted {
            Wanted::Upgrade(protocol) => protocol,
            Wanted::Extended(protocol) => {
                head.method = Method::GET;
                if let Ok(key) = HeaderValue::try_from(key()) {
                    head.headers.insert(KEY, key);
                }
                protocol
            }
            Wanted::Connect | Wanted::Nothing => return,
        };
        head.headers.insert(UPGRADE, protocol.clone());
        let upgrade = HeaderValue::from_static("upgrade");
        head.headers.insert(CONNECTION, upgrade);
    }

    /// Goes on as the endpoint has answered.
    pub(super) fn answer(
        self,
        proxy: &Arc<Proxy>,
        mut response: Response<Body>,
        mut record: Box<Record>,
    ) -> Response<Body> {
        let status = response.status();
        // An answer of our own may be a 200 that says no, to a client of gRPC.
        let agreed = record.is_answered()
            && match self.wanted {
                Wanted::Connect => status.is_success(),
                _ => status == StatusCode::SWITCHING_PROTOCOLS,
            };
        if !agreed {
            if self.is_http1 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
                drop(proxy.tasks.spawn("refused switch", end(self.client)));
            }
            return record.watch(response);
        }
        let server = hyper::upgrade::on(&mut response);
        match self.wanted {
            Wanted::Upgrade(protocol) => {
                let headers = response.headers_mut();
                headers.entry(UPGRADE).or_insert(protocol);
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Wanted::Extended(_) => {
                *response.status_mut() = StatusCode::OK;
                response.headers_mut().remove(ACCEPT);
            }
            Wanted::Connect | Wanted::Nothing => {}
        }
        record.answer(&response);
        let status = response.status();
        let idle = proxy.bounds.idle;
        let copying = copy(self.client, server, record, status, idle);
        drop(proxy.tasks.spawn("switched", copying));
        response.map(|_| Body::empty())
    }
}

/// Ends a connection behind the answer. The parser hands it out where an `Upgrade` was asked for,
/// and would drop it with the answer half sent.
async fn end(client: OnUpgrade) {
    if let Ok(client) = client.await
        && let Err(error) = TokioIo::new(client).shutdown().await
    {
        tracing::debug!(%error, "a client left before its answer");
    }
}

/// Copies both ways until both have ended, policy refuses it, or nothing has gone by for so long.
async fn copy(
    client: OnUpgrade,
    server: OnUpgrade,
    mut record: Box<Record>,
    status: StatusCode,
    idle: Duration,
) {
    let activity = Activity::default();
    let both = async {
        let (client, server) = tokio::try_join!(client, server)?;
        let mut client = Active::new(TokioIo::new(client), activity.clone());
        let mut server = TokioIo::new(server);
        let copied = copy_bidirectional(&mut client, &mut server).await;
        Ok::<_, hyper::Error>(copied)
    };
    let (refused, ended) = (record.refused(), record.ended());
    let received = tokio::select! {
        copied = both => match copied {
            Ok(Ok((_, received))) => Some(received),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection that was switched broke");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be switched");
                None
            }
        },
        refusal = refused => {
            record.fault(&Fault::of(&refusal));
            None
        }
        refusal = ended => {
            record.fault(&Fault::of(&refusal));
            None
        }
        () = activity.ceased(idle) => {
            tracing::debug!("a connection that was switched had no byte for long");
            None
        }
    };
    record.switched(status, received);
}

/// The protocol of an `Upgrade` that is asked for. HTTP is none: we speak that ourselves.
fn upgrade(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut connection = headers.get_all(CONNECTION).iter();
    let is_asked = connection.any(|value| {
        let words = value.as_bytes().split(|byte| *byte == b',');
        let mut words = words.map(<[u8]>::trim_ascii);
        words.any(|word| word.eq_ignore_ascii_case(b"upgrade"))
    });
    let protocol = headers.get(UPGRADE)?;
    let mut named = protocol.as_bytes().split(|byte| *byte == b',');
    (is_asked && !named.any(|name| is_http(name.trim_ascii()))).then_some(protocol)
}

/// Whether a protocol, with its version or without, is HTTP.
fn is_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next();
    let name = name.unwrap_or_default().trim_ascii();
    let mut all = ["h2c", "h2", "h3", "http"].iter();
    all.any(|http| name.eq_ignore_ascii_case(http.as_bytes()))
}

/// Whether it is the name of a protocol and its version, and nothing else.
fn is_word(text: &[u8]) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    !text.is_empty() && text.iter().all(is_of_word)
}

/// A random key of a WebSocket's handshake: 16 bytes in base64 (RFC 6455, 4.1).
fn key() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let random = rand::random::<u128>();
    let digit = |bits: u128| {
        let place = usize::try_from(bits & 0x3f).unwrap_or_default();
        char::from(ALPHABET.get(place).copied().unwrap_or(b'A'))
    };
    let digits = (0..21).map(|place| digit(random >> (2 + 6 * place)));
    // The last digit has two bits of the key and four zeros.
    let last = digit((random & 3) << 4);
    digits.chain([last, '=', '=']).collect()
}

#[cfg(test)]
mod tests;
