//! A listener without tunnels, whose connections are all for one service: what measures this proxy
//! beside others needs it, for they are measured without tunnels too. Who calls has no identity.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_kit::clock;
use ambit_telemetry::Ends;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

use crate::call::{Call, Client, asked_for};
use crate::connection::Plain;
use crate::gauges::STREAM;
use crate::proxy::Proxy;
use crate::room::ClientSlot;
use crate::stream;

/// Where it listens, and the address of the service it is for: `LISTEN=DESTINATION`.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Where connections are taken.
    pub at: SocketAddr,
    /// Where they go, as if their clients had asked for it.
    pub destination: SocketAddr,
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| part.parse().map_err(|error| format!("`{part}`: {error}"));
        let (at, destination) = text.split_once('=').ok_or("not LISTEN=DESTINATION")?;
        Ok(Self {
            at: parse(at)?,
            destination: parse(destination)?,
        })
    }
}

/// Accepts until told to stop.
pub(crate) async fn listen(proxy: Arc<Proxy>, listener: TcpListener, destination: SocketAddr) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = proxy.tasks.token().cancelled_owned() => return,
        };
        let Ok((tcp, from)) = accepted else { return };
        let Some(place) = proxy.room.take(from.ip()) else {
            continue;
        };
        if let Err(refusal) = proxy.pressure.check() {
            proxy.refused(&Ends::default(), from, destination, &refusal);
            continue;
        }
        let (proxy, tasks) = (Arc::clone(&proxy), proxy.tasks.clone());
        drop(tasks.spawn(STREAM, async move {
            take(&proxy, tcp, from, destination, place).await;
        }));
    }
}

async fn take(
    proxy: &Arc<Proxy>,
    tcp: TcpStream,
    from: SocketAddr,
    destination: SocketAddr,
    place: ClientSlot,
) {
    let (workload, presence) = proxy.callers.find(from.ip()).await;
    let client = Client {
        address: from,
        workload,
        is_waypoint: false,
        waypoints: 0,
        _presence: presence,
        identity: None,
    };
    match asked_for(&proxy.view(), None, destination, clock::now()) {
        Ok((asked, tie)) => {
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%from, %error, "a client left at once");
                return;
            }
            let call = Call {
                client,
                asked,
                destination,
                tie,
                holder: proxy.pressure.holders().open(from.ip(), None),
                _place: Some(place),
            };
            let connection = Either::Right(Plain::new(tcp));
            Box::pin(stream::serve(proxy, Arc::new(call), connection)).await;
        }
        Err(refusal) => proxy.refused(&client.ends(), from, destination, &refusal),
    }
}
