//! Who is calling, in a cluster: an agent or waypoint shows the token of its service account, and
//! the API server says whose it is.
//!
//! ```text
//!  token --hash--> answers (60 s; refusals 2 s) --> admitted? --> Caller of that node or waypoint
//!                     | not known                      ^ our own watched pods, on every call
//!                     v
//!                  one review per token --> API server
//! ```
//!
//! A caller is the agent of a node only if its token was made for us (by its audience), belongs to
//! a trusted agent's service account and is bound to a pod that, *as we see it*, runs on that node
//! under that account and is controlled by that agent's DaemonSet; and the waypoint of a Gateway
//! only if its pod is, as we see it, one of that Gateway's. Everybody else is refused, whatever the
//! token is good for elsewhere.
//!
//! While the API server does not answer, a token that it confirmed before counts for up to ten
//! minutes more, although it may have been revoked meanwhile; an unknown token is never let in.
//! Tokens are kept by their hash only. An agent whose pod is gone is refused at once, whatever is
//! remembered of its token.
//!
//! Task: "token review", one per unknown token at a time however many calls bring it, bounded in
//! number, for each source address too, and in time.

mod answers;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::answers::{Answers, Found};
use super::caller::{Caller, Reason, Refusal, WaypointCaller};
use super::caller_pods::{CallerPod, CallerPods};
use super::sources::Sources;
use super::tokens::{Hash, hash};
use crate::config::objects::{Kind, Object};
use crate::config::{Batch, Configuration};

/// Reviews under way at once; further unknown tokens are asked to come again.
const REVIEWS: usize = 64;
/// Of them, those for one source address: whoever makes up tokens does not keep others out.
const REVIEWS_OF_ONE: usize = REVIEWS / 4;
/// Longest review.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose token it is, as the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    /// Namespace of the service account.
    pub namespace: Arc<str>,
    /// The service account.
    pub service_account: Arc<str>,
    /// Name and uid of the pod that the token is bound to.
    pub pod: Option<(Arc<str>, Arc<str>)>,
    /// The node that the token is bound to, where the API server tells.
    pub node: Option<Arc<str>>,
}

impl fmt::Display for TokenOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "service account {}/{}",
            self.namespace, self.service_account
        )?;
        match &self.pod {
            Some((pod, _uid)) => write!(f, " of pod {pod}"),
            None => f.write_str(" of no pod"),
        }
    }
}

/// What the API server says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Review {
    /// It is good, made for us, and of this service account.
    Of(TokenOwner),
    /// It is good, but of somebody who is no service account.
    Other(String),
    /// It is not meant for us; with what it claims of itself, which nobody has verified.
    WrongAudience(String),
    /// It is nobody's, or over; with what it claims of itself, which nobody has verified.
    Unknown(String),
}

/// The API server could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the API server does not review tokens now: {0}")]
pub struct ReviewError(pub String);

/// Asks whose a token is.
pub trait TokenReviewer: fmt::Debug + Send + Sync {
    /// Whose it is.
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Review, ReviewError>>;
}

/// An agent that may speak for the node it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedAgent {
    /// Namespace of both.
    pub namespace: Arc<str>,
    /// The DaemonSet that controls its pods.
    pub daemon_set: Arc<str>,
    /// The service account that they run under.
    pub service_account: Arc<str>,
}

/// What tells agents from others.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// Who is asked about tokens.
    pub reviewer: Arc<dyn TokenReviewer>,
    /// Which agents there are.
    pub trusted: Vec<TrustedAgent>,
    /// The pods of callers.
    pub pods: CallerPods,
}

/// What became of a token: its owner, that may be let in, or why it is never.
type Outcome = Result<Arc<TokenOwner>, Refusal>;

/// Lets agents and waypoints in; clones share what is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Agents {
    settings: Arc<AgentSettings>,
    remembered: Arc<Mutex<Remembered>>,
    sources: Sources,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct Remembered {
    answers: Answers,
    reviews: HashMap<Hash, Shared<oneshot::Receiver<Outcome>>>,
}

impl Agents {
    /// Lets in whom the settings name.
    pub(crate) fn new(settings: AgentSettings, tasks: Tasks) -> Self {
        Self {
            settings: Arc::new(settings),
            remembered: Arc::default(),
            sources: Sources::new(REVIEWS_OF_ONE),
            tasks,
        }
    }

    /// Whether a batch, not applied yet, may change which agents and waypoints there are.
    pub(crate) fn may_be_changed_by(&self, batch: &Batch, configuration: &Configuration) -> bool {
        batch.events.iter().any(|event| match event.key().kind {
            Kind::Gateway | Kind::GatewayClass => true,
            Kind::Pod => {
                let namespace = &event.key().namespace;
                self.namespaces().any(|name| name == namespace)
                    || configuration.is_made_for_gateway(event)
            }
            _ => false,
        })
    }

    /// Takes over which agents and waypoints there are.
    pub(crate) fn look_at(&self, configuration: &Configuration) {
        let namespaces: BTreeSet<_> = self.namespaces().collect();
        let in_them = namespaces.into_iter().flat_map(|namespace| {
            let objects = configuration.objects();
            objects.in_namespace(Kind::Pod, namespace)
        });
        let agents = in_them.filter_map(|(key, object)| match object {
            Object::Pod(pod) if !pod.is_finished() => CallerPod::of(key, pod, None),
            _ => None,
        });
        // Of a pod that may be either the last word counts: it is a waypoint.
        let waypoints = configuration
            .waypoint_pods()
            .filter_map(|(key, pod, gateway)| {
                let waypoint = WaypointCaller {
                    service: configuration.waypoint_service(&gateway),
                    service_account: gateway.name,
                };
                CallerPod::of(key, pod, Some(Arc::new(waypoint)))
            });
        self.settings.pods.replace(agents.chain(waypoints));
    }

    fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.settings.trusted.iter().map(|agent| &agent.namespace)
    }

    /// Who calls with this token, from that address.
    pub(crate) async fn caller(&self, token: &str, source: IpAddr) -> Result<Caller, Refusal> {
        let hash = hash(token).filter(|_| has_the_shape(token));
        let hash = hash.ok_or_else(|| unknown("it has not the shape of one"))?;
        let found = self.remembered.lock().answers.find(&hash, clock::now());
        let owner = match found {
            Found::Owner(owner) => owner,
            Found::Refused(refusal) => return Err(refusal),
            Found::Nothing => match self.review(hash, token, source) {
                // Its task ended early: the program stops.
                Some(review) => review.await.map_err(|_ended| unavailable("stopping"))??,
                None => self.unreviewed(&hash)?,
            },
        };
        self.admit(&owner)
    }

    /// Somebody keeps all reviews busy: who was let in before still is.
    fn unreviewed(&self, hash: &Hash) -> Outcome {
        let last = self
            .remembered
            .lock()
            .answers
            .unanswered(hash, clock::now());
        last.ok_or_else(|| unavailable("too many tokens are being reviewed"))
    }

    /// The review of a token: the one under way, or a new one; none if there are too many.
    fn review(
        &self,
        hash: Hash,
        token: &str,
        source: IpAddr,
    ) -> Option<Shared<oneshot::Receiver<Outcome>>> {
        let mut remembered = self.remembered.lock();
        if let Some(review) = remembered.reviews.get(&hash) {
            return Some(review.clone());
        }
        if remembered.reviews.len() >= REVIEWS {
            return None;
        }
        let share = self.sources.take(source)?;
        let (sender, receiver) = oneshot::channel();
        let review = receiver.shared();
        remembered.reviews.insert(hash, review.clone());
        drop(remembered);
        let (agents, token) = (self.clone(), token.to_owned());
        self.tasks.spawn("token review", async move {
            let asked = agents.settings.reviewer.review(&token);
            let answer = tokio::time::timeout(PATIENCE, asked).await;
            let answer = answer.unwrap_or_else(|_late| Err(ReviewError("no answer".to_owned())));
            let outcome = agents.remember(hash, answer);
            drop(share);
            // Whoever asked may have gone away meanwhile.
            drop(sender.send(outcome));
        });
        Some(review)
    }

    fn remember(&self, hash: Hash, answer: Result<Review, ReviewError>) -> Outcome {
        let now = clock::now();
        let outcome = answer.map(|review| self.owner_of(review));
        let mut remembered = self.remembered.lock();
        remembered.reviews.remove(&hash);
        match outcome {
            Ok(Ok(owner)) => {
                let owner = Arc::new(owner);
                remembered.answers.confirmed(hash, &owner, now);
                Ok(owner)
            }
            Ok(Err(refusal)) => {
                tracing::warn!(
                    reason = refusal.reason.word(),
                    "a caller is refused: {refusal}"
                );
                remembered.answers.refused(hash, &refusal, now);
                Err(refusal)
            }
            Err(error) => {
                let last = remembered.answers.unanswered(&hash, now);
                match &last {
                    Some(owner) => {
                        tracing::warn!(%error, "{owner} is let in by the last answer");
                    }
                    None => tracing::warn!(%error, "an unknown token is not let in"),
                }
                last.ok_or_else(|| unavailable("the API server does not answer"))
            }
        }
    }

    /// The service account of an agent or waypoint that a token is of.
    fn owner_of(&self, review: Review) -> Result<TokenOwner, Refusal> {
        match review {
            Review::Of(owner) if self.trusted(&owner).next().is_some() => Ok(owner),
            Review::Of(owner) if self.waypoint_pod(&owner).is_some() => Ok(owner),
            Review::Of(owner) => Err(not_an_agent(
                &owner.to_string(),
                "its account is no agent's, and its pod is no waypoint (yet)",
            )),
            Review::Other(who) => Err(not_an_agent(&who, "it is no service account")),
            Review::WrongAudience(claim) => {
                let why = format!("the token is not meant for the mesh ({claim})");
                Err(Refusal::new(Reason::WrongAudience, why))
            }
            Review::Unknown(claim) => Err(unknown(&claim)),
        }
    }

    fn trusted(&self, owner: &TokenOwner) -> impl Iterator<Item = &TrustedAgent> {
        let (namespace, account) = (owner.namespace.clone(), owner.service_account.clone());
        self.settings
            .trusted
            .iter()
            .filter(move |agent| agent.namespace == namespace && agent.service_account == account)
    }

    /// The waypoint's pod that a token is bound to.
    fn waypoint_pod(&self, owner: &TokenOwner) -> Option<Arc<CallerPod>> {
        let (_name, uid) = owner.pod.as_ref()?;
        self.settings
            .pods
            .get(uid)
            .filter(|pod| pod.waypoint.is_some())
    }

    /// The node or waypoint that a token speaks for, by the pods that we see.
    fn admit(&self, owner: &TokenOwner) -> Result<Caller, Refusal> {
        let who = owner.to_string();
        let Some((name, uid)) = &owner.pod else {
            return Err(not_an_agent(&who, "its token is bound to no pod"));
        };
        let pods = &self.settings.pods;
        if !pods.are_known() {
            return Err(unavailable("the pods of callers are not known yet"));
        }
        let Some(pod) = pods.get(uid) else {
            let why = format!("{who} is not known to run here (yet); try again");
            return Err(Refusal::new(Reason::UnknownPod, why));
        };
        let is_that_pod = pod.namespace == owner.namespace
            && pod.name == *name
            && pod.service_account == owner.service_account
            && owner.node.as_ref().is_none_or(|node| *node == pod.node);
        let is_an_agents = &*pod.owner_kind == "DaemonSet"
            && self
                .trusted(owner)
                .any(|agent| agent.daemon_set == pod.owner_name);
        let is_either = is_an_agents || pod.waypoint.is_some();
        if !is_that_pod || !is_either || pod.node.is_empty() {
            let why = "no agent's DaemonSet controls its pod, which is no waypoint";
            return Err(not_an_agent(&who, why));
        }
        Ok(Caller::of_pod(pods.clone(), Arc::clone(uid), pod))
    }
}

/// Three parts of base64url: nothing else is worth a question.
fn has_the_shape(token: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    token.split('.').count() == 3 && token.split('.').all(is_part)
}

fn unknown(claim: &str) -> Refusal {
    let why = format!("the token is of no service account, or over ({claim})");
    Refusal::new(Reason::UnknownToken, why)
}

fn not_an_agent(who: &str, why: &str) -> Refusal {
    Refusal::new(
        Reason::NotAnAgent,
        format!("{who} is no agent or waypoint: {why}"),
    )
}

fn unavailable(why: &str) -> Refusal {
    let why = format!("it cannot be told who calls: {why}; try again");
    Refusal::new(Reason::Unavailable, why)
}

#[cfg(test)]
mod tests;
