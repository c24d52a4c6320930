//! A connection of a client, from its first byte: which protocol it speaks, and on from there.
//!
//! Where the port does not say, the first bytes do. A protocol in which the server speaks first is
//! not kept waiting: while the client says nothing an endpoint is connected to, and if that begins
//! to speak, the connection is passed on as it is.

mod peeked;

use std::io;
use std::sync::Arc;

use ambit_tunnel::Pipe;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

pub(crate) use self::peeked::Peeked;
use crate::call::Call;
use crate::http::serve;
use crate::protocol::{Protocol, Sniffed, of_port, sniff};
use crate::proxy::Proxy;
use crate::tcp::{self, Way};

/// First bytes that are read at once.
const FIRST: usize = 4096;

/// Serves a connection to its end.
pub(crate) async fn serve(proxy: &Arc<Proxy>, call: Arc<Call>, mut client: Pipe) {
    let told = call
        .service()
        .and_then(|(_, port)| of_port(port.app_protocol));
    if let Some(protocol) = told {
        let client = Peeked::new(Default::default(), client);
        return speak(proxy, &call, protocol, client).await;
    }
    match Box::pin(first_bytes(proxy, &call, &mut client)).await {
        Ok(First::Client(protocol, bytes)) => {
            let client = Peeked::new(bytes.freeze(), client);
            speak(proxy, &call, protocol, client).await;
        }
        Ok(First::Server(way)) => {
            let client = Peeked::new(Default::default(), client);
            tcp::carry(&call, client, way).await;
        }
        Err(error) => {
            tracing::debug!(client = %call.client.address, %error, "a client left without a word");
        }
    }
}

/// Who spoke first.
enum First {
    /// The client, in this protocol, so far.
    Client(Protocol, BytesMut),
    /// The endpoint.
    Server(Way),
}

async fn first_bytes(proxy: &Proxy, call: &Call, client: &mut Pipe) -> io::Result<First> {
    let at_hand = client.fill_buf().now_or_never().is_some();
    if !at_hand {
        let endpoint = async {
            let mut way = tcp::way(proxy, call, None).await.ok()?;
            way.link.fill_buf().await.ok()?;
            Some(way)
        };
        tokio::select! {
            came = client.fill_buf() => drop(came?),
            Some(way) = endpoint => return Ok(First::Server(way)),
        }
    }
    let mut bytes = BytesMut::with_capacity(FIRST);
    loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(First::Client(Protocol::Tcp, bytes));
        }
        if let Sniffed::Is(protocol) = sniff(&bytes) {
            return Ok(First::Client(protocol, bytes));
        }
    }
}

async fn speak(proxy: &Arc<Proxy>, call: &Arc<Call>, protocol: Protocol, client: Peeked<Pipe>) {
    match protocol {
        Protocol::Http1 => serve::http1(proxy, call, client).await,
        Protocol::Http2 => serve::http2(proxy, call, client).await,
        Protocol::Tls | Protocol::Tcp => tcp::serve(proxy, call, client).await,
    }
}
