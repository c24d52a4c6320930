//! A connection of a client, from its first byte: which protocol it speaks, and on from there.
//!
//! Where the port does not say, the first bytes do. A protocol in which the server speaks first is
//! not kept waiting: where the client says nothing at first an endpoint is connected to, and if that
//! begins to speak, the connection is passed on as it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::AppProtocol;
use tokio::io::AsyncBufReadExt as _;
use tokio::time::timeout;

use crate::call::Call;
use crate::connection::{Connection, fill_more};
use crate::http::serve;
use crate::protocol::{Protocol, Sniffed, is_settings, of_port, sniff};
use crate::proxy::Proxy;
use crate::request::authenticate::holds_for;
use crate::tcp::{self, Way};
use crate::view::{Routes, View};

/// How long a client may take for its first byte before an endpoint is connected to. Its agent sends
/// on what it said no sooner than we have let it in.
const GRACE: Duration = Duration::from_millis(20);

/// Serves a connection to its end.
pub(crate) async fn serve(proxy: &Arc<Proxy>, call: Arc<Call>, mut client: Connection) {
    let heard = match told(proxy, &call) {
        Told::Is(protocol) => Ok(First::Client(protocol)),
        Told::Requests => {
            let seen = client_speaks(proxy, &mut client).await;
            seen.map(|seen| First::Client(for_requests(seen)))
        }
        Told::Nothing => Box::pin(first_bytes(proxy, &call, &mut client)).await,
    };
    match heard {
        Ok(First::Client(protocol)) => Box::pin(speak(proxy, &call, protocol, client)).await,
        Ok(First::Server(way)) => tcp::carry(proxy, &call, client, *way).await,
        Err(error) => {
            tracing::debug!(client = %call.client.address, %error, "a client left without a word");
        }
    }
}

/// What is known before the first byte.
enum Told {
    /// The protocol.
    Is(Protocol),
    /// That the port is for requests. Clients choose the version.
    Requests,
    /// Nothing.
    Nothing,
}

/// What the port says, or else the kind of the routes that its own namespace has written for it.
fn told(proxy: &Proxy, call: &Call) -> Told {
    // What is no request shows no token, and is read by no one who would see that: where tokens are judged, only a
    // port that says so is for anything else.
    let unless_judged = || match holds_for(&proxy.view(), call) {
        true => Told::Requests,
        false => Told::Nothing,
    };
    let Some((_, port)) = call.service() else {
        return unless_judged();
    };
    if let Some(protocol) = of_port(port.app_protocol) {
        return Told::Is(protocol);
    }
    if port.app_protocol != AppProtocol::Unknown {
        return Told::Requests;
    }
    let view = proxy.view();
    // What a client's own namespace has written says where a connection goes. Did it say that it is no HTTP,
    // requests would pass unread.
    match call.service_routes(&view) {
        Some(Routes::Tcp(_)) => Told::Is(Protocol::Tcp),
        Some(Routes::Tls(_)) => Told::Is(Protocol::Tls),
        Some(Routes::Http(_)) => Told::Requests,
        None | Some(Routes::Unusable) => match call.routes(&view).as_deref() {
            Some(Routes::Http(_)) => Told::Requests,
            _ => unless_judged(),
        },
    }
}

/// Whether tokens are judged of what comes on a connection, and nothing says that it is for anything but requests.
pub(crate) fn is_for_tokens(view: &View, call: &Call) -> bool {
    let port = call.service().map(|(_, port)| port.app_protocol);
    let says = port.is_some_and(|protocol| of_port(protocol).is_some());
    let is_passed_on = || {
        let routes = call.service_routes(view);
        matches!(routes, Some(Routes::Tcp(_) | Routes::Tls(_)))
    };
    !says && holds_for(view, call) && !is_passed_on()
}

/// A client that sends something else where requests are what the port is for is refused, and not
/// passed on: it would have a way around routes, and around what is malformed.
fn for_requests(seen: Protocol) -> Protocol {
    match seen {
        Protocol::Tcp | Protocol::Tls => Protocol::Http1,
        seen => seen,
    }
}

/// Who spoke first.
enum First {
    /// The client, in this protocol.
    Client(Protocol),
    /// The endpoint.
    Server(Box<Way>),
}

/// Waits for the first to speak, who may be the server.
async fn first_bytes(
    proxy: &Arc<Proxy>,
    call: &Call,
    client: &mut Connection,
) -> io::Result<First> {
    let at_once = timeout(GRACE, client.fill_buf()).await;
    if at_once.is_err() {
        let endpoint = async {
            let mut way = tcp::way_ahead(proxy, call).await.ok()?;
            let limits = way.limits;
            // One that nobody says anything on is ended as if it were passed on.
            let Some(heard) = limits.unless_reached(way.link.fill_buf()).await else {
                return Some(way);
            };
            let is_http2 = is_settings(heard.ok()?);
            (!is_http2).then_some(way)
        };
        tokio::select! {
            came = client.fill_buf() => drop(came?),
            Some(way) = endpoint => return Ok(First::Server(Box::new(way))),
        }
    }
    client_speaks(proxy, client).await.map(First::Client)
}

/// What the client speaks, by its first bytes; they stay where they are.
async fn client_speaks(proxy: &Proxy, client: &mut Connection) -> io::Result<Protocol> {
    let seen = async {
        loop {
            if let Sniffed::Is(protocol) = sniff(client.fill_buf().await?) {
                return io::Result::Ok(protocol);
            }
            if !fill_more(client).await? {
                return Ok(Protocol::Tcp);
            }
        }
    };
    // Half a line of HTTP, for so long, is something else.
    let seen = timeout(proxy.bounds.patience.head, seen).await;
    seen.unwrap_or(Ok(Protocol::Tcp))
}

async fn speak(proxy: &Arc<Proxy>, call: &Arc<Call>, protocol: Protocol, client: Connection) {
    match protocol {
        Protocol::Http1 => serve::http1(proxy, call, client).await,
        Protocol::Http2 => Box::pin(serve::http2(proxy, call, client)).await,
        Protocol::Tls | Protocol::Tcp => {
            let is_tls = protocol == Protocol::Tls;
            tcp::serve(proxy, call, client, is_tls).await;
        }
    }
}

#[cfg(test)]
mod tests;
