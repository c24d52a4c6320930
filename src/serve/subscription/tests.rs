use std::time::Instant;

use ambit_kit::clock;
use ambit_model::{
    Change, GatewayAddress, HttpMatch, HttpRoutes, HttpRule, JwtRule, Mesh, PathMatch, Policy,
    PolicyName, PolicyOrigin, PortRoutes, RequestAuthentication, RouteList, RoutedMatch, Service,
    ServiceName, ServiceRoutes, WorkloadUid,
};
use ambit_wire::decode::RoutesReader;
use ambit_wire::delta::{ANNOUNCE_CHUNKS, Client};
use ambit_wire::discovery::Node;

use super::*;
use crate::serve::publication::Publisher;
use crate::serve::scope::tests::{bound_pod, endpoint, name};

/// A stream between a publisher and a client, one step at a time.
struct Line {
    publisher: Publisher,
    now: Arc<Publication>,
    subscription: Subscription,
    policies: Client,
    addresses: Client,
    routes: Client,
    authentications: Client,
}

fn policy(name: &str) -> Change {
    Change::PutPolicy(Arc::new(Policy {
        name: PolicyName::new("shop", name),
        scope: ambit_model::Scope::Namespace,
        action: ambit_model::Action::Deny,
        rules: Vec::new(),
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    }))
}

fn without_policy(name: &str) -> Change {
    Change::RemovePolicy(PolicyName::new("shop", name))
}

/// A service stands for any address; its text is what changes.
fn address(name: &str, text: &str) -> Change {
    Change::PutService(Arc::new(Service {
        name: ServiceName::new("shop", name),
        short_name: text.into(),
        vips: Vec::new(),
        ports: Vec::new(),
        subject_alt_names: Vec::new(),
        waypoint: None,
        load_balancing: ambit_model::LoadBalancing::default(),
        ip_families: ambit_model::IpFamilies::Automatic,
        traffic: None,
        authentications: Vec::new(),
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }))
}

fn publish(publisher: &mut Publisher, changes: &[Change]) -> Arc<Publication> {
    for change in changes {
        publisher.apply(change);
    }
    publisher.publish(&Mesh::default(), Instant::now()).unwrap()
}

/// A client that understands a state in several responses, as all of ours do.
fn in_parts() -> Node {
    let mut metadata = prost_types::Struct::default();
    let understood = prost_types::Value::default();
    metadata
        .fields
        .insert(ANNOUNCE_CHUNKS.to_owned(), understood);
    Node {
        metadata: Some(metadata),
        ..Node::default()
    }
}

impl Line {
    fn new(changes: &[Change]) -> Self {
        let mut publisher = Publisher::new(Instant::now());
        let now = publish(&mut publisher, changes);
        Self {
            subscription: Subscription::new(&now, None),
            now,
            publisher,
            policies: Client::new(AUTHORIZATION_TYPE),
            addresses: Client::new(ADDRESS_TYPE),
            routes: Client::new(ROUTES_TYPE),
            authentications: Client::new(AUTHENTICATION_TYPE),
        }
    }

    fn connect(&mut self, kinds: &[Kind]) {
        for kind in kinds {
            let client = self.client(*kind);
            let request = client.connect(in_parts());
            assert!(self.subscription.request(request, &self.now).is_some());
        }
    }

    fn client(&mut self, kind: Kind) -> &mut Client {
        match kind {
            Kind::Address => &mut self.addresses,
            Kind::Policy => &mut self.policies,
            Kind::Routes => &mut self.routes,
            Kind::Telemetry | Kind::Credential => unreachable!("no line has a client of it"),
            Kind::Authentication => &mut self.authentications,
        }
    }

    fn publish(&mut self, changes: &[Change]) {
        self.now = publish(&mut self.publisher, changes);
        self.subscription.published(&self.now, clock::now());
    }

    /// What is sent now, written `kind +name -name`.
    fn sent(&mut self) -> Option<(Kind, String, String)> {
        let (kind, response) = self.subscription.poll(&self.now)?;
        let update = self.client(kind).receive(response, |_| Ok(()));
        let mut words = vec![kind.word().to_owned()];
        words.extend(
            update
                .changed
                .iter()
                .map(|resource| format!("+{}", resource.name)),
        );
        words.extend(update.removed.iter().map(|name| format!("-{name}")));
        Some((kind, update.nonce, words.join(" ")))
    }

    fn acknowledge(&mut self, kind: Kind, nonce: &str) {
        let answer = self.client(kind).answer(nonce, &[]);
        self.subscription.request(answer, &self.now).unwrap();
    }

    /// Everything that is sent until there is nothing more, each acknowledged at once.
    fn exchange(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some((kind, nonce, words)) = self.sent() {
            self.acknowledge(kind, &nonce);
            sent.push(words);
        }
        sent
    }
}

const BOTH: [Kind; 2] = [Kind::Address, Kind::Policy];

#[test]
fn policies_come_before_what_lists_them_and_go_after_it() {
    let mut line = Line::new(&[policy("a"), address("web", "1")]);
    line.connect(&BOTH);
    assert_eq!(line.exchange(), ["wads +shop/a", "wds +shop/web"]);
    line.publish(&[policy("b"), address("web", "lists a and b")]);
    assert_eq!(line.exchange(), ["wads +shop/b", "wds +shop/web"]);
    line.publish(&[without_policy("a"), address("web", "lists b")]);
    assert_eq!(line.exchange(), ["wds +shop/web", "wads -shop/a"]);
    line.publish(&[policy("c"), without_policy("b"), address("web", "lists c")]);
    assert_eq!(
        line.exchange(),
        ["wads +shop/c", "wds +shop/web", "wads -shop/b"]
    );
}

#[test]
fn a_workload_waits_for_the_answer_to_its_policies() {
    let mut line = Line::new(&[]);
    line.connect(&BOTH);
    line.exchange();
    line.publish(&[policy("a"), address("web", "1")]);
    let (kind, nonce, words) = line.sent().unwrap();
    assert_eq!(words, "wads +shop/a");
    assert_eq!(line.sent(), None);
    // A later policy is not overtaken by the earlier workload, either.
    line.publish(&[policy("b"), address("web", "2")]);
    line.acknowledge(kind, &nonce);
    assert_eq!(line.exchange(), ["wads +shop/b", "wds +shop/web"]);
}

#[test]
fn a_removed_policy_that_comes_back_in_time_is_never_missed() {
    let mut line = Line::new(&[policy("a"), address("web", "1")]);
    line.connect(&BOTH);
    line.exchange();
    line.publish(&[without_policy("a"), address("web", "2")]);
    let (kind, nonce, words) = line.sent().unwrap();
    assert_eq!(words, "wds +shop/web");
    line.publish(&[policy("a")]);
    line.acknowledge(kind, &nonce);
    assert_eq!(line.exchange(), Vec::<String>::new());
    assert_eq!(line.policies.len(), 1);
}

#[test]
fn a_returning_agent_gets_only_what_changed_and_in_the_same_order() {
    let mut line = Line::new(&[policy("a"), address("web", "1"), address("db", "1")]);
    line.connect(&BOTH);
    line.exchange();
    line.publish(&[without_policy("a"), policy("b"), address("web", "2")]);
    line.subscription = Subscription::new(&line.now, None);
    line.connect(&[Kind::Policy, Kind::Address]);
    assert_eq!(
        line.exchange(),
        ["wads +shop/b", "wds +shop/web", "wads -shop/a"]
    );
    assert_eq!(line.subscription.acknowledged(), line.now.sequence);
}

#[test]
fn acknowledged_means_applied() {
    let mut line = Line::new(&[address("web", "1")]);
    assert_eq!(
        line.subscription.acknowledged(),
        0,
        "it asked for nothing yet"
    );
    line.connect(&BOTH);
    assert_eq!(line.subscription.acknowledged(), 0);
    line.exchange();
    assert_eq!(line.subscription.acknowledged(), 1);
    line.publish(&[address("web", "2")]);
    let (kind, nonce, _) = line.sent().unwrap();
    assert_eq!(line.subscription.acknowledged(), 1);
    line.acknowledge(kind, &nonce);
    assert_eq!(line.subscription.acknowledged(), 2);
    line.publish(&[policy("a")]);
    assert_eq!(
        line.subscription.acknowledged(),
        3,
        "policies do not advertise capture"
    );
}

#[test]
fn a_stream_that_slept_too_long_still_ends_up_right() {
    let mut line = Line::new(&[policy("a"), address("web", "0"), address("db", "0")]);
    line.connect(&BOTH);
    line.exchange();
    for round in 1..=600 {
        let changes = [address("web", &round.to_string())];
        line.now = publish(&mut line.publisher, &changes);
    }
    line.publish(&[
        policy("b"),
        Change::RemoveService(ServiceName::new("shop", "db")),
    ]);
    assert_eq!(line.exchange(), ["wads +shop/b", "wds +shop/web -shop/db"]);
}

#[test]
fn a_stream_that_slept_too_long_loses_policies_after_what_listed_them() {
    let mut line = Line::new(&[policy("a"), address("web", "lists a")]);
    line.connect(&BOTH);
    line.exchange();
    line.now = publish(&mut line.publisher, &[without_policy("a")]);
    for round in 1..=600 {
        let changes = [address("web", &round.to_string())];
        line.now = publish(&mut line.publisher, &changes);
    }
    line.publish(&[policy("b")]);
    assert_eq!(
        line.exchange(),
        ["wads +shop/b", "wds +shop/web", "wads -shop/a"]
    );
}

#[test]
fn a_client_of_one_type_is_not_held_up_by_the_other() {
    let mut line = Line::new(&[policy("a"), address("web", "1")]);
    line.connect(&[Kind::Address]);
    assert_eq!(line.exchange(), ["wds +shop/web"]);
    line.publish(&[policy("b"), address("web", "2")]);
    assert_eq!(line.exchange(), ["wds +shop/web"]);

    let mut line = Line::new(&[policy("a"), address("web", "1")]);
    line.connect(&[Kind::Policy]);
    assert_eq!(line.exchange(), ["wads +shop/a"]);
    line.publish(&[without_policy("a")]);
    assert_eq!(line.exchange(), ["wads -shop/a"]);
}

#[test]
fn a_foreign_type_is_not_served() {
    let mut line = Line::new(&[]);
    let request = DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/envoy.config.listener.v3.Listener".to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    let now = Arc::clone(&line.now);
    assert_eq!(line.subscription.request(request, &now), None);
    assert!(line.subscription.poll(&now).is_none());
}

/// A line to a waypoint, and the mesh that it is told of.
struct Told {
    line: Line,
    mesh: Mesh,
}

impl Told {
    fn new() -> Self {
        let mut line = Line::new(&[]);
        let mesh = Mesh::default();
        let scope = Scope::new(name("waypoint"), Arc::new([]), &mesh);
        line.subscription = Subscription::new(&line.now, Some(scope));
        line.connect(&[Kind::Policy, Kind::Routes, Kind::Address]);
        line.exchange();
        Self { line, mesh }
    }

    /// With a service that is bound.
    fn with_web() -> Self {
        let mut told = Self::new();
        let Change::PutService(web) = address("web", "1") else {
            panic!("a service");
        };
        told.publish(Change::PutService(Arc::new(Service {
            waypoint: Some(GatewayAddress::Service(name("waypoint"), 15008)),
            ..Service::clone(&web)
        })));
        told
    }

    /// Has the next response read, which is of routes, and says how many bytes it had and what came.
    fn read(&mut self, reader: &mut RoutesReader) -> (usize, Vec<Arc<ServiceRoutes>>) {
        let (kind, response) = self.line.subscription.poll(&self.line.now).unwrap();
        assert_eq!(kind, Kind::Routes);
        let bodies = response
            .resources
            .iter()
            .filter_map(|r| r.resource.as_ref());
        let bytes = bodies.map(|body| body.value.len()).sum();
        let mut came = Vec::new();
        let update = self.line.routes.receive(response, |received| {
            let read = reader.read(&received.name, &received.version, &received.body);
            came.push(read.map_err(|error| error.to_string())?);
            Ok(())
        });
        let answer = self.line.routes.answer(&update.nonce, &update.rejected);
        self.line.subscription.request(answer, &self.line.now);
        (bytes, came)
    }

    /// The stream breaks, and the waypoint comes back with what it has.
    fn reconnect(&mut self) {
        let scope = Scope::new(name("waypoint"), Arc::new([]), &self.mesh);
        self.line.subscription = Subscription::new(&self.line.now, Some(scope));
        self.line
            .connect(&[Kind::Policy, Kind::Routes, Kind::Address]);
        let (kind, nonce, _) = self.line.sent().unwrap();
        assert_eq!(kind, Kind::Policy, "these come first");
        self.line.acknowledge(kind, &nonce);
    }

    fn publish(&mut self, change: Change) {
        let line = &mut self.line;
        line.publisher.apply(&change);
        self.mesh.apply(change);
        line.now = line.publisher.publish(&self.mesh, Instant::now()).unwrap();
        line.subscription.published(&line.now, clock::now());
    }
}

#[test]
fn a_waypoint_learns_of_routes_before_the_services_that_they_are_for() {
    let mut told = Told::with_web();
    let (kind, nonce, words) = told.line.sent().unwrap();
    assert_eq!(words, "routes +shop/web");
    assert_eq!(told.line.sent(), None, "until it has them");
    told.line.acknowledge(kind, &nonce);
    assert_eq!(told.line.exchange(), ["wds +shop/web"]);
    told.publish(Change::RemoveService(ServiceName::new("shop", "web")));
    let gone = ["routes -shop/web", "wds -shop/web"];
    assert_eq!(told.line.exchange(), gone);
}

#[test]
fn a_waypoint_learns_of_authentications_before_the_services_that_name_them() {
    let mut told = Told::with_web();
    told.line.connect(&[Kind::Authentication]);
    told.line.exchange();
    let named = PolicyName::new("shop", "tokens");
    let object = |issuer: &str| {
        Change::PutAuthentication(Arc::new(RequestAuthentication {
            name: named.clone(),
            rules: vec![JwtRule {
                issuer: Some(issuer.into()),
                ..JwtRule::default()
            }],
        }))
    };
    told.line.publisher.apply(&object("a"));
    let Change::PutService(web) = address("web", "2") else {
        panic!("a service");
    };
    told.publish(Change::PutService(Arc::new(Service {
        waypoint: Some(GatewayAddress::Service(name("waypoint"), 15008)),
        authentications: vec![named.clone()],
        ..Service::clone(&web)
    })));
    let (kind, nonce, words) = told.line.sent().unwrap();
    assert_eq!(words, "authentications +shop/tokens");
    assert_eq!(told.line.sent(), None, "until it has it");
    told.line.acknowledge(kind, &nonce);
    assert_eq!(told.line.exchange(), ["wds +shop/web"]);
    told.publish(object("b"));
    assert_eq!(told.line.exchange(), ["authentications +shop/tokens"]);
    told.publish(Change::RemoveAuthentication(named.clone()));
    assert_eq!(told.line.exchange(), ["authentications -shop/tokens"]);
    // Those of namespaces that it reaches nothing of are none of its business, and no agent's.
    let elsewhere = RequestAuthentication {
        name: PolicyName::new("bank", "tokens"),
        rules: Vec::new(),
    };
    told.publish(Change::PutAuthentication(Arc::new(elsewhere)));
    assert_eq!(told.line.exchange(), Vec::<String>::new());
    let mut agent = Line::new(&[object("a")]);
    agent.connect(&[Kind::Authentication]);
    assert_eq!(agent.exchange(), ["authentications"]);
}

#[test]
fn policies_of_a_namespace_that_is_left_go_after_what_they_are_about() {
    let mut told = Told::new();
    let of_bank = |name: &str| {
        let Change::PutPolicy(policy) = policy(name) else {
            panic!("no policy")
        };
        let mut policy = Policy::clone(&policy);
        policy.name = PolicyName::new("bank", name);
        Change::PutPolicy(Arc::new(policy))
    };
    told.publish(of_bank("a"));
    told.publish(bound_pod("ledger-0", "bank"));
    told.line.exchange();
    let uid = WorkloadUid::new("Kubernetes//Pod/shop/ledger-0");
    told.publish(Change::RemoveWorkload(uid));
    let went = told.line.exchange();
    assert_eq!(went.len(), 2, "{went:?}");
    assert!(went[0].starts_with("wds -"), "{went:?}");
    assert_eq!(went[1], "wads -bank/a");
    // What goes by itself is no matter of this waypoint.
    told.publish(of_bank("b"));
    told.publish(Change::RemovePolicy(PolicyName::new("bank", "b")));
    assert_eq!(told.line.exchange(), Vec::<String>::new());
}

#[test]
fn a_pod_that_is_bound_from_elsewhere_brings_the_policies_of_its_namespace() {
    let mut told = Told::new();
    told.publish(Change::PutPolicy(Arc::new(Policy {
        name: PolicyName::new("bank", "a"),
        scope: ambit_model::Scope::Namespace,
        action: ambit_model::Action::Deny,
        rules: Vec::new(),
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    })));
    assert_eq!(told.line.exchange(), Vec::<String>::new());
    told.publish(bound_pod("ledger-0", "bank"));
    let sent = told.line.exchange();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0], "wads +bank/a");
    assert!(sent[1].ends_with("ledger-0"), "{sent:?}");
}

#[test]
fn a_caller_that_is_asked_for_no_longer_is_forgotten() {
    let mut told = Told::new();
    told.publish(endpoint("client-0", "elsewhere", "10.0.0.7"));
    assert_eq!(told.line.exchange(), Vec::<String>::new());
    let alias = [Arc::from("/10.0.0.7")];
    let mut want = |ask: &[Arc<str>], leave: &[Arc<str>]| {
        let line = &mut told.line;
        let request = line.addresses.want(ask, leave);
        line.subscription.request(request, &line.now).unwrap();
        line.exchange()
    };
    let uid = "Kubernetes//Pod/shop/client-0";
    assert_eq!(want(&alias, &[]), [format!("wds +{uid} -/10.0.0.7")]);
    assert_eq!(want(&[], &alias), [format!("wds -{uid}")]);
    // Who calls again is told of again.
    assert_eq!(want(&alias, &[]), [format!("wds +{uid} -/10.0.0.7")]);
}

/// Of two pods that have one address for a moment, the one that stays is told of too: else the address would
/// seem to be nobody's once the other is gone.
#[test]
fn all_who_are_at_an_address_that_is_asked_for_are_told_of() {
    let mut told = Told::new();
    told.publish(endpoint("client-0", "elsewhere", "10.0.0.7"));
    told.publish(endpoint("client-1", "elsewhere", "10.0.0.7"));
    assert_eq!(told.line.exchange(), Vec::<String>::new());
    let line = &mut told.line;
    let request = line.addresses.want(&[Arc::from("/10.0.0.7")], &[]);
    line.subscription.request(request, &line.now).unwrap();
    let sent = line.exchange().join(" ");
    for pod in ["client-0", "client-1"] {
        let told = format!("+Kubernetes//Pod/shop/{pod}");
        assert!(sent.contains(&told), "{sent}");
    }
}

/// Routes of the service, with a rule for each path.
fn routes(paths: impl IntoIterator<Item = u32>) -> ServiceRoutes {
    let mut http = HttpRoutes::default();
    for (path, rule) in paths.into_iter().zip(0..) {
        let when = HttpMatch {
            path: Some(PathMatch::Exact(format!("/{path}").into())),
            ..HttpMatch::default()
        };
        let made = HttpRule {
            name: format!("HTTPRoute/shop/route-{path}/0").into(),
            ..HttpRule::default()
        };
        http.matches.push(RoutedMatch {
            when: when.into(),
            rule,
        });
        http.rules.push(made.into());
    }
    let port = PortRoutes {
        producer: Some(RouteList::Http(http)),
        ..PortRoutes::default()
    };
    ServiceRoutes {
        service: ServiceName::new("shop", "web"),
        ports: [(80, port)].into(),
    }
}

#[test]
fn of_a_thousand_routes_a_waypoint_is_told_those_that_have_changed() {
    let mut told = Told::with_web();
    let mut reader = RoutesReader::default();
    told.line.exchange();
    let all = |last: u32| routes((0..999).chain([last]));
    let put = |told: &mut Told, last| told.publish(Change::PutRoutes(Arc::new(all(last))));
    put(&mut told, 1);
    // Of the first state, which is empty, nobody had anything.
    told.reconnect();
    let (bytes, came) = told.read(&mut reader);
    assert!(bytes > 50_000, "{bytes}");
    assert_eq!(*came[0], all(1));
    told.line.exchange();

    put(&mut told, 2);
    let (bytes, came) = told.read(&mut reader);
    assert!(bytes < 500, "{bytes}");
    assert_eq!(*came[0], all(2));
    // One that returns with what there is needs nothing, and is told changes only.
    told.reconnect();
    assert_eq!(told.read(&mut reader), (0, Vec::new()));
    told.line.exchange();
    put(&mut told, 3);
    let (bytes, came) = told.read(&mut reader);
    assert!(bytes < 500, "{bytes}");
    assert_eq!(*came[0], all(3));
    // One that has lost what it had is told everything, after it has said so.
    reader = RoutesReader::default();
    put(&mut told, 4);
    let (bytes, came) = told.read(&mut reader);
    assert!(bytes < 500 && came.is_empty());
    let (bytes, came) = told.read(&mut reader);
    assert!(bytes > 50_000, "{bytes}");
    assert_eq!(*came[0], all(4));
    // One that returns with something else is told everything.
    put(&mut told, 5);
    told.reconnect();
    let (bytes, came) = told.read(&mut reader);
    assert!(bytes > 50_000, "{bytes}");
    assert_eq!(*came[0], all(5));
}

#[test]
fn waypoints_are_told_what_to_tell_of_requests_and_agents_are_not() {
    use ambit_model::MeshTelemetry;
    let connect = |line: &mut Line, client: &Client| {
        let asked = client.connect(Node::default());
        assert!(line.subscription.request(asked, &line.now).is_some());
    };
    let mut line = Line::new(&[address("web", "1")]);
    let mut client = Client::new(TELEMETRY_TYPE);
    let tell = |line: &mut Line, access_log| {
        line.publisher.tell(&MeshTelemetry {
            access_log,
            ..MeshTelemetry::default()
        });
        line.publish(&[address("web", "2")]);
    };
    tell(&mut line, false);
    let scope = Scope::new(name("waypoint"), Arc::from([]), &Mesh::default());
    line.subscription = Subscription::new(&line.now, Some(scope));
    connect(&mut line, &client);
    let (kind, first) = line.subscription.poll(&line.now).unwrap();
    assert_eq!(kind, Kind::Telemetry);
    let first = client.receive(first, |_| Ok(()));
    assert_eq!((first.changed.len(), &*first.changed[0].name), (1, "mesh"));
    // Nothing waits for its answer.
    line.connect(&[Kind::Policy]);
    assert_eq!(line.subscription.poll(&line.now).unwrap().0, Kind::Policy);
    let answer = client.answer(&first.nonce, &[]);
    line.subscription.request(answer, &line.now).unwrap();
    tell(&mut line, true);
    let (kind, second) = line.subscription.poll(&line.now).unwrap();
    assert_eq!(kind, Kind::Telemetry);
    let second = client.receive(second, |_| Ok(()));
    assert_ne!(second.changed[0].version, first.changed[0].version);

    let mut line = Line::new(&[address("web", "1")]);
    tell(&mut line, false);
    line.subscription = Subscription::new(&line.now, None);
    let client = Client::new(TELEMETRY_TYPE);
    connect(&mut line, &client);
    let sent = line.subscription.poll(&line.now);
    let resources = sent.map(|(_, response)| response.resources.len());
    assert_eq!(resources.unwrap_or_default(), 0);
}

#[test]
fn rules_for_what_is_told_come_from_the_namespaces_of_a_waypoint_and_go() {
    use ambit_model::{TelemetryRules, TelemetryScope};
    let rules = |namespace: &str, name: &str| TelemetryRules {
        namespace: namespace.into(),
        name: name.into(),
        since: "".into(),
        scope: TelemetryScope::Namespace,
        access_log: Vec::new(),
        tracing: Vec::new(),
        metrics: Vec::new(),
        client_identity: None,
    };
    let mut line = Line::new(&[address("web", "1")]);
    let all = [
        rules("shop", "a"),
        rules("other", "b"),
        rules("istio-system", "c"),
    ];
    line.publisher.tell_rules(all.iter());
    line.publish(&[address("web", "2")]);
    let roots = Arc::from([Arc::from("istio-system")]);
    let scope = Scope::new(name("waypoint"), roots, &Mesh::default());
    line.subscription = Subscription::new(&line.now, Some(scope));
    let mut client = Client::new(TELEMETRY_TYPE);
    let mut exchange = |line: &mut Line, first: bool| {
        if first {
            let asked = client.connect(Node::default());
            line.subscription.request(asked, &line.now).unwrap();
        }
        let (_, response) = line.subscription.poll(&line.now).unwrap();
        let update = client.receive(response, |_| Ok(()));
        let answer = client.answer(&update.nonce, &[]);
        line.subscription.request(answer, &line.now).unwrap();
        let mut changed: Vec<String> = update
            .changed
            .iter()
            .map(|one| one.name.to_string())
            .collect();
        changed.sort();
        let removed = update.removed.iter().map(|name| format!("-{name}"));
        changed.extend(removed);
        changed.join(" ")
    };
    assert_eq!(exchange(&mut line, true), "istio-system/c shop/a");
    line.publisher.tell_rules(all[1..].iter());
    line.publish(&[address("web", "3")]);
    assert_eq!(exchange(&mut line, false), "-shop/a");
}

#[test]
fn credentials_go_to_waypoints_of_their_own_namespace_and_to_nobody_else() {
    use ambit_model::OutsideCredential;
    let given = |key: &str| OutsideCredential {
        key: key.into(),
        ..OutsideCredential::default()
    };
    let mut line = Line::new(&[address("web", "1")]);
    let (first, second) = (given("one"), given("two"));
    let all = [
        ("shop/c", &first),
        ("other/c", &first),
        ("shop.x/c", &first),
    ];
    for (name, given) in all {
        line.publisher.tell_credential(name, Some(given));
    }
    line.publish(&[address("web", "2")]);
    let shown = format!("{:?}", line.now);
    assert!(
        !shown.contains("111, 110, 101") && !shown.contains("one"),
        "{shown}"
    );
    let client = Client::new(CREDENTIAL_TYPE);
    let ask = |line: &mut Line| {
        let asked = client.connect(Node::default());
        assert!(line.subscription.request(asked, &line.now).is_some());
        line.subscription.poll(&line.now)
    };
    // An agent, whoever it is of.
    line.subscription = Subscription::new(&line.now, None);
    let sent = ask(&mut line);
    assert_eq!(sent.map_or(0, |(_, response)| response.resources.len()), 0);

    let mut client = client.clone();
    let scope = Scope::new(name("waypoint"), Arc::from([]), &Mesh::default());
    line.subscription = Subscription::new(&line.now, Some(scope));
    let (kind, response) = ask(&mut line).unwrap();
    assert_eq!(kind, Kind::Credential);
    let mut take = |line: &mut Line, response| {
        let update = client.receive(response, |_| Ok(()));
        let answer = client.answer(&update.nonce, &[]);
        line.subscription.request(answer, &line.now).unwrap();
        let changed = update.changed.iter().map(|one| format!("+{}", one.name));
        let removed = update.removed.iter().map(|name| format!("-{name}"));
        changed.chain(removed).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(take(&mut line, response), "+shop/c");
    // Another key of it, then none.
    for (given, expected) in [(Some(&second), "+shop/c"), (None, "-shop/c")] {
        line.publisher.tell_credential("shop/c", given);
        line.publish(&[address("web", expected)]);
        let (_, response) = line.subscription.poll(&line.now).unwrap();
        assert_eq!(take(&mut line, response), expected);
    }
}

mod leading;
