//! Which rule of a service's routes a request meets, and where that leads it.

use std::sync::Arc;

use ambit_model::{
    AbortStatus, Backend, BackendTarget, Faults, HttpRule, Mesh, Mirror, RouteList, ServiceName,
    Share,
};
use ambit_route::{Compiled, Covered, Filters, Hand, Patterns, Rule, RuleBackend, Source};
use http::header::LOCATION;
use http::uri::Scheme;

use super::request::Request;
use super::story::Story;
use super::waypoint::Asked;

/// Where a waypoint sends what it was asked.
pub(super) enum Way {
    /// To what was asked for.
    Straight,
    /// By weight to these, of which there is at least one.
    Split(Vec<Leg>),
    /// Nowhere; why has been told.
    Ends,
}

/// A place that a rule leads to.
#[derive(Debug)]
pub(super) struct Leg {
    /// Its share.
    pub(super) weight: u32,
    /// Where.
    pub(super) service: ServiceName,
    pub(super) port: u16,
    pub(super) subset: Option<Arc<str>>,
    /// Whose hand leads there.
    pub(super) hand: Hand,
    /// What is sent there, if that is not what came.
    pub(super) changed: Option<Request>,
}

/// A rule that a request meets.
struct Met<'a> {
    rule: &'a Rule,
    request: &'a Request,
    /// How much of the path its match covers.
    covered: Covered,
    /// The port that was asked for.
    port: u16,
    /// The client's namespace, if it is for that alone.
    of_client: Option<&'a str>,
}

impl Story<'_> {
    /// Where the routes of what is asked for lead. On a port for what is no HTTP there is no request.
    pub(super) fn route(&mut self, mesh: &Mesh, asked: &mut Asked<'_>) -> Way {
        let Some((service, port)) = asked.service else {
            return Way::Straight;
        };
        let client = &*asked.source.namespace;
        let routes = mesh.routes(&service.name);
        let routes = routes.and_then(|routes| routes.ports.get(&port));
        let is_own = routes.is_some_and(|routes| routes.consumers.contains_key(client));
        let of_client = is_own.then_some(client);
        match routes.and_then(|routes| routes.for_client(Some(client))) {
            None => Way::Straight,
            Some(RouteList::Http(list)) => {
                let Some(request) = &asked.request else {
                    self.line("  its routes are for requests, and are not looked at");
                    return Way::Straight;
                };
                let (compiled, _) = Compiled::rule_by_rule(list, &mut Patterns::default());
                let mut head = request.head();
                head.source = Source {
                    namespace: Some(client),
                    labels: Some(&asked.source.labels),
                };
                let Some(found) = compiled.find(&head) else {
                    return self.ends("refused: no_route: no rule of its routes matches");
                };
                self.meet(&Met {
                    rule: found.rule,
                    request,
                    covered: found.covered,
                    port: asked.to.port(),
                    of_client,
                })
            }
            Some(RouteList::Tcp(route)) => {
                asked.request = None;
                let name = &route.name;
                self.step(
                    &format!("a connection that is no HTTP, led by {name}"),
                    name,
                );
                let legs = route.backends.iter();
                let legs = legs.filter_map(|Backend { weight, target }| {
                    let hand = |to: &str| Hand::of(name, false, of_client, Some(to));
                    self.leg(*weight, target, hand, None)
                });
                let legs = legs.collect();
                self.way(legs)
            }
            Some(RouteList::Tls(_)) => {
                asked.request = None;
                self.line("  its routes are by the server name of TLS, and are not looked at");
                Way::Straight
            }
        }
    }

    /// What a rule does with a request.
    fn meet(&mut self, met: &Met<'_>) -> Way {
        let rule = met.rule;
        let name = &rule.model.name;
        self.step(&format!("meets the rule {name}"), name);
        if let Some(problem) = &rule.broken {
            return self.ends(&format!("refused: invalid_route: {problem}"));
        }
        if let Some(faults) = &rule.model.faults {
            self.faults(faults);
            let abort = faults.abort.as_ref();
            if abort.is_some_and(|abort| abort.of.share >= abort.of.of) {
                return Way::Ends;
            }
        }
        if rule.answers() {
            return self.answered(met, &rule.filters);
        }
        for line in terms(&rule.model) {
            self.line(&format!("  {line}"));
        }
        self.copies(&rule.filters);
        let mut legs = Vec::new();
        for backend in rule.backends.iter().filter(|backend| backend.weight > 0) {
            let changes = rule.changes_requests();
            let changed = changes.then(|| sent(met, backend));
            let hand = |to: &str| Hand::of(&rule.model.name, changes, met.of_client, Some(to));
            legs.extend(self.leg(backend.weight, &backend.target, hand, changed));
        }
        self.way(legs)
    }

    fn way(&mut self, legs: Vec<Leg>) -> Way {
        match legs.is_empty() {
            true => self.ends("refused: no_backend: no backend of the rule can be gone to"),
            false => Way::Split(legs),
        }
    }

    fn leg(
        &mut self,
        weight: u32,
        target: &BackendTarget,
        hand: impl Fn(&str) -> Hand,
        changed: Option<Request>,
    ) -> Option<Leg> {
        match target {
            BackendTarget::Service { name, port, subset } => Some(Leg {
                weight,
                service: name.clone(),
                port: *port,
                subset: subset.clone(),
                hand: hand(&name.namespace),
                changed,
            }),
            BackendTarget::Invalid { why } => {
                self.line(&format!(
                    "  refused: invalid_backend: weight {weight}: {why}"
                ));
                None
            }
        }
    }

    fn ends(&mut self, why: &str) -> Way {
        self.line(&format!("  {why}"));
        Way::Ends
    }

    fn faults(&mut self, faults: &Faults) {
        if let Some(delay) = &faults.delay {
            let (of, fixed) = (share(delay.of), delay.fixed);
            self.line(&format!("  {of} wait for {fixed:?} on purpose"));
        }
        if let Some(abort) = &faults.abort {
            let with = match abort.with {
                AbortStatus::Http(status) => status.to_string(),
                AbortStatus::Grpc(code) => format!("code {code} of gRPC"),
            };
            let of = share(abort.of);
            self.line(&format!("  {of} are answered with {with} on purpose"));
        }
    }

    /// The rule's own answer.
    fn answered(&mut self, met: &Met<'_>, filters: &Filters) -> Way {
        let redirect = filters.redirect.as_ref();
        let answer = redirect.map(|redirect| {
            let (head, covered) = (met.request.head(), met.covered);
            redirect.answer(&head, &Scheme::HTTP, met.port, covered)
        });
        let direct = met.rule.direct.as_ref().map(|direct| direct.status);
        let status = answer.as_ref().map(|answer| answer.status()).or(direct);
        let place = answer
            .as_ref()
            .and_then(|answer| answer.headers().get(LOCATION));
        let place = place.and_then(|place| place.to_str().ok());
        let place = place.map(|place| format!(", Location: {place}"));
        let (status, place) = (status.unwrap_or_default(), place.unwrap_or_default());
        self.allowed = status.as_u16() < 400;
        self.ends(&format!("the waypoint answers by itself: {status}{place}"))
    }

    fn copies(&mut self, filters: &Filters) {
        for Mirror {
            target,
            share: part,
            of,
            ..
        } in &filters.mirrors
        {
            let of = share(Share {
                share: *part,
                of: *of,
            });
            let to = match target {
                BackendTarget::Service { name, port, .. } => format!("port {port} of {name}"),
                BackendTarget::Invalid { why } => format!("nowhere: {why}"),
            };
            self.line(&format!("  {of} are copied to {to}"));
        }
    }
}

/// A request as it is sent to a backend.
fn sent(met: &Met<'_>, backend: &RuleBackend) -> Request {
    let mut request = met.request.clone();
    for filters in [&backend.filters, &met.rule.filters] {
        filters.request_headers.apply(request.parts());
    }
    for filters in [&met.rule.filters, &backend.filters] {
        if let Some(rewrite) = &filters.rewrite {
            // One that is too long is answered with 414, and stays as it was.
            let _ = rewrite.apply(request.parts(), met.covered);
        }
    }
    request
}

/// How long a request may take, and how often it is tried.
fn terms(rule: &HttpRule) -> impl Iterator<Item = String> {
    let all = rule.timeout.map(|all| format!("may take {all:?}"));
    let each = rule
        .try_timeout
        .map(|each| format!("each try may take {each:?}"));
    let again = rule.retry.as_ref().map(|retry| match retry.attempts {
        0 => "is not tried again".to_owned(),
        more => format!("is tried again up to {more} times"),
    });
    [all, each, again].into_iter().flatten()
}

fn share(of: Share) -> String {
    let percent = 100.0 * f64::from(of.share) / f64::from(of.of);
    format!("{percent}% of requests")
}
