//! What is known of a request that goes on, by the stages of [`answer`](super::answer): a rule that it has met
//! ([`Met`]), then where it leads ([`Routed`]), then all that sending it needs ([`Plan`]).

use std::sync::Arc;

use ambit_route::{CorsHeaders, Covered, Hand, Rule};
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

/// Who has written the rule that a request meets, and what that does.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    rule: Arc<Rule>,
    /// The client's namespace, if the list that it stands in is for that alone.
    client: Option<Arc<str>>,
}

impl Writer {
    /// Whose hand leads a request there.
    pub(super) fn hand(&self, to: &Target) -> Hand {
        hand_of(&self.rule, self.client.as_deref(), to)
    }
}

fn hand_of(rule: &Rule, client: Option<&str>, to: &Target) -> Hand {
    Hand::of(
        &rule.model.name,
        rule.changes_requests(),
        client,
        to.namespace(),
    )
}

/// The rule that a request has met.
pub(super) struct Met {
    pub(super) rule: Arc<Rule>,
    /// How much of the path its match has covered.
    pub(super) covered: Covered,
    /// The client's namespace, if the list that it stands in is for that alone.
    pub(super) client: Option<Arc<str>>,
    /// Its session, if the rule has sessions.
    pub(super) session: Option<Stay>,
    /// What its answer says to a browser.
    pub(super) cors: Option<CorsHeaders>,
    /// The request as it came, if the rule changes it: so it is judged.
    pub(super) came: Option<Box<Parts>>,
}

impl Met {
    /// Whose hand leads it there.
    pub(super) fn hand(&self, to: &Target) -> Hand {
        hand_of(&self.rule, self.client.as_deref(), to)
    }

    fn writer(&self) -> Writer {
        Writer {
            rule: Arc::clone(&self.rule),
            client: self.client.clone(),
        }
    }

    /// An answer, also the waypoint's own, with what the rule puts on all of them.
    pub(super) fn last_word(&self, answer: Response<Body>) -> Response<Body> {
        last_word(&self.rule, self.cors.as_ref(), answer)
    }
}

/// An answer with what a rule puts on all of them.
pub(super) fn last_word(
    rule: &Rule,
    cors: Option<&CorsHeaders>,
    mut answer: Response<Body>,
) -> Response<Body> {
    let headers = answer.headers_mut();
    rule.filters.response_headers.apply(headers);
    if let Some(cors) = cors {
        cors.apply(headers);
    }
    answer
}

/// Where a request goes.
pub(crate) struct Routed {
    pub(crate) view: Arc<View>,
    pub(crate) to: Target,
    /// Whose hand has led it there.
    pub(super) hand: Hand,
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

    /// Who has led it, if the service has routes.
    pub(super) fn writer(&self) -> Option<Writer> {
        self.met().map(Met::writer)
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
        self.asking_as(call, self.came(head), &self.tokens)
    }

    /// The same of the request as it is sent, and what is known of its tokens then.
    pub(super) fn asking_as<'a>(
        &'a self,
        call: &'a Call,
        head: &'a Parts,
        tokens: &'a Tokens,
    ) -> Asking<'a> {
        let asking = Asking::request(call, head, Some(tokens));
        asking.led_to(&self.to, self.hand)
    }

    /// What policies are asked about, to be kept.
    pub(super) fn seen(&self, head: &Parts) -> Seen {
        Seen {
            head: self.came(head).clone(),
            tokens: self.tokens.clone(),
            to: self.to.clone(),
            hand: self.hand,
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
    /// The filters of an answer, also of the waypoint's own: the backend's, then the rule's.
    pub(super) fn filtered(&self, mut answer: Response<Body>) -> Response<Body> {
        let Some((met, backend)) = &self.routed.by else {
            return answer;
        };
        if let Some(backend) = met.rule.backends.get(*backend) {
            let headers = answer.headers_mut();
            backend.filters.response_headers.apply(headers);
        }
        met.last_word(answer)
    }

    /// What becomes of an endpoint's answer.
    pub(super) fn after(&self, answer: Response<Body>) -> Response<Body> {
        let mut answer = self.filtered(answer);
        if let Some(hashed) = &self.hashed {
            hashed.keep(answer.headers_mut());
        }
        answer
    }
}
