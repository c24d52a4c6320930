//! Copies of a request that a route asks for (mirrors). They are sent on beside the request, and
//! what comes of them is thrown away: a copy changes neither the answer nor when it comes.
//!
//! A copy is as the request is after the filters beside which it stands and all changes of headers; its `Host` is the
//! request's, with `-shadow` at its end where the route wants that. Copies are sent once the request is
//! allowed at its first endpoint: one that is refused there has none. A copy goes to an endpoint that the
//! client may call, once. There are only so many at once for one service, half of them for one client
//! ([`View::copies`]), and each for so long; a request that comes while there is no
//! room is not copied, nor one that asks to go on with another protocol, nor a copy that another
//! waypoint made.
//!
//! Tasks: "copy", one per copy, which ends with it.
//!
//! [`View::copies`]: crate::view::View::copies

use std::sync::Arc;
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_model::{BackendTarget, Mirror};
use ambit_route::{Hand, shadow, should_mirror};
use http::request::Parts;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::authenticate::{Going, Tokens, changed_by_client, is_for_asked};
use super::client::ToldClient;
use super::hops::Hops;
use super::local::Fault;
use super::plan::{Plan, Writer};
use super::{Target, form};
use crate::authorize::Asking;
use crate::call::Call;
use crate::endpoint::{Chosen, Wish, choose};
use crate::http::body::Body;
use crate::http::copied::Copier;
use crate::http::replay::Replayable;
use crate::outside::asked::{self, Words};
use crate::proxy::Proxy;
use crate::upstream::link::Width;
use crate::upstream::pool::{On, SendError};
use crate::view::View;

/// How long a copy may take, with its answer.
const LONGEST: Duration = Duration::from_secs(60);

/// A copy that is to be sent.
#[derive(Debug)]
pub(super) struct Copy {
    target: Target,
    head: Parts,
}

/// Why nothing became of a copy.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("{}", .0.detail)]
    Unauthenticated(Box<Fault>),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("its answer broke off: {0}")]
    Answer(#[from] hyper::Error),
}

impl CopyError {
    /// Counts and writes down what is refused; of the rest it is nobody's fault, and nobody waits for it.
    fn tell(self, proxy: &Proxy, call: &Call) {
        let detail = format!("a copy of a request: {self}");
        let by_policy = [
            Reason::PolicyDenied,
            Reason::NoMatchingAllow,
            Reason::PoliciesUnknown,
        ];
        match self {
            Self::Refused(refusal) if by_policy.contains(&refusal.reason) => {
                proxy.cut(call, &Refusal { detail, ..refusal });
            }
            Self::Unauthenticated(fault) => {
                let reason = Reason::from_word(fault.reason).unwrap_or(Reason::InvalidRoute);
                proxy.cut(call, &Refusal::new(reason, detail));
            }
            error => tracing::debug!(%error, "nothing came of a copy of a request"),
        }
    }
}

/// The copies that filters ask for of a request as it is now.
pub(super) fn asked<'a>(mirrors: &'a [Mirror], head: &'a Parts) -> impl Iterator<Item = Copy> + 'a {
    let drawn = mirrors
        .iter()
        .filter(|mirror| should_mirror(mirror, rand::random()));
    drawn.filter_map(|mirror| match &mirror.target {
        BackendTarget::Service { name, port, subset } => {
            let mut head = head.clone();
            if mirror.shadow {
                shadow(&mut head);
            }
            let target = Target::Service(name.clone(), *port, subset.clone());
            Some(Copy { target, head })
        }
        BackendTarget::Invalid { .. } => None,
    })
}

/// What all copies of a request have of it.
struct Original {
    proxy: Arc<Proxy>,
    call: Arc<Call>,
    view: Arc<View>,
    tokens: Tokens,
    writer: Option<Writer>,
    hops: Hops,
    told: ToldClient,
}

/// Sends copies, with what comes of the body.
pub(super) fn send(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    (plan, copies): (&Plan, Vec<Copy>),
    body: Option<&Replayable>,
) {
    let mut copier = Copier::default();
    let original = Arc::new(Original {
        proxy: Arc::clone(proxy),
        call: Arc::clone(call),
        view: Arc::clone(&plan.routed.view),
        tokens: plan.routed.tokens.clone(),
        writer: plan.routed.writer(),
        hops: plan.hops.of_copy(),
        told: plan.client.clone(),
    });
    let client = call.client.address.ip();
    for copy in copies {
        let Target::Service(name, ..) = &copy.target else {
            continue;
        };
        let room = original.view.copies(name);
        let room = room.and_then(|room| room.take(client));
        let Some(room) = room else {
            tracing::debug!(service = %name, "a request is not copied: there is no room");
            continue;
        };
        let copied = body.map(|body| copier.copy(body.size_hint()));
        let body = copied.map_or_else(Body::empty, Body::copied);
        let original = Arc::clone(&original);
        drop(proxy.tasks.spawn("copy", async move {
            let sent = timeout(LONGEST, original.once(&copy, body)).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => error.tell(&original.proxy, &original.call),
                Err(_elapsed) => tracing::debug!("a copy of a request took too long"),
            }
            drop(room);
        }));
    }
    if let Some(body) = body {
        body.copied_by(copier);
    }
}

impl Original {
    /// Sends a copy and throws away the answer, which is read so that the connection can be kept.
    async fn once(&self, copy: &Copy, body: Body) -> Result<(), CopyError> {
        let (proxy, call, view) = (&self.proxy, &*self.call, &*self.view);
        let writer = self.writer.as_ref();
        let hand = writer.map_or(Hand::Trusted, |writer| writer.hand(&copy.target));
        // Judged as what it is sent.
        let sent = hand.changes().then(|| Tokens::unverified(&copy.head));
        let tokens = sent.as_ref().unwrap_or(&self.tokens);
        let asking = Asking::request(call, &copy.head, Some(tokens));
        let asking = asking.led_to(&copy.target, hand.leads());
        if matches!(hand, Hand::Client { .. }) {
            // Whoever writes what is sent must not be judged by what was asked for alone.
            asking.before_routing(view)?;
            if hand.is_changed_by_client() && is_for_asked(view, call) {
                return Err(CopyError::Unauthenticated(Box::new(changed_by_client())));
            }
        }
        let host = form::authority(&copy.head);
        let words = Words::Request(host.as_ref().and_then(|host| host.to_str().ok()));
        let asked = asked::find(proxy, call, view, &copy.target, words).await?;
        // Who is where the client's host is has become known meanwhile.
        let newer = asked.as_ref().map(|_| proxy.view());
        let view = newer.as_deref().unwrap_or(view);
        let wish = Wish {
            asked: asked.as_ref(),
            ..Wish::default()
        };
        let chosen = choose(view, &asking, &copy.target, wish)?;
        let going = Going {
            head: &copy.head,
            tokens: &self.tokens,
            led: asking.led_service().map(|led| led.0),
            hand,
        };
        let admitted = going.at_endpoint(view, &chosen.destination);
        let admitted = admitted.map_err(|fault| CopyError::Unauthenticated(Box::new(fault)))?;
        let head = admitted.as_deref().unwrap_or(&copy.head);
        self.give(view, &copy.target, &chosen, head, body).await
    }

    /// Sends it to the endpoint that was chosen.
    async fn give(
        &self,
        view: &View,
        target: &Target,
        chosen: &Chosen,
        head: &Parts,
        body: Body,
    ) -> Result<(), CopyError> {
        let version = form::version(view, target, head);
        let mut request = form::request(head, version, body, &form::scheme(chosen));
        let (to, client) = (&chosen.destination, self.call.client.address.ip());
        self.hops.tell(to, request.headers_mut());
        self.told.write(to.is_outside(), request.headers_mut());
        let on = On {
            terms: chosen.terms.as_ref(),
            ..On::default()
        };
        let pool = self.proxy.http.of(Width::default());
        let (answer, lease) = pool.send(to, version, client, request, on).await?;
        let mut answer = answer.into_body();
        while let Some(frame) = answer.frame().await {
            drop(frame?);
        }
        lease.give_back();
        Ok(())
    }
}
