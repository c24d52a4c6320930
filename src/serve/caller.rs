//! Who a call comes from, for how long that holds, and why a call is refused.

use std::fmt;
use std::sync::Arc;

use ambit_model::ServiceName;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Code, Status};

use super::caller_pods::{CallerPod, CallerPods};
use super::tokens::{AdmittedSubjects, Subject};

/// Whoever a call comes from.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What logs and limits know it by: for an agent, the name of its Node object; with a slash in
    /// it, which no node's has, for a waypoint.
    pub(crate) name: Arc<str>,
    /// What it is.
    pub(crate) who: Who,
    stay: Stay,
}

/// What a caller is.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// The agent of the node that [`Caller::name`] names.
    Agent,
    /// A waypoint.
    Waypoint(Arc<WaypointCaller>),
}

/// What a waypoint may know and be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaypointCaller {
    /// Its service, which others are bound to.
    pub(crate) service: ServiceName,
    /// The service account whose identity it has, in the service's namespace.
    pub(crate) service_account: Arc<str>,
}

/// What has to be there for the caller to be let in.
#[derive(Clone, Debug)]
enum Stay {
    /// Nothing: its token is of the operator's file.
    Always,
    /// What its token was made for.
    Subject(AdmittedSubjects, Subject),
    /// Its pod, by its uid, as that is now.
    Pod(CallerPods, Arc<str>, Arc<CallerPod>),
}

impl Caller {
    /// One whose token the operator gave.
    pub(crate) fn given(subject: &Subject, who: Who) -> Self {
        Self {
            name: subject.name(),
            who,
            stay: Stay::Always,
        }
    }

    /// One that is let in while what its token was made for is known.
    pub(crate) fn of_subject(subject: Subject, who: Who, subjects: AdmittedSubjects) -> Self {
        Self {
            name: subject.name(),
            who,
            stay: Stay::Subject(subjects, subject),
        }
    }

    /// One that is let in while its pod, of this uid, is there and is what it is.
    pub(crate) fn of_pod(pods: CallerPods, uid: Arc<str>, pod: Arc<CallerPod>) -> Self {
        let (name, who) = match &pod.waypoint {
            None => (Arc::clone(&pod.node), Who::Agent),
            Some(waypoint) => {
                let name = format!("waypoint/{}/{}", pod.namespace, pod.name);
                (name.into(), Who::Waypoint(Arc::clone(waypoint)))
            }
        };
        Self {
            name,
            who,
            stay: Stay::Pod(pods, uid, pod),
        }
    }

    /// The node whose agent calls; nobody else may.
    pub(crate) fn node(&self) -> Result<&Arc<str>, Status> {
        match &self.who {
            Who::Agent => Ok(&self.name),
            Who::Waypoint(_) => Err(Status::permission_denied("this is for node agents only")),
        }
    }

    /// Waits until the caller is no longer let in: a stream must not outlive its token.
    pub(crate) async fn dismissed(&mut self) {
        match &mut self.stay {
            Stay::Always => std::future::pending().await,
            Stay::Subject(subjects, subject) => subjects.without(subject).await,
            Stay::Pod(pods, uid, pod) => pods.gone(uid, pod).await,
        }
    }
}

/// Why a call is refused, in words that metrics know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It has no bearer token.
    NoToken,
    /// Nobody knows the token, or it is over.
    UnknownToken,
    /// The token is meant for somebody else.
    WrongAudience,
    /// The token is good, but its owner is neither an agent nor a waypoint.
    NotAnAgent,
    /// The token's pod is not known here, or not yet.
    UnknownPod,
    /// It cannot be told now.
    Unavailable,
}

impl Reason {
    /// Every reason.
    pub(crate) const ALL: [Self; 6] = [
        Self::NoToken,
        Self::UnknownToken,
        Self::WrongAudience,
        Self::NotAnAgent,
        Self::UnknownPod,
        Self::Unavailable,
    ];

    /// The word for metrics and logs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::UnknownToken => "unknown_token",
            Self::WrongAudience => "wrong_audience",
            Self::NotAnAgent => "not_an_agent",
            Self::UnknownPod => "unknown_pod",
            Self::Unavailable => "unavailable",
        }
    }

    /// True if the caller is told to come again.
    pub(crate) fn passes(self) -> bool {
        matches!(self, Self::UnknownPod | Self::Unavailable)
    }

    fn code(self) -> Code {
        match self {
            Self::NoToken | Self::UnknownToken | Self::WrongAudience => Code::Unauthenticated,
            Self::NotAnAgent => Code::PermissionDenied,
            Self::UnknownPod | Self::Unavailable => Code::Unavailable,
        }
    }
}

/// A call that is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) reason: Reason,
    message: Arc<str>,
}

impl Refusal {
    /// One for this reason, with words for the caller's log and for ours.
    pub(crate) fn new(reason: Reason, message: impl Into<Arc<str>>) -> Self {
        let message = message.into();
        Self { reason, message }
    }

    /// What the caller is answered.
    pub(crate) fn status(&self) -> Status {
        Status::new(self.reason.code(), self.message.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The bearer token of a call.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| Refusal::new(Reason::NoToken, "no bearer token: send the agent's own"))
}
