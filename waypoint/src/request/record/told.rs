//! What is told of a request that is over: by its series, and by its line in the access log.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_decide::Reason;
use ambit_kit::clock;
use ambit_telemetry::{Ends, Exchange, Onward, Protocol};
use http::{HeaderValue, StatusCode};

use super::Record;
use super::line::RequestLine;
use crate::http::replay::Broke;
use crate::request::local::{Fault, Flag, grpc_code};

/// What is said of a client that did not wait for the end.
const LEFT: &str = "the client left before the answer was complete";
/// What is said of a client that was cut off.
const CUT: &str = "not complete at the end of the drain";

impl Record {
    /// Counts it and writes it down.
    pub(super) fn tell(&self) {
        let ends = self.ends();
        let (flags, reason, error) = self.outcome();
        let (sent, request_messages) = self.sent();
        let path = self.uri.path_and_query().map_or("", |path| path.as_str());
        let destination = self.destination.as_deref();
        let exchange = Exchange {
            ends: &ends,
            protocol: self.protocol,
            version: self.version,
            method: self.method.as_str().as_bytes(),
            path: path.as_bytes(),
            host: self.host(),
            request_id: text(self.request_id.as_ref()),
            user_agent: text(self.user_agent.as_ref()),
            status: self.told_status().map(|status| status.as_u16()),
            grpc_status: self.told_grpc_status().map(u32::from),
            flags,
            reason,
            policy: self.fault.as_ref().and_then(|fault| fault.policy.as_ref()),
            error,
            route: self.rule.as_ref().map(|rule| &*rule.model.name),
            source: self.call.client.address,
            destination: self.call.destination,
            upstream: destination.map(|to| to.address),
            onward: self.onward(),
            sent,
            received: self.answered_bytes,
            request_messages,
            response_messages: self.answered_messages,
            duration: clock::now().duration_since(self.began),
            tries: destination.map_or(0, |_| self.retries + 1),
            trace: self.trace.as_ref().map(|trace| trace.texts()),
            shaped: None,
        };
        let values = self.telling.values(|| self.line(&exchange));
        let exchange = Exchange {
            shaped: self.telling.shaped(&values),
            ..exchange
        };
        let line = self.telling.line(|| self.line(&exchange));
        if let Some(trace) = &self.trace {
            trace.end(&exchange);
        }
        self.proxy.telemetry.record(&exchange, line);
    }

    /// What a format may ask for.
    fn line<'r>(&'r self, exchange: &'r Exchange<'r>) -> RequestLine<'r> {
        let sent = self.sent.as_deref();
        let ended = sent.map_or(Some(self.began), |sent| sent.ended.get().copied());
        RequestLine {
            details: self.details(),
            hostname: &self.proxy.tellings.hostname,
            request: ended.map(|ended| ended.duration_since(self.began)),
            has_met_endpoint: self.has_met_endpoint(),
            ..RequestLine::new(exchange, &self.telling).keeping(self.kept.as_deref())
        }
    }

    /// Why the answer is what it is, in Envoy's words.
    fn details(&self) -> Cow<'static, str> {
        match &self.fault {
            Some(fault) => details_of(fault, self.answered),
            None if !self.complete => "downstream_remote_disconnect".into(),
            None if self.answered => "via_upstream".into(),
            None => "direct_response".into(),
        }
    }

    /// What the client was answered, if it was there to be answered.
    fn told_status(&self) -> Option<StatusCode> {
        let fault = self.fault.as_ref();
        let left = !self.answered && fault.is_some_and(|fault| fault.flag == Flag::ClientLeft);
        self.status.filter(|_| !left)
    }

    /// What that is to a client of gRPC, which goes by the status of HTTP where there is no other.
    fn told_grpc_status(&self) -> Option<u16> {
        let is_grpc = self.protocol == Protocol::Grpc;
        let status = self.told_status().filter(|_| is_grpc);
        self.grpc_status.or_else(|| status.map(grpc_code))
    }

    /// The host that was asked for.
    fn host(&self) -> &[u8] {
        match self.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => text(self.host.as_ref()),
        }
    }

    /// Bytes and messages of the client.
    fn sent(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let sent = self.sent.as_deref();
        let (bytes, messages) =
            sent.map_or((0, 0), |sent| (read(&sent.bytes), read(&sent.messages)));
        (bytes + self.switched_bytes, messages)
    }

    fn ends(&self) -> Ends {
        let destination = self.destination.as_deref();
        let proved = destination.filter(|_| self.has_met_endpoint());
        Ends {
            service: self.service.clone(),
            destination: destination.and_then(|to| to.told()),
            destination_id: proved.and_then(|to| to.identity.clone()),
            ..self.call.client.ends()
        }
    }

    /// True if it certainly was on a connection to its endpoint.
    fn has_met_endpoint(&self) -> bool {
        let flag = self.fault.as_ref().map(|fault| fault.flag);
        // A connection that turned out to be closed is none.
        self.met.load(Ordering::Relaxed) && flag != Some(Flag::ConnectFailure)
    }

    /// How it was sent on, if it may have been.
    fn onward(&self) -> Onward {
        let Some(destination) = &self.destination else {
            return Onward::Nothing;
        };
        let flag = self.fault.as_ref().map(|fault| fault.flag);
        // The pool keeps connections by how they were made: it is as the endpoint was when it was chosen.
        match destination.is_tunnelled() {
            _ if matches!(
                flag,
                Some(Flag::ConnectFailure | Flag::NoEndpoint | Flag::Overflow)
            ) =>
            {
                Onward::Nothing
            }
            true => Onward::MutualTls,
            false => Onward::Clear,
        }
    }

    /// Whether its body is something else than HTTP.
    fn is_malformed(&self) -> bool {
        let broke = matches!(self.broke(), Some(Broke::Malformed(_)));
        let fault = self.fault.as_ref();
        broke && fault.is_some_and(|fault| fault.reason == Reason::MalformedRequest.word())
    }

    /// Why the answer is not an endpoint's own and whole: Envoy's letters, our word, the details.
    fn outcome(&self) -> (&'static str, Option<&'static str>, Option<&str>) {
        let letters = |flag: Flag| flag.letters_after(self.before);
        match &self.fault {
            // The first refuses nothing; whoever reads the connection counts the second.
            Some(fault) if fault.flag == Flag::ClientLeft || self.is_malformed() => {
                (letters(fault.flag), None, Some(&fault.detail))
            }
            Some(fault) => (letters(fault.flag), Some(fault.reason), Some(&fault.detail)),
            None if self.complete => (letters(Flag::None), None, None),
            None if self.proxy.over.is_cancelled() => (
                letters(Flag::None),
                Some(Reason::Draining.word()),
                Some(CUT),
            ),
            None => (letters(Flag::ClientLeft), None, Some(LEFT)),
        }
    }
}

/// What Istio has Envoy call the rule that refuses.
fn rbac_name(fault: &Fault) -> String {
    let Some(policy) = &fault.policy else {
        return "none".to_owned();
    };
    let rule = fault.rule.map(|rule| format!("-rule[{rule}]"));
    let (namespace, name) = (&policy.namespace, &policy.name);
    format!("ns[{namespace}]-policy[{name}]{}", rule.unwrap_or_default())
}

/// Envoy's words for a fault, and ours where it has none.
fn details_of(fault: &Fault, answered: bool) -> Cow<'static, str> {
    let when = if answered { "after" } else { "before" };
    match (fault.flag, fault.reason) {
        (Flag::Denied, _) if fault.is_by_policy() => {
            format!("rbac_access_denied_matched_policy[{}]", rbac_name(fault)).into()
        }
        (Flag::Denied, reason) if reason.starts_with("jwt_") => {
            let said = fault.said.unwrap_or(reason).replace(' ', "_");
            format!("jwt_authn_access_denied{{{said}}}").into()
        }
        (Flag::ClientLeft, _) => "downstream_remote_disconnect".into(),
        (Flag::NoRoute, "no_route") => "route_not_found".into(),
        (Flag::NoSubset, _) => "cluster_not_found".into(),
        (Flag::NoEndpoint, "no_endpoint" | "no_waypoint") => "no_healthy_upstream".into(),
        (Flag::Timeout, _) => "response_timeout".into(),
        (Flag::TryTimeout, _) => "upstream_per_try_timeout".into(),
        (Flag::ConnectFailure, _) => {
            let what = "upstream_reset_before_response_started{remote_connection_failure|";
            format!("{what}{}}}", fault.reason).into()
        }
        (Flag::Reset, _) => {
            format!("upstream_reset_{when}_response_started{{connection_termination}}").into()
        }
        (Flag::Garbled, _) => {
            format!("upstream_reset_{when}_response_started{{protocol_error}}").into()
        }
        (Flag::RemoteReset, _) => {
            format!("upstream_reset_{when}_response_started{{remote_reset}}").into()
        }
        (Flag::Idle, _) => "stream_idle_timeout".into(),
        (Flag::Injected, _) => "fault_filter_abort".into(),
        (Flag::Overloaded, _) => "overload".into(),
        (Flag::Overflow, _) => "upstream_reset_before_response_started{overflow}".into(),
        (_, reason) => reason.into(),
    }
}

fn text(value: Option<&HeaderValue>) -> &[u8] {
    value.map(HeaderValue::as_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
