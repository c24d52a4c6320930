//! A connection of a client, from its first byte: which protocol it speaks, and on from there.
//!
//! Where the port does not say, the first bytes do. A protocol in which the server speaks first is
//! not kept waiting: where the client says nothing at first an endpoint is connected to, and if that
//! begins to speak, the connection is passed on as it is. The same is done where the port does say, but
//! a policy asks for the server name of connections: it must not be evaded by who is slow to tell it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::Refusal;
use ambit_model::AppProtocol;
use tokio::io::AsyncBufReadExt as _;
use tokio::time::{sleep, timeout};

use crate::call::Call;
use crate::connection::{Connection, fill_more};
use crate::http::serve;
use crate::protocol::{Protocol, Sniffed, is_settings, of_port, sniff};
use crate::proxy::Proxy;
use crate::request::authenticate::holds_for;
use crate::tcp::{self, Begins, Way};
use crate::view::Routes;

/// How long a client may take for its first byte before an endpoint is connected to. Its agent sends
/// on what it said no sooner than we have let it in.
const GRACE: Duration = Duration::from_millis(20);

/// Serves a connection to its end.
pub(crate) async fn serve(proxy: &Arc<Proxy>, call: Arc<Call>, mut client: Connection) {
    let heard = match told(proxy, &call) {
        Told::Is(Protocol::Tcp) if proxy.view().policies.ask_for_server_name() => {
            Box::pin(first_bytes(proxy, &call, &mut client, true)).await
        }
        Told::Is(protocol) => Ok(First::Nobody(protocol)),
        Told::Requests => {
            let seen = client_speaks(proxy, &mut client).await;
            seen.map(|seen| First::Client(for_requests(seen)))
        }
        Told::Nothing => Box::pin(first_bytes(proxy, &call, &mut client, false)).await,
    };
    let (protocol, begins) = match heard {
        Ok(First::Client(protocol)) => (protocol, Begins::Heard),
        Ok(First::Nobody(protocol)) => (protocol, Begins::Unheard),
        Ok(First::Server(way)) => return tcp::carry(proxy, &call, client, *way).await,
        Ok(First::Refused(refusal)) => return proxy.cut(&call, &refusal),
        Err(error) => {
            tracing::debug!(client = %call.client.address, %error, "a client left without a word");
            return;
        }
    };
    Box::pin(speak(proxy, &call, protocol, begins, client)).await;
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
    // What is no request shows no token, and is read by no one who would see that, or who says that he is somebody
    // else: where tokens are judged, or servers are told of clients, only a port that says so is for anything else.
    let tells_clients = || {
        let service = call.service().map(|(service, _)| &service.name);
        proxy.tellings.of(service).client_identity
    };
    let unless_judged = || match holds_for(&proxy.view(), call) || tells_clients() {
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
    /// Nobody was waited for: the port says that it is this protocol.
    Nobody(Protocol),
    /// Nobody, and for this reason there is no endpoint that could.
    Refused(Refusal),
}

/// Waits for the first to speak, who may be the server; on a port of requests or of anything, or on one that
/// says that it is of neither requests nor TLS.
async fn first_bytes(
    proxy: &Arc<Proxy>,
    call: &Call,
    client: &mut Connection,
    is_raw: bool,
) -> io::Result<First> {
    let at_once = timeout(GRACE, client.fill_buf()).await;
    if at_once.is_err() {
        let endpoint = endpoint_speaks(proxy, call, is_raw);
        tokio::select! {
            came = client.fill_buf() => drop(came?),
            Some(first) = endpoint => return Ok(first),
        }
    }
    match is_raw {
        true => Ok(First::Client(Protocol::Tcp)),
        false => client_speaks(proxy, client).await.map(First::Client),
    }
}

/// Waits for an endpoint to speak; for nothing if the client has to.
async fn endpoint_speaks(proxy: &Arc<Proxy>, call: &Call, is_raw: bool) -> Option<First> {
    let mut way = match tcp::way_ahead(proxy, call).await {
        Ok(way) => way,
        // There may be one for the name that the client has not told yet.
        Err(refusal) if is_raw => {
            sleep(tcp::HELLO).await;
            return Some(First::Refused(refusal));
        }
        Err(_) => return None,
    };
    let limits = way.limits;
    // One that nobody says anything on is ended as if it were passed on.
    let is_for_client = match limits.unless_reached(way.link.fill_buf()).await {
        Some(heard) if !is_raw => is_settings(heard.ok()?),
        _ => false,
    };
    (!is_for_client).then(|| First::Server(Box::new(way)))
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

async fn speak(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    protocol: Protocol,
    begins: Begins,
    client: Connection,
) {
    match protocol {
        Protocol::Http1 => serve::http1(proxy, call, client).await,
        Protocol::Http2 => Box::pin(serve::http2(proxy, call, client)).await,
        Protocol::Tls => tcp::serve(proxy, call, client, Begins::Tls).await,
        Protocol::Tcp => tcp::serve(proxy, call, client, begins).await,
    }
}

#[cfg(test)]
mod tests;
