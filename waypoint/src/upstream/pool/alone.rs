//! Requests that have a connection for themselves: HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::oneshot;

use super::key::Key;
use super::refused::TrySend;
use super::{HttpPool, Lease, On, SendError, Use, begin, in_time};
use crate::http::body::Body;
use crate::outside::tls::Inner as Spoken;
use crate::upstream::idle::{self, Carrier};
use crate::upstream::make::ConnectError;
use crate::view::{Destination, Occupied, Terms};

/// How old a connection may become that takes requests.
fn lifetime(terms: Option<&Arc<Terms>>) -> Option<Duration> {
    terms.and_then(|terms| terms.policy.connections.lifetime)
}

impl HttpPool {
    pub(super) async fn send_alone(
        &self,
        to: &Arc<Destination>,
        request: Request<Body>,
        on: On<'_>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let On { fresh, terms, .. } = on;
        let key = Key::of(&self.inner.maker, to, terms);
        let kept = match fresh {
            true => None,
            false => self.inner.idle.take(&key, lifetime(terms)).await,
        };
        let reused = kept.is_some();
        let mut carrier = match kept {
            Some(carrier) => carrier,
            None => Box::pin(self.wait(&key, to, on)).await?,
        };
        on.meets();
        carrier.used = carrier.used.saturating_add(1);
        let answer = carrier.sender.try_send_request(request).await;
        let answer = answer.map_err(|error| TrySend::of(error).told(to, reused))?;
        let lease = Lease(Use::Alone(self.clone(), key, carrier, terms.cloned()));
        Ok((answer, lease))
    }

    /// Keeps a connection for the next request, if it may carry one.
    pub(super) fn keep(&self, key: &Key, carrier: Carrier, terms: Option<&Arc<Terms>>) {
        let bounds = terms.map(|terms| &terms.policy.connections);
        let most = bounds.and_then(|bounds| bounds.requests_each);
        if most.is_some_and(|most| carrier.used >= most) {
            return;
        }
        let longest = bounds.and_then(|bounds| bounds.idle_timeout);
        let place = carrier.place.clone();
        let longest = longest.unwrap_or(idle::LONGEST);
        let bounds = (longest, lifetime(terms));
        self.inner.idle.keep(key, carrier, bounds, clock::now());
        if let Some(place) = place {
            place.ring();
        }
    }

    /// A connection for a request that found none, while as many wait as may.
    async fn wait(
        &self,
        key: &Key,
        to: &Arc<Destination>,
        on: On<'_>,
    ) -> Result<Carrier, ConnectError> {
        let On { fresh, terms, .. } = on;
        let Some(terms) = terms else {
            on.asks(true);
            return self.connect(key, to, fresh, None).await;
        };
        let pending = terms.flow.pool.pending();
        let _waiting = pending.ok_or(ConnectError::Pending(to.address))?;
        let mut place = terms.occupy(false);
        loop {
            let rung = terms.flow.rung();
            if let Some(place) = place.take() {
                on.asks(true);
                return self.connect(key, to, fresh, Some((terms, place))).await;
            }
            // Where there is no room for a new one, a kept one is better than none.
            if let Some(kept) = self.inner.idle.take(key, lifetime(Some(terms))).await {
                return Ok(kept);
            }
            place = terms.occupy(true);
            if place.is_none() {
                self.make_room(key);
                rung.await;
                place = terms.occupy(true);
            }
        }
    }

    /// A new connection, or one that has become free while others were made.
    async fn connect(
        &self,
        key: &Key,
        to: &Arc<Destination>,
        fresh: bool,
        on: Option<(&Arc<Terms>, Arc<Occupied>)>,
    ) -> Result<Carrier, ConnectError> {
        let turn = in_time(
            to,
            on.as_ref().map(|(terms, _)| *terms),
            self.inner.idle.turn(key),
        );
        let turn = turn.await?;
        let (terms, place) = on.unzip();
        if !fresh && let Some(kept) = self.inner.idle.take(key, lifetime(terms)).await {
            return Ok(kept);
        }
        let (tell, told) = oneshot::channel();
        let (pool, home, far) = (self.clone(), key.clone(), Arc::clone(to));
        let own = terms.cloned();
        drop(self.inner.tasks.spawn("connect", async move {
            let begin = begin(&far, own.as_ref(), Spoken::Http1);
            let made = pool.inner.maker.http1(&far, place.clone(), begin).await;
            let made = made.map(|sender| Carrier {
                sender,
                used: 0,
                since: clock::now(),
                place,
            });
            drop(turn);
            if let Err(Ok(unused)) = tell.send(made) {
                pool.keep(&home, unused, own.as_ref());
            }
        }));
        let told = in_time(to, terms, told).await?;
        told.map_err(|_stopped| ConnectError::stopped(to.address))?
    }
}
