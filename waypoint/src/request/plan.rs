//! What is known of a request that goes on, by the stages of [`answer`](super::answer): a rule that it has met
//! ([`Met`]), then where it leads ([`Routed`]), then all that sending it needs ([`Plan`]).

use std::sync::Arc;

use ambit_route::{CorsHeaders, Covered, Rule};
use http::Response;
use http::request::Parts;

use super::Target;
use super::authenticate::Tokens;
use super::client::ToldClient;
use super::hashed::Hashed;
use super::hops::Hops;
use super::session::Stay;
use super::time::Time;
use crate::authorize::{Asking, Seen};
use crate::call::Call;
use crate::http::body::Body;
use crate::upstream::link::Width;
use crate::view::View;

/// What a route of the client's own namespace does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByClient {
    /// There is none.
    Nothing,
    /// It leads it.
    Leads,
    /// It leads and changes it: then it is judged as it is sent, too.
    Changes,
}

impl ByClient {
    /// What the rule does that was met, if it is of such a route.
    pub(super) fn of(rule: &Rule, is_own: bool) -> Self {
        match (is_own, rule.changes_requests()) {
            (false, _) => Self::Nothing,
            (true, false) => Self::Leads,
            (true, true) => Self::Changes,
        }
    }

    /// Whether it leads it.
    pub(super) fn leads(self) -> bool {
        self != Self::Nothing
    }

    /// Whether it changes it.
    pub(super) fn changes(self) -> bool {
        self == Self::Changes
    }
}

/// The rule that a request has met.
pub(super) struct Met {
    pub(super) rule: Arc<Rule>,
    /// How much of the path its match has covered.
    pub(super) covered: Covered,
    /// What it does, if it is the client's own.
    pub(super) by_client: ByClient,
    /// Its session, if the rule has sessions.
    pub(super) session: Option<Stay>,
    /// What its answer says to a browser.
    pub(super) cors: Option<CorsHeaders>,
    /// The request as it came, if the rule changes it: so it is judged.
    pub(super) came: Option<Box<Parts>>,
}

impl Met {
    /// The rule's own answer, with what the rule puts on all answers. A redirect goes as it is.
    pub(super) fn direct(&self, mut answer: Response<Body>) -> Response<Body> {
        if self.rule.filters.redirect.is_none() {
            self.last_word(&mut answer);
        }
        answer
    }

    /// What the rule puts on all answers.
    fn last_word(&self, answer: &mut Response<Body>) {
        let headers = answer.headers_mut();
        self.rule.filters.response_headers.apply(headers);
        if let Some(cors) = &self.cors {
            cors.apply(headers);
        }
    }
}

/// Where a request goes.
pub(crate) struct Routed {
    pub(crate) view: Arc<View>,
    pub(crate) to: Target,
    /// Whose tokens it has.
    pub(crate) tokens: Tokens,
    /// How long it may take.
    pub(super) time: Time,
    /// The rule that led it there, if the service has routes, and the index of the backend among the rule's.
    pub(super) by: Option<(Met, usize)>,
}

impl Routed {
    /// The rule that led it there, if the service has routes.
    pub(super) fn met(&self) -> Option<&Met> {
        self.by.as_ref().map(|(met, _)| met)
    }

    /// What a route of the client's own namespace does with it.
    pub(super) fn by_client(&self) -> ByClient {
        self.met().map_or(ByClient::Nothing, |met| met.by_client)
    }

    /// Its session, if its rule has sessions.
    pub(super) fn session(&self) -> Option<&Stay> {
        self.met()?.session.as_ref()
    }

    /// The request as it came, which now has this head.
    fn came<'a>(&'a self, head: &'a Parts) -> &'a Parts {
        let came = self.met().and_then(|met| met.came.as_deref());
        came.unwrap_or(head)
    }

    /// What policies are asked about.
    pub(super) fn asking<'a>(&'a self, call: &'a Call, head: &'a Parts) -> Asking<'a> {
        self.asking_as(call, self.came(head))
    }

    /// The same of the request as it is sent.
    pub(super) fn asking_as<'a>(&'a self, call: &'a Call, head: &'a Parts) -> Asking<'a> {
        let asking = Asking::request(call, head, Some(&self.tokens));
        asking.led_to(&self.to, self.by_client().leads())
    }

    /// What policies are asked about, to be kept.
    pub(super) fn seen(&self, head: &Parts) -> Seen {
        Seen {
            head: self.came(head).clone(),
            tokens: self.tokens.clone(),
            to: self.to.clone(),
            is_led_by_client: self.by_client().leads(),
        }
    }
}

/// A request that is to be sent, and what is done with its answer.
pub(crate) struct Plan {
    pub(crate) routed: Routed,
    /// What decides where endpoints are picked by a hash.
    pub(super) hashed: Option<Hashed>,
    /// Whether the client asks to go on with another protocol.
    pub(super) switches: bool,
    /// What endpoints are told of the client.
    pub(super) client: ToldClient,
    /// What it has come through.
    pub(super) hops: Hops,
    /// How much of its answer may wait.
    pub(super) width: Width,
}

impl Plan {
    /// The filters of an answer: the backend's, then the rule's.
    pub(super) fn after(&self, mut answer: Response<Body>) -> Response<Body> {
        if let Some((met, backend)) = &self.routed.by {
            if let Some(backend) = met.rule.backends.get(*backend) {
                let headers = answer.headers_mut();
                backend.filters.response_headers.apply(headers);
            }
            met.last_word(&mut answer);
        }
        if let Some(hashed) = &self.hashed {
            hashed.keep(answer.headers_mut());
        }
        answer
    }
}
