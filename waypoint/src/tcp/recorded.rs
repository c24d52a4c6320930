//! A connection that is passed on, with what is told of it: bytes are counted as they go by, and
//! dropping it writes it down.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ambit_decide::{Reason, Refusal};
use ambit_kit::clock;
use ambit_telemetry::{Connection, Ends, Passage};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Way;
use super::line::ConnectionLine;
use crate::call::Call;
use crate::proxy::Proxy;
use crate::request::Target;
use crate::upstream::link::HBONE_PORT;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Recorded<'p, C> {
    connection: C,
    record: Record<'p>,
}

#[derive(Debug)]
struct Record<'p> {
    proxy: &'p Proxy,
    call: &'p Call,
    ends: Ends,
    tunnel: Option<SocketAddr>,
    upstream: SocketAddr,
    to: Target,
    server_name: Option<String>,
    began: Instant,
    passage: Option<Passage>,
    /// It came to an end by itself, or by this error.
    ended: Option<io::Result<()>>,
    /// It is ended by policy.
    refused: Option<Refusal>,
}

impl<'p, C> Recorded<'p, C> {
    /// The connection of this call is about to be passed on.
    pub(super) fn new(proxy: &'p Proxy, call: &'p Call, way: &Way, connection: C) -> Self {
        let destination = &way.chosen.destination;
        let ends = Ends {
            service: way.service.clone(),
            destination: destination.told(),
            destination_id: destination.identity.clone(),
            ..call.ends()
        };
        let direct = || SocketAddr::new(destination.address.ip(), HBONE_PORT);
        let far = || destination.via.as_ref().map_or_else(direct, |via| via.to);
        let tunnel = destination.is_tunnelled().then(far);
        let passage = opened(proxy, call, way, &ends);
        let record = Record {
            proxy,
            call,
            passage: Some(passage),
            ends,
            tunnel,
            upstream: destination.address,
            to: way.to.clone(),
            server_name: way.server_name.clone(),
            began: clock::now(),
            ended: None,
            refused: None,
        };
        Self { connection, record }
    }

    /// Both ways have ended, or one broke.
    pub(super) fn ended(&mut self, how: io::Result<()>) {
        self.record.ended = Some(how);
    }

    /// It is ended for this reason.
    pub(super) fn refused(&mut self, why: Refusal) {
        self.record.refused = Some(why);
    }
}

/// Counts its beginning. Labels of a user's own making have what is known then.
fn opened(proxy: &Proxy, call: &Call, way: &Way, ends: &Ends) -> Passage {
    let tellings = &proxy.tellings;
    let telling = tellings.of(call.service().map(|(service, _)| &service.name));
    let connection = Connection {
        direction: "waypoint",
        ends,
        source: call.client.address,
        forwarded: None,
        destination: call.destination,
        host: None,
        tunnel: None,
        sent: 0,
        received: 0,
        duration: Duration::ZERO,
        refusal: None,
        error: None,
    };
    let values = telling.values(|| {
        let line = ConnectionLine::new(&connection, &tellings.hostname);
        let line = line.asking_for(way.server_name.as_deref());
        line.carried(way.chosen.destination.address, &way.to)
    });
    proxy.telemetry.opened(ends, telling.shaped(&values))
}

impl Record<'_> {
    fn towards(&self, bytes: usize) {
        if let Some(passage) = &self.passage {
            passage.towards(bytes as u64);
        }
    }

    fn back(&self, bytes: usize) {
        if let Some(passage) = &self.passage {
            passage.back(bytes as u64);
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let Some(passage) = self.passage.take() else {
            return;
        };
        let (sent, received) = passage.carried();
        let error = match &self.ended {
            Some(Err(error)) => Some(error.to_string()),
            _ => None,
        };
        let drained = || Refusal::new(Reason::Draining, "still open at the end of the drain");
        let refusal = self.refused.take();
        let refusal = refusal.or_else(|| self.ended.is_none().then(drained));
        let connection = Connection {
            direction: "waypoint",
            ends: &self.ends,
            source: self.call.client.address,
            forwarded: None,
            destination: self.call.destination,
            host: None,
            tunnel: self.tunnel,
            sent,
            received,
            duration: clock::now().duration_since(self.began),
            refusal: refusal.as_ref(),
            error: error.as_deref(),
        };
        let tellings = &self.proxy.tellings;
        let service = self.call.service().map(|(service, _)| &service.name);
        let line = tellings.of(service).line(|| {
            let line = ConnectionLine::new(&connection, &tellings.hostname);
            let line = line.asking_for(self.server_name.as_deref());
            line.carried(self.upstream, &self.to)
        });
        self.proxy.telemetry.closed(passage, &connection, line);
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Recorded<'_, C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.connection).poll_read(cx, buffer);
        self.record.towards(buffer.filled().len() - before);
        polled
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Recorded<'_, C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.connection).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.record.back(*written);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.connection).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(written)) = &polled {
            self.record.back(*written);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
