//! Requests that share a connection with others: HTTP/2.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use tokio::sync::oneshot;

use super::key::Key;
use super::refused::TrySend;
use super::{HttpPool, Lease, On, SendError, Use, begin, in_time};
use crate::http::body::Body;
use crate::outside::tls::Inner as Spoken;
use crate::upstream::make::ConnectError;
use crate::upstream::shared::{Bounds, Dial, Found, Held, Slot, StreamSlot};
use crate::view::{Destination, Occupied, Terms};

impl HttpPool {
    pub(super) async fn send_among(
        &self,
        to: &Arc<Destination>,
        client: IpAddr,
        request: Request<Body>,
        on: On<'_>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let On { fresh, terms, .. } = on;
        let slot = self
            .inner
            .shared
            .slot(&Key::of(&self.inner.maker, to, terms));
        let share = slot.share(client);
        let share = share.ok_or(ConnectError::Full(to.address))?;
        let bounds = Bounds::of(terms);
        let newer_than = if fresh { slot.made() } else { 0 };
        let (mut sender, place, reused) = match slot.find(newer_than, bounds) {
            Found::Place(sender, place) => (sender, place, true),
            found => {
                let pending = terms.map(|terms| terms.flow.pool.pending());
                if matches!(pending, Some(None)) {
                    // It is the turn of one of those who wait.
                    if let Found::Dial(dial) = found {
                        dial.left();
                    }
                    return Err(ConnectError::Pending(to.address).into());
                }
                let wanted = (newer_than, bounds);
                Box::pin(self.place(found, &slot, (to, on), wanted)).await?
            }
        };
        on.meets();
        let held = Held::new(place, share, terms.and_then(|terms| terms.bell()));
        // The endpoint may answer before it has read all.
        let request = request.map(|body| match body.is_end_stream() {
            true => body,
            false => body.watched(Box::new(held.clone())),
        });
        let answer = sender.try_send_request(request).await;
        let answer = answer.map_err(|error| TrySend::of(error).told(to, reused))?;
        Ok((answer, Lease(Use::Among { _held: held })))
    }

    /// A place on a connection that is made, by us or others; whether it was others.
    async fn place(
        &self,
        mut found: Found,
        slot: &Arc<Slot>,
        (to, on): (&Arc<Destination>, On<'_>),
        (mut newer_than, bounds): (u64, Bounds),
    ) -> Result<(http2::SendRequest<Body>, StreamSlot, bool), ConnectError> {
        let stopped = || ConnectError::stopped(to.address);
        let terms = on.terms;
        let mut has_asked = false;
        let mut rung = None;
        loop {
            match found {
                Found::Place(sender, place) => return Ok((sender, place, true)),
                Found::Dial(dial) => {
                    let occupied = terms.map(|terms| terms.occupy(has_asked));
                    has_asked = true;
                    if !matches!(occupied, Some(None)) {
                        let occupied = occupied.flatten();
                        on.asks(true);
                        let (sender, place) = self.dial(dial, to, terms, occupied).await?;
                        return Ok((sender, place, false));
                    }
                    // The next one to look may find room. So may we: what became free before we
                    // listened has not rung for us.
                    dial.left();
                    newer_than = 0;
                    self.make_room(&Key::of(&self.inner.maker, to, terms));
                    on.asks(false);
                    if let Some(rung) = rung.take() {
                        rung.await;
                    }
                }
                Found::Wait(mut told) => {
                    on.asks(true);
                    let told = in_time(to, terms, told.wait_for(Option::is_some)).await?;
                    told.map_err(|_stopped| stopped())?
                        .clone()
                        .ok_or_else(stopped)??;
                }
                Found::Full if newer_than > 0 => newer_than = 0,
                Found::Full => return Err(ConnectError::Full(to.address)),
            }
            rung = terms.map(|terms| terms.flow.rung());
            found = slot.find(newer_than, bounds);
        }
    }

    async fn dial(
        &self,
        dial: Dial,
        to: &Arc<Destination>,
        terms: Option<&Arc<Terms>>,
        occupied: Option<Arc<Occupied>>,
    ) -> Result<(http2::SendRequest<Body>, StreamSlot), ConnectError> {
        let (tell, told) = oneshot::channel();
        let (pool, far) = (self.clone(), Arc::clone(to));
        let bounds = Bounds::of(terms);
        let begin = begin(to, terms, Spoken::Http2);
        drop(self.inner.tasks.spawn("connect", async move {
            let made = pool.inner.maker.http2(&far, occupied, begin).await;
            let told = match made {
                Ok((sender, load)) => Ok((sender.clone(), dial.succeeded(sender, load, bounds))),
                Err(error) => {
                    dial.failed(&error);
                    Err(error)
                }
            };
            // If nobody waits any more, the connection is there for others.
            tell.send(told).ok();
        }));
        let told = in_time(to, terms, told).await?;
        told.map_err(|_stopped| ConnectError::stopped(to.address))?
    }
}
