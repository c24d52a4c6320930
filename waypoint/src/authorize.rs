//! What policies say about a client's connection, or about a request of it, at three places:
//!
//! - before anything is routed, by the policies that are bound to what was asked for: the service, and this
//!   waypoint ([`Asking::before_routing`]); to them the destination is what the client asked for
//! - where a route has led to another service, by those that are bound to that; and where it was another namespace
//!   than that of the service that wrote the route, or the client's own, to any other port, by those that are bound to
//!   this waypoint too. To them the destination is where it was led ([`Asking::led_to`])
//! - at the endpoint that was chosen, by all others that apply to its workload ([`Asking::at_endpoint`])
//!
//! Each place has DENY policies that may refuse and ALLOW policies of which one must match. A request is
//! judged as it was when it came, with its path in normal form and before any filter changed it: whoever
//! writes a policy need not know the routes.
//!
//! What a policy is bound to may also be reached by the address of a pod: then it is judged at the endpoint. None
//! is passed over: what one may be about that cannot be read is refused at the first two places
//! (`view/unread.rs`), and at the endpoint whatever names one that is not known.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_decide::{
    Admission, Connection, DryRun, Reason, Refusal, Said, at_waypoint, before_routing,
};
use ambit_model::{Action, Policy, PolicyName, ServiceName, Workload};
use ambit_policy::{Attributes, Claims, Headers, Request, joined};
use ambit_route::{Hand, Head};
use http::HeaderMap;
use http::request::Parts;

use crate::call::{Asked, Call};
use crate::proxy::Proxy;
use crate::request::Target;
use crate::request::authenticate::Tokens;
use crate::view::View;

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    call: &'a Call,
    what: What<'a>,
    led: Option<Led<'a>>,
}

/// What a route has led to, which is not what was asked for.
#[derive(Clone, Copy, Debug)]
struct Led<'a> {
    service: &'a ServiceName,
    port: u16,
    /// Who has written the route.
    hand: Hand,
}

#[derive(Clone, Copy, Debug)]
enum What<'a> {
    /// A request, with what is known of its tokens.
    Request(&'a Parts, Option<&'a Tokens>),
    /// A connection that is no HTTP, with the server name that its client asks for.
    Connection(Option<&'a str>),
    /// Any request that there may be on the connection.
    AnyRequest,
}

/// A request as it came, kept to be judged again.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its head.
    pub(crate) head: Parts,
    /// What is known of its tokens.
    pub(crate) tokens: Tokens,
    /// Where it was led.
    pub(crate) to: Target,
    /// Whose hand has led it there.
    pub(crate) hand: Hand,
}

impl Seen {
    /// That it is asked for on this connection.
    pub(crate) fn asked_on<'a>(&'a self, call: &'a Call) -> Asking<'a> {
        let asking = Asking::request(call, &self.head, Some(&self.tokens));
        asking.led_to(&self.to, self.hand)
    }
}

impl<'a> Asking<'a> {
    /// A request of a connection, with what is known of its tokens.
    pub(crate) fn request(call: &'a Call, head: &'a Parts, tokens: Option<&'a Tokens>) -> Self {
        Self::what(call, What::Request(head, tokens))
    }

    /// A connection that is no HTTP.
    pub(crate) fn connection(call: &'a Call, server_name: Option<&'a str>) -> Self {
        Self::what(call, What::Connection(server_name))
    }

    /// A connection of HTTP: refused is what no request on it could have.
    pub(crate) fn any_request(call: &'a Call) -> Self {
        Self::what(call, What::AnyRequest)
    }

    fn what(call: &'a Call, what: What<'a>) -> Self {
        let led = None;
        Self { call, what, led }
    }

    /// The same, which a route of this hand has led there.
    pub(crate) fn led_to(self, target: &'a Target, hand: Hand) -> Self {
        let Target::Service(service, port, _) = target else {
            return self;
        };
        let (service, port) = (service, *port);
        let asked = self.call.service();
        let is_asked = asked.is_some_and(|(asked, of)| {
            asked.name == *service && (!hand.leads() || of.service_port == port)
        });
        let led = (!is_asked).then_some(Led {
            service,
            port,
            hand,
        });
        Self { led, ..self }
    }

    /// Whether another waypoint, behind which the service is that it was led to, may be asked for it.
    pub(crate) fn beyond(&self) -> Result<(), Refusal> {
        let Some(led) = self.led.filter(|led| led.hand.borrows()) else {
            return Ok(());
        };
        let detail = format!(
            "a route of the client's own namespace leads to {}, which is behind another waypoint: that would judge \
             this waypoint in the client's place",
            led.service
        );
        Err(Refusal::new(Reason::RouteNotGranted, detail))
    }

    /// The service that it was led to, if another one was asked for, and the port.
    pub(crate) fn led_service(&self) -> Option<(&'a ServiceName, u16)> {
        let asked = self.call.service().map(|(asked, _)| &asked.name);
        let led = self.led.filter(|led| asked != Some(led.service));
        led.map(|led| (led.service, led.port))
    }

    /// Judges by what is bound to what was asked for.
    pub(crate) fn before_routing(&self, view: &View) -> Result<Admission, Refusal> {
        let service = self.call.service().map(|(service, _)| &service.name);
        service.map_or(Ok(()), |service| view.unread.check(service))?;
        let of_service = || {
            service
                .into_iter()
                .flat_map(|name| view.policies.bound(name))
        };
        let policies = || {
            let once = |policy: &&Arc<Policy>| !policy.is_bound_to(&view.own);
            let to_waypoint = view.policies.bound(&view.own);
            to_waypoint.chain(of_service().filter(once))
        };
        if view.policies.is_empty() {
            return Ok(Admission::default());
        }
        let to = self.call.destination;
        let claims = match self.what {
            What::Request(_, Some(tokens)) => tokens.claims(),
            _ => &[],
        };
        let say = |policy: &Policy| self.say(view, policy, to, claims);
        match &self.call.asked {
            Asked::Service(service, _) => {
                before_routing(policies, &service.name, &self.judged(to), say)
            }
            Asked::Workload(asked) => {
                before_routing(policies, &asked.workload.uid, &self.judged(to), say)
            }
        }
    }

    /// Judges by what is bound to the service that it was led to.
    fn where_led(&self, view: &View, led: Led<'a>) -> Result<Admission, Refusal> {
        view.unread.check(led.service)?;
        let is_own = |policy: &&Arc<Policy>| led.hand.leads() && policy.is_bound_to(&view.own);
        let policies = || {
            let own = view.policies.bound(&view.own).filter(|_| led.hand.leads());
            let to_service = view.policies.bound(led.service);
            // Each once.
            own.chain(to_service.filter(move |policy| !is_own(policy)))
        };
        let service = view.mesh.service(led.service);
        let vip = service.and_then(|service| service.vips.first());
        let ip = vip.map_or_else(|| self.call.destination.ip(), |vip| vip.0.address);
        let to = SocketAddr::new(ip, led.port);
        let authentications = service.map_or(&[][..], |service| &service.authentications);
        let seen = OnceCell::new();
        let say = |policy: &Policy| {
            let see = || self.seen_by(view, authentications, &led.service.namespace);
            let (claims, shown) = seen.get_or_init(see);
            self.showing(shown.as_deref()).say(view, policy, to, claims)
        };
        before_routing(policies, led.service, &self.judged(to), say)
    }

    /// What its tokens say to whoever judges them by these in a namespace, and the request as they change it.
    fn seen_by(
        &self,
        view: &View,
        lists: &[PolicyName],
        namespace: &str,
    ) -> (Cow<'a, [Claims]>, Option<Box<Parts>>) {
        match self.what {
            What::Request(head, Some(tokens)) => tokens.at(view, (lists, namespace), head),
            _ => (Cow::Borrowed(&[][..]), None),
        }
    }

    /// The same with this head, if there is one.
    fn showing<'s>(&'s self, head: Option<&'s Parts>) -> Asking<'s> {
        match (head, self.what) {
            (Some(head), What::Request(_, tokens)) => Asking {
                what: What::Request(head, tokens),
                ..*self
            },
            _ => *self,
        }
    }

    /// Judges by what applies to a workload and was not judged before, and by what is bound to the service that it
    /// was led to. `port` is the one that it was asked for by: policies that are bound to a service speak of that service's.
    pub(crate) fn at_endpoint(
        &self,
        view: &View,
        workload: &Workload,
        to: SocketAddr,
        port: u16,
    ) -> Result<Admission, Refusal> {
        let led = self.led.map(|led| self.where_led(view, led)).transpose()?;
        // By the workload's own authentications only where a policy asks: the request is judged by them once
        // more when it is sent.
        let seen = OnceCell::new();
        let say = |policy: &Policy| {
            let see = || self.seen_by(view, &workload.authentications, &workload.namespace);
            let (claims, shown) = seen.get_or_init(see);
            // With the headers that are made of claims, as the workload is sent it: nobody else may set these.
            let asking = self.showing(shown.as_deref());
            let is_bound = policy
                .requests
                .as_ref()
                .is_some_and(|requests| !requests.targets.is_empty());
            match is_bound {
                true if self.was_judged(view, policy) => Said::Elsewhere,
                true => {
                    let ports = bound_ports(policy, workload, to.port(), port);
                    asking.say_on(view, policy, (to.ip(), &ports), claims)
                }
                false => asking.say(view, policy, to, claims),
            }
        };
        let mut admission = at_waypoint(&view.mesh, workload, &self.judged(to), say)?;
        admission
            .dry_run
            .extend(led.into_iter().flat_map(|led| led.dry_run));
        Ok(admission)
    }

    /// What a policy says that speaks of any of several ports: one that refuses does so by any of them, one
    /// that allows by all only.
    fn say_on(
        &self,
        view: &View,
        policy: &Policy,
        (ip, ports): (IpAddr, &[u16]),
        claims: &[Claims],
    ) -> Said {
        let mut said = ports
            .iter()
            .map(|port| self.say(view, policy, SocketAddr::new(ip, *port), claims));
        let matches = |said: &Said| *said != Said::Rule(None);
        let decides = |said: &Said| matches(said) != (policy.action == Action::Allow);
        let first = said.next().unwrap_or(Said::Rule(None));
        match decides(&first) {
            true => first,
            false => said.find(decides).unwrap_or(first),
        }
    }

    /// Counts and writes down what policies say that decide nothing.
    pub(crate) fn tell(&self, proxy: &Proxy, asides: &[DryRun]) {
        for aside in asides {
            self.tell_one(proxy, aside);
        }
    }

    #[cold]
    fn tell_one(&self, proxy: &Proxy, aside: &DryRun) {
        let policy = &aside.policy;
        let client = self.call.client.address;
        let identity = self.call.client.identity.as_ref().map(|id| id.as_str());
        let (method, path) = match self.what {
            What::Request(head, _) => (head.method.as_str(), head.uri.path()),
            What::Connection(_) | What::AnyRequest => ("-", "-"),
        };
        if aside.is_audit {
            proxy.telemetry.audited(policy);
            tracing::info!(%policy, %client, identity, method, path, "an AUDIT policy matches");
            return;
        }
        let would_refuse = aside.would_refuse();
        proxy.telemetry.tried(policy, would_refuse);
        if would_refuse {
            tracing::info!(%policy, %client, identity, method, path, "a dry-run policy would refuse");
        }
    }

    fn judged(&self, to: SocketAddr) -> Connection<'a> {
        let client = &self.call.client;
        Connection::new(client.address.ip(), to, client.identity.as_ref())
    }

    /// Whether a policy was judged before it was known where this leads.
    fn was_judged(&self, view: &View, policy: &Policy) -> bool {
        let service = self.call.service();
        policy.is_bound_to(&view.own)
            || service.is_some_and(|(service, _)| policy.is_bound_to(&service.name))
            || self.led.is_some_and(|led| policy.is_bound_to(led.service))
    }

    /// Whether a policy matches. One that allows is shown what the first token says, any other what each of
    /// them does.
    fn say(
        &self,
        view: &View,
        policy: &Policy,
        destination: SocketAddr,
        claims: &[Claims],
    ) -> Said {
        let Some(ready) = view.policies.ready(&policy.name) else {
            return Said::Nothing;
        };
        let attributes = |sni, request| Attributes {
            peer: self.call.client.identity.as_ref(),
            source_ip: self.ip(),
            remote_ip: self.ip(),
            destination,
            sni,
            request,
        };
        Said::Rule(match self.what {
            What::Request(head, _) => {
                let lines = Lines(&head.headers);
                let head = Head::of(head);
                let request = |claims| Request {
                    method: head.method.as_str(),
                    host: head.authority,
                    path: head.path,
                    headers: &lines,
                    claims,
                };
                let mut all = claims.iter();
                let mut matched = ready.matched_by(&attributes(None, Some(request(all.next()))));
                if policy.action == Action::Deny {
                    for claims in all {
                        let attributes = attributes(None, Some(request(Some(claims))));
                        matched = matched.or_else(|| ready.matched_by(&attributes));
                    }
                }
                matched
            }
            What::Connection(server_name) => ready.matched_by(&attributes(server_name, None)),
            What::AnyRequest => ready.matched_at_best(&attributes(None, None)),
        })
    }

    /// The client's address. Whoever sends on for others is a client like any.
    fn ip(&self) -> IpAddr {
        self.call.client.address.ip()
    }
}

/// The ports that a policy means that is bound to services: those by which they lead to this port of the
/// workload, or else the one that was asked for.
fn bound_ports(policy: &Policy, workload: &Workload, to: u16, asked: u16) -> Vec<u16> {
    let targets = policy
        .requests
        .iter()
        .flat_map(|requests| &requests.targets);
    let mappings = targets.filter_map(|name| workload.services.get(name));
    let here = mappings
        .flatten()
        .filter(|mapping| mapping.target_port == to);
    let mut ports: Vec<u16> = here.map(|mapping| mapping.service_port).collect();
    if ports.is_empty() {
        ports.push(asked);
    }
    ports
}

/// Headers as policies ask for them.
#[derive(Debug)]
struct Lines<'a>(&'a HeaderMap);

impl Headers for Lines<'_> {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let lines = self.0.get_all(name).iter();
        joined(lines.map(|line| line.as_bytes()))
    }

    fn any_line(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut lines = self.0.get_all(name).iter();
        lines.any(|line| is(line.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
