//! A connection that is passed on as it is: to an endpoint, with the client's address.

mod limits;
pub(crate) mod line;
mod recorded;
pub(crate) mod tokens;

use std::sync::Arc;
use std::time::Duration;

use ambit_balance::Outcome;
use ambit_decide::{Reason, Refusal};
use ambit_model::{Backend, BackendTarget, Service, WorkloadUid};
use ambit_route::{Hand, choose, tls_route};
use ambit_tunnel::{DialError, OpenError};
use tokio::io::{AsyncBufReadExt as _, copy_bidirectional};
use tokio::time::timeout;

use self::limits::Limits;
use self::recorded::Recorded;
use crate::authorize::Asking;
use crate::call::Call;
use crate::connection::{Connection, fill_more, held};
use crate::endpoint::{Chosen, Wish, choose as choose_endpoint};
use crate::hello::{self, Hello};
use crate::http::activity::{Active, Activity};
use crate::outside::asked::{self, Words, is_by_host};
use crate::outside::tls::Inner;
use crate::proxy::Proxy;
use crate::request::Target;
use crate::request::hashed::Hashed;
use crate::review;
use crate::upstream::link::{Link, LinkError, OnBehalf};
use crate::view::{Occupied, Routes, Terms, View};

/// Endpoints that are tried for one connection.
const TRIES: usize = 3;
/// How long a hello may take to come.
pub(crate) const HELLO: Duration = Duration::from_secs(10);

/// The way to an endpoint, open.
#[derive(Debug)]
pub(crate) struct Way {
    /// The connection.
    pub(crate) link: Link,
    chosen: Chosen,
    /// The service behind it.
    service: Option<Arc<Service>>,
    /// What the connection goes to.
    to: Target,
    /// The server name that the client asks for.
    server_name: Option<String>,
    /// Whose hand has led it there.
    hand: Hand,
    /// What ends it.
    pub(crate) limits: Limits,
    /// Its place among the connections to the service.
    _place: Option<Arc<Occupied>>,
}

/// What a connection is known to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// TLS, by its port, routes or first bytes.
    Tls,
    /// Something that is there to be looked at.
    Heard,
    /// Whatever it is: the client may wait for the endpoint to speak.
    Unheard,
}

/// Passes a connection on, from its first byte to its last.
pub(crate) async fn serve(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    mut client: Connection,
    begins: Begins,
) {
    let name = match name_of(proxy, call, &mut client, begins).await {
        Ok(name) => name,
        Err(refusal) => return proxy.cut(call, &refusal),
    };
    match way(proxy, call, name.clone()).await {
        Ok(way) => carry(proxy, call, client, way).await,
        Err(refusal) => proxy.cut_asking_for(name.as_deref(), call, &refusal),
    }
}

/// Copies both ways until both have ended, or it is ended.
pub(crate) async fn carry(proxy: &Proxy, call: &Call, client: Connection, mut way: Way) {
    // Not before: whoever only looked whether the endpoint speaks first has learnt nothing of its answers.
    proxy.verdicts.record(&way.chosen, Outcome::Connected);
    call.holder.passed_on(held(&way.link));
    let mut client = Recorded::new(proxy, call, &way, client);
    let asking = Asking::connection(call, way.server_name.as_deref());
    let asking = asking.led_to(&way.to, way.hand);
    asking.tell(proxy, &way.chosen.asides);
    let (to, port) = (Arc::clone(&way.chosen.destination), way.chosen.port);
    let (limits, activity) = (way.limits, Activity::default());
    let mut endpoint = Active::new(&mut way.link, activity.clone());
    tokio::select! {
        ended = copy_bidirectional(&mut client, &mut endpoint) => client.ended(ended.map(drop)),
        refusal = limits.reached(&activity) => client.refused(refusal),
        refusal = review::raw_refused(proxy, call, &asking, &to, port) => client.refused(refusal),
        () = call.holder.ended() => client.refused(proxy.pressure.refusal()),
    }
}

/// The server name that a client asks for, if anything depends on it. Where policy does, nobody is let through
/// who could still ask for one.
async fn name_of(
    proxy: &Proxy,
    call: &Call,
    client: &mut Connection,
    begins: Begins,
) -> Result<Option<String>, Refusal> {
    let is_tls = begins == Begins::Tls;
    let by_policy = proxy.view().policies.ask_for_server_name()
        && (is_tls || begins == Begins::Heard && may_be_hello(client).await);
    if !by_policy && !asks_for_name(proxy, call, is_tls) {
        return Ok(None);
    }
    match server_name(client).await {
        Err(why) if by_policy => Err(Refusal::new(Reason::ServerNameUnknown, why)),
        read => Ok(read.ok().flatten()),
    }
}

/// Whether what a client has said may be the beginning of TLS.
async fn may_be_hello(client: &mut Connection) -> bool {
    client.fill_buf().await.is_ok_and(hello::may_begin)
}

/// Whether the way of a connection depends on the server name that its client asks for, or what is told of it does.
/// A name that is no TLS client's is none.
fn asks_for_name(proxy: &Proxy, call: &Call, is_tls: bool) -> bool {
    let view = proxy.view();
    let routes = call.routes(&view);
    let by_host = || is_by_host(&view, &call.target());
    let by_telling = || {
        let service = call.service().map(|(service, _)| &service.name);
        proxy.tellings.of(service).server_name
    };
    matches!(routes.as_deref(), Some(Routes::Tls(_))) || is_tls && (by_host() || by_telling())
}

/// The server name in a hello; the bytes stay where they are. Why it cannot be told, of a client that could still
/// ask for one.
async fn server_name(client: &mut Connection) -> Result<Option<String>, &'static str> {
    let reading = async {
        while let Ok(bytes) = client.fill_buf().await {
            match hello::server_name(bytes) {
                Hello::Name(name) => return Ok(name),
                Hello::Endless => return Err("the hello of TLS is longer than any that is read"),
                Hello::More => {
                    if !fill_more(client).await.unwrap_or(false) {
                        break;
                    }
                }
            }
        }
        // It has left, or says nothing more.
        Ok(None)
    };
    let late = |_elapsed| Err("the hello of TLS did not come in time");
    timeout(HELLO, reading).await.unwrap_or_else(late)
}

/// An open connection to an endpoint that the client may call.
pub(crate) async fn way(
    proxy: &Arc<Proxy>,
    call: &Call,
    server_name: Option<String>,
) -> Result<Way, Refusal> {
    open(proxy, call, server_name, false).await
}

/// The same before the client has said a word, whether it will be needed or not. It takes its place like any
/// other, for the endpoint has one connection more; but nobody is refused if there is none, and none is counted.
pub(crate) async fn way_ahead(proxy: &Arc<Proxy>, call: &Call) -> Result<Way, Refusal> {
    open(proxy, call, None, true).await
}

async fn open(
    proxy: &Arc<Proxy>,
    call: &Call,
    server_name: Option<String>,
    is_ahead: bool,
) -> Result<Way, Refusal> {
    let view = proxy.view();
    let asking = Asking::connection(call, server_name.as_deref());
    let mut asides = asking.before_routing(&view)?.dry_run;
    let (target, hand) = target(&view, call, server_name.as_deref())?;
    let asking = asking.led_to(&target, hand);
    tokens::lacks(&view, call, &asking)?;
    let words = Words::Connection(server_name.as_deref());
    let asked = Box::pin(asked::find(proxy, call, &view, &target, words)).await?;
    // Who is where the client's host is has become known meanwhile.
    let view = asked.as_ref().map_or(view, |_| proxy.view());
    let hash = Hashed::of_connection(&view, &target, call.client.address.ip());
    let mut tried: Vec<WorkloadUid> = Vec::new();
    let by = OnBehalf {
        client: Some(call.client.address),
        hops: Some(call.client.waypoints.saturating_add(1)),
        ..OnBehalf::default()
    };
    loop {
        let wish = Wish {
            tried: &tried,
            asked: asked.as_ref(),
            hash,
            ..Wish::default()
        };
        let mut chosen = choose_endpoint(&view, &asking, &target, wish)?;
        let terms = chosen.terms.as_deref();
        let place = terms.map(|terms| occupy(terms, is_ahead)).transpose()?;
        let linked = link(proxy, &chosen, by).await;
        if linked.as_ref().is_err_and(is_of_endpoint) {
            proxy.verdicts.record(&chosen, Outcome::ConnectFailed);
        }
        match linked {
            Ok(link) => {
                let service = call.service_behind(&target, &view.mesh);
                chosen.asides.append(&mut asides);
                return Ok(Way {
                    link,
                    limits: Limits::of(chosen.terms.as_deref()),
                    chosen,
                    service,
                    to: target,
                    server_name,
                    hand,
                    _place: place,
                });
            }
            Err(error) if tried.len() + 1 >= TRIES => {
                let reason = Reason::from_word(error.word()).unwrap_or(Reason::ConnectFailed);
                return Err(Refusal::new(reason, error.to_string()));
            }
            Err(error) => {
                tracing::debug!(%error, "an endpoint cannot be reached; another is tried");
                tried.push(chosen.destination.workload.uid.clone());
            }
        }
    }
}

/// A connection that is made to the end even if the client leaves: given up half way it would be a
/// reset on a tunnel of other clients.
async fn link(proxy: &Proxy, chosen: &Chosen, by: OnBehalf) -> Result<Link, LinkError> {
    let to = &chosen.destination;
    let (linker, home) = (proxy.linker.clone(), Arc::clone(to));
    let begin = chosen
        .terms
        .as_ref()
        .map(|terms| terms.begin(to, Inner::Other));
    let begin = begin.unwrap_or_default();
    let linking = async move { linker.link(&home, by, begin).await };
    let linked = proxy.tasks.spawn("connect", linking);
    let terms = chosen.terms.as_ref();
    let limit = terms.and_then(|terms| terms.policy.connections.connect_timeout);
    let linked = match limit {
        None => linked.await,
        Some(limit) => match timeout(limit, linked).await {
            Ok(linked) => linked,
            Err(_elapsed) => return Err(LinkError::Plain(DialError::Timeout(to.address))),
        },
    };
    linked.unwrap_or_else(|stopped| {
        let cause = OpenError::Closed(stopped.to_string());
        let to = to.address;
        Err(LinkError::Tunnel { to, cause })
    })
}

/// Whether an endpoint is to blame that there is no connection to it: also if that was made ahead, for it is the
/// only one that there is to an endpoint that would have spoken first.
fn is_of_endpoint(error: &LinkError) -> bool {
    let is_ours =
        matches!(error, LinkError::Unsupported(_)) || error.word() == Reason::NoCertificate.word();
    !is_ours
}

/// A place among the connections to a service.
fn occupy(terms: &Terms, is_ahead: bool) -> Result<Arc<Occupied>, Refusal> {
    terms.occupy(is_ahead).ok_or_else(|| {
        let detail = "there are as many connections to the service as there may be";
        Refusal::new(Reason::ConnectionOverflow, detail)
    })
}

/// Where routes, or else the call itself, send a connection; and whose hand that is.
fn target(view: &View, call: &Call, server_name: Option<&str>) -> Result<(Target, Hand), Refusal> {
    let Some(routes) = call.routes(view) else {
        return Ok((call.target(), Hand::Trusted));
    };
    let client = call.client_of_own_routes(view);
    let (name, backends): (_, &[Backend]) = match &*routes {
        // Of the client's own namespace perhaps; they say nothing of connections.
        Routes::Http(_) => {
            let hand = client.map_or(Hand::Trusted, |_| Hand::of("", false, client, client));
            return Ok((call.target(), hand));
        }
        Routes::Unusable => return Err(call.unroutable()),
        Routes::Tcp(route) => (&route.name, &route.backends),
        Routes::Tls(routes) => {
            let route = tls_route(routes, server_name).ok_or_else(|| {
                let name = server_name.unwrap_or("no server name");
                let detail = format!("no route of {} is for {name}", call.destination);
                Refusal::new(Reason::UnknownDestination, detail)
            })?;
            (&route.name, &route.backends)
        }
    };
    let chosen = choose(backends, |backend| backend.weight, rand::random());
    match chosen.map(|backend| &backend.target) {
        Some(BackendTarget::Service {
            name: service,
            port,
            subset,
        }) => {
            let target = Target::Service(service.clone(), *port, subset.clone());
            let hand = Hand::of(name, false, client, target.namespace());
            Ok((target, hand))
        }
        Some(BackendTarget::Invalid { why }) => {
            Err(Refusal::new(Reason::NoEndpoint, format!("{name}: {why}")))
        }
        None => {
            let detail = format!("{name} has no backend with a weight");
            Err(Refusal::new(Reason::NoEndpoint, detail))
        }
    }
}

#[cfg(test)]
mod tests;
