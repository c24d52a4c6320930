//! Requests that ask to go on with another protocol on their connection: WebSocket and any other
//! `Upgrade`, and CONNECT with a protocol (RFC 8441), which goes on as an `Upgrade`. A CONNECT without one is
//! refused: servers that know nothing of tunnels answer it with 200 too, and would take what follows for requests
//! that nobody has judged.
//!
//! Once the endpoint has agreed, bytes are copied both ways until both have ended, and only then is
//! the request over. A changed policy ends it, and so does silence. What has gone by both ways is told of
//! as of bodies, however it ended. If the endpoint does not agree the answer goes back like any other; of
//! HTTP/1 the connection ends with it, because what follows an `Upgrade` was not looked at as HTTP.
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
use hyper::upgrade::{OnUpgrade, Upgraded};
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
    /// CONNECT without one.
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
                // What is no value of a header is no protocol, either: it is refused like an empty one.
                Some(protocol) => Wanted::Extended(
                    HeaderValue::from_str(protocol.as_str())
                        .unwrap_or_else(|_invalid| HeaderValue::from_static("")),
                ),
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
    /// requests. And a CONNECT without one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let protocol = match &self.wanted {
            Wanted::Extended(protocol) => protocol,
            Wanted::Connect => {
                let detail = "CONNECT is led nowhere: what followed it would be judged by nobody";
                let reason = Reason::NoRoute.word();
                return Err(Fault::new(404, Flag::NoRoute, reason, detail));
            }
            Wanted::Upgrade(_) | Wanted::Nothing => return Ok(()),
        };
        let named = protocol.as_bytes();
        if is_word(named) && !is_http(named) {
            return Ok(());
        }
        let detail = "`:protocol` is not one protocol, or is HTTP";
        Err(Fault::malformed(detail))
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
        let agreed = record.is_answered() && status == StatusCode::SWITCHING_PROTOCOLS;
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
        record.goes_on_with(response.status());
        let copying = copy(self.client, server, record, proxy.bounds.idle);
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

/// A connection that goes on with another protocol. Whatever ends it, its bytes are told of.
struct Going {
    record: Box<Record>,
    /// That of the client and that of the endpoint, once they can be read.
    ends: Option<(Switched, Switched)>,
}

type Switched = Active<TokioIo<Upgraded>>;

impl Drop for Going {
    fn drop(&mut self) {
        if let Some((client, _)) = &self.ends {
            self.record.carried(client.came(), client.went());
        }
    }
}

/// How such a connection ended by itself.
enum Ended {
    /// Both ways, one after the other.
    Well,
    /// The client broke it off.
    Left,
    /// The endpoint did.
    Broken(String),
}

/// Copies both ways until both have ended, policy refuses it, or nothing has gone by for so long.
async fn copy(client: OnUpgrade, server: OnUpgrade, record: Box<Record>, idle: Duration) {
    let mut going = Going { record, ends: None };
    let Going { record, ends } = &mut going;
    let activity = Activity::default();
    let fault = tokio::select! {
        ended = pass(client, server, ends, &activity) => match ended {
            Ended::Well => None,
            // That is what is said of one that is not complete.
            Ended::Left => return,
            Ended::Broken(error) => {
                let detail = format!("the endpoint broke the connection off: {error}");
                Some(Fault::new(502, Flag::Reset, Reason::UpstreamReset.word(), detail))
            }
        },
        refusal = record.refused() => Some(Fault::of(&refusal)),
        refusal = record.ended() => Some(Fault::of(&refusal)),
        () = activity.ceased(idle) => {
            let detail = format!("nothing has gone by for {idle:?}");
            Some(Fault::new(504, Flag::Idle, Reason::IdleTimeout.word(), detail))
        }
    };
    match fault {
        Some(fault) => record.fault(&fault),
        None => record.complete(),
    }
}

/// Copies both ways until both have ended, or one has broken off.
async fn pass(
    client: OnUpgrade,
    server: OnUpgrade,
    ends: &mut Option<(Switched, Switched)>,
    activity: &Activity,
) -> Ended {
    let client = async { client.await.map_err(|_left| Ended::Left) };
    let server = async {
        server
            .await
            .map_err(|error| Ended::Broken(error.to_string()))
    };
    let (client, server) = match tokio::try_join!(client, server) {
        Ok(both) => both,
        Err(ended) => return ended,
    };
    let noted = |upgraded| Active::new(TokioIo::new(upgraded), activity.clone());
    let (client, server) = ends.insert((noted(client), noted(server)));
    match copy_bidirectional(client, server).await {
        Ok(_) => Ended::Well,
        Err(error) if server.is_broken() => Ended::Broken(error.to_string()),
        Err(_) => Ended::Left,
    }
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
