//! Copies of a request that a route asks for (mirrors). They are sent on beside the request, and
//! what comes of them is thrown away: a copy changes neither the answer nor when it comes.
//!
//! A copy is as the request is after the filters beside which it stands and all changes of headers; its `Host` is the
//! request's, with `-shadow` at its end where the route wants that. Copies are sent once the request is
//! allowed at its first endpoint: one that is refused there has none. A copy goes to an endpoint that the
//! client may call, once. There are only so many at once for one service, half of them for one client
//! ([`View::copies`]), and each for so long; a request that comes while there is no
//! room is not copied, nor one that asks to go on with another protocol, nor a copy that another
//! waypoint made. A copy is a request to its service like any other: it takes a place among those in flight, or
//! is not sent where there is none, and what becomes of it says the same of its endpoint.
//!
//! Tasks: "copy", one per copy, which ends with it.
//!
//! [`View::copies`]: crate::view::View::copies

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ambit_balance::Outcome;
use ambit_decide::{Reason, Refusal};
use ambit_kit::clock;
use ambit_model::{BackendTarget, Mirror};
use ambit_route::{Hand, shadow, should_mirror};
use http::Response;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::authenticate::{Going, Tokens, changed_by_client, is_for_asked};
use super::client::ToldClient;
use super::hops::Hops;
use super::local::Fault;
use super::plan::{Plan, Writer};
use super::{Target, form, headers};
use crate::authorize::Asking;
use crate::call::Call;
use crate::endpoint::{Chosen, Wish, choose};
use crate::http::body::Body;
use crate::http::copied::{Copied, Copier, Progress};
use crate::http::replay::{Came, Replayable};
use crate::outside::asked::{self, Words};
use crate::proxy::Proxy;
use crate::upstream::link::{LinkError, Width};
use crate::upstream::make::ConnectError;
use crate::upstream::pool::{Lease, On, SendError};
use crate::view::{Terms, View};

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
    #[error("as many requests to the service are under way as may be")]
    Full,
    #[error("it took too long")]
    Late {
        /// Whether it was the endpoint that was waited for.
        asked: bool,
    },
    #[error("its answer broke off: {0}")]
    Answer(#[from] hyper::Error),
}

impl CopyError {
    /// The time was over before there was somebody to ask.
    const LATE: Self = Self::Late { asked: false };

    /// What it says of the endpoint: nothing where the copy failed by our doing, or its body went no further.
    fn noted(&self, came: Came) -> Option<Outcome> {
        match self {
            Self::Unauthenticated(_) | Self::Refused(_) | Self::Full => None,
            Self::Late { asked } => (*asked && came == Came::Whole).then_some(Outcome::TimedOut),
            Self::Send(SendError::Connect(error)) => match error {
                ConnectError::Link(LinkError::Unsupported(_))
                | ConnectError::Pending(_)
                | ConnectError::Full(_) => None,
                error if error.word() == Reason::NoCertificate.word() => None,
                _ => Some(Outcome::ConnectFailed),
            },
            Self::Send(SendError::NotTaken { .. } | SendError::Reset { .. }) | Self::Answer(_) => {
                (came != Came::Broken).then_some(Outcome::Reset)
            }
        }
    }

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

/// What a copy goes with.
struct Goes {
    body: Body,
    /// How far the body has been read, if there is one.
    progress: Option<Progress>,
    until: Instant,
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
        let goes = Goes {
            progress: copied.as_ref().map(Copied::progress),
            body: copied.map_or_else(Body::empty, Body::copied),
            until: (clock::now() + LONGEST).into(),
        };
        let original = Arc::clone(&original);
        drop(proxy.tasks.spawn("copy", async move {
            if let Err(error) = original.once(&copy, goes).await {
                error.tell(&original.proxy, &original.call);
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
    async fn once(&self, copy: &Copy, goes: Goes) -> Result<(), CopyError> {
        let (proxy, call, view) = (&self.proxy, &*self.call, &*self.view);
        let writer = self.writer.as_ref();
        let hand = writer.map_or(Hand::Trusted, |writer| writer.hand(&copy.target));
        // Judged as what it is sent.
        let sent = hand.changes().then(|| Tokens::unverified(&copy.head));
        let tokens = sent.as_ref().unwrap_or(&self.tokens);
        let asking = Asking::request(call, &copy.head, Some(tokens));
        let asking = asking.led_to(&copy.target, hand);
        if matches!(hand, Hand::Client { .. }) {
            // Whoever writes what is sent must not be judged by what was asked for alone.
            asking.before_routing(view)?;
            if hand.is_changed_by_client() && is_for_asked(view, call) {
                return Err(CopyError::Unauthenticated(Box::new(changed_by_client())));
            }
        }
        let host = form::authority(&copy.head);
        let words = Words::Request(host.as_ref().and_then(|host| host.to_str().ok()));
        let finding = asked::find(proxy, call, view, &copy.target, words);
        let found = timeout_at(goes.until, finding).await;
        let asked = found.map_err(|_elapsed| CopyError::LATE)??;
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
        self.give(view, &copy.target, &chosen, head, goes).await
    }

    /// Sends it to the endpoint that was chosen, and notes how that went.
    async fn give(
        &self,
        view: &View,
        target: &Target,
        chosen: &Chosen,
        head: &Parts,
        Goes {
            body,
            progress,
            until,
        }: Goes,
    ) -> Result<(), CopyError> {
        let _in_flight = match terms(view, target) {
            Some(terms) => Some(terms.flow.begin().ok_or(CopyError::Full)?),
            None => None,
        };
        let note = |outcome| self.proxy.verdicts.record(chosen, outcome);
        let came = || progress.as_ref().map_or(Came::Whole, Progress::came);
        let noted = |error: CopyError| {
            error.noted(came()).into_iter().for_each(note);
            error
        };
        let sent = self.send((view, target), chosen, head, (body, until)).await;
        let (answer, lease) = sent.map_err(noted)?;
        note(match headers::grpc_status(answer.headers()) {
            Some(status) => Outcome::Grpc(status.into()),
            None => Outcome::Status(answer.status().as_u16()),
        });
        let mut answer = answer.into_body();
        let read = async {
            while let Some(frame) = answer.frame().await {
                drop(frame?);
            }
            Ok(())
        };
        let read = timeout_at(until, read).await;
        // Its head has said what the endpoint is worth, however long the rest takes.
        read.map_err(|_elapsed| CopyError::LATE)?
            .map_err(|error: hyper::Error| noted(error.into()))?;
        lease.give_back();
        Ok(())
    }

    /// To the head of its answer.
    async fn send(
        &self,
        (view, target): (&View, &Target),
        chosen: &Chosen,
        head: &Parts,
        (body, until): (Body, Instant),
    ) -> Result<(Response<Incoming>, Lease), CopyError> {
        let version = form::version(view, target, head);
        let mut request = form::request(head, version, body, &form::scheme(chosen));
        let (to, client) = (&chosen.destination, self.call.client.address.ip());
        self.hops.tell(to, request.headers_mut());
        self.told.write(to.is_outside(), request.headers_mut());
        let asks = AtomicBool::new(false);
        let on = On {
            terms: chosen.terms.as_ref(),
            asks: Some(&asks),
            ..On::default()
        };
        let pool = self.proxy.http.of(Width::default());
        let sent = timeout_at(until, pool.send(to, version, client, request, on)).await;
        let sent = sent.map_err(|_elapsed| CopyError::Late {
            asked: asks.load(Ordering::Relaxed),
        })?;
        Ok(sent?)
    }
}

/// The terms on which a copy goes on, also where another waypoint stands before the service.
fn terms<'v>(view: &'v View, target: &Target) -> Option<&'v Arc<Terms>> {
    let Target::Service(name, port, subset) = target else {
        return None;
    };
    let cluster = view.cluster(name, *port, subset.as_deref());
    cluster.map(|cluster| &cluster.terms)
}
