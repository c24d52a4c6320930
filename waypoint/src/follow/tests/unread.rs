//! Policies and request authentications that cannot be read: whatever they may be about is refused.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ambit_decide::Reason;
use ambit_model::{
    AbortStatus, BackendTarget, Content, DirectResponse, FaultAbort, Faults, HttpFilters, HttpRule,
    JwtRule, Mirror, Operation, Policy, Redirect, RequestAction, RequestAuthentication,
    RequestRule, RouteList, Service, ServiceRoutes, Share, Workload,
};
use ambit_wire::delta::Entry;
use ambit_wire::discovery::{Any, DeltaDiscoveryResponse, Resource};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::fixtures::{about_requests, name, routed};
use crate::scene::{CLIENT, Peer, rest};
use crate::tcp;

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A waypoint, and the stream that it learns by.
struct Told {
    scene: Scene,
    follower: Follower,
    subscriptions: Vec<Subscription<Kind>>,
}

impl Told {
    fn new(changes: impl IntoIterator<Item = Change>) -> Self {
        let scene = Scene::new(changes);
        let follower = follower(&scene);
        let telemetry = &scene.proxy.telemetry;
        let subscriptions =
            subscriptions(&"cluster.local".into(), telemetry, &SharedReader::default());
        Self {
            scene,
            follower,
            subscriptions,
        }
    }

    /// The control plane tells of these resources, and that these are gone.
    async fn tell(&mut self, kind: Kind, resources: &[(&str, Bytes)], removed: &[&str]) {
        let mut subscriptions = self.subscriptions.iter_mut();
        let subscription = subscriptions.find(|one| one.kind == kind).unwrap();
        let type_url = subscription.client.type_url().to_owned();
        let resource = |(name, body): &(&str, Bytes)| Resource {
            name: (*name).to_owned(),
            version: encode::content_version(body),
            resource: Some(Any {
                type_url: type_url.clone(),
                value: body.clone(),
            }),
            aliases: Vec::new(),
        };
        let response = DeltaDiscoveryResponse {
            type_url: type_url.clone(),
            nonce: "1".to_owned(),
            resources: resources.iter().map(resource).collect(),
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            system_version_info: String::new(),
        };
        let update = subscription.client.receive(response, &subscription.check);
        let (in_force, done) = oneshot::channel();
        let delivery = Delivery {
            kind,
            update,
            unreadable: Vec::new(),
            bytes: 0,
            in_force,
        };
        self.follower.take(delivery).await;
        done.await.unwrap();
    }

    /// What a request for `server` is answered with.
    async fn answer(&self) -> String {
        let mut client = self.scene.client();
        let request = "GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        rest(&mut client).await
    }

    async fn assert_answer(&self, status: &str, case: &str) {
        let answer = self.answer().await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{case}: {answer}");
    }

    /// How often something was refused for this reason.
    fn refused(&self, reason: &str) -> f64 {
        let label = format!("reason=\"{reason}\"");
        self.scene.sum("ambit_refusals_total", &[&label])
    }
}

/// That nobody may use this method, bound to a service.
fn denies(method: &str) -> Arc<Policy> {
    let mut operation = Operation::default();
    operation.put("methods", &[method]).unwrap();
    let rule = RequestRule {
        to: vec![operation],
        ..RequestRule::default()
    };
    about_requests("p", RequestAction::Deny, vec![rule], &["other"])
}

/// The encoding with a field in it that nobody knows.
fn unknown(entry: &Entry, field: &str) -> Bytes {
    let (field, other) = (
        format!("\"{field}\""),
        format!("\"{:~<1$}\"", "", field.len()),
    );
    let at = entry
        .body
        .windows(field.len())
        .position(|part| part == field.as_bytes());
    let mut body = entry.body.to_vec();
    body[at.unwrap()..][..other.len()].copy_from_slice(other.as_bytes());
    body.into()
}

/// The body of a policy as it can be read, and as it cannot.
fn policy(method: &str) -> [Bytes; 2] {
    let (_, entry) = encode::policy_entry(&denies(method));
    let unreadable = unknown(&entry, "methods");
    [entry.body, unreadable]
}

/// Routes of `server` by which the waypoint answers by itself.
fn answering() -> [(&'static str, HttpRule); 3] {
    let redirect = Redirect {
        scheme: None,
        host: Some("elsewhere".into()),
        path: None,
        port: None,
        status: 302,
        as_asked: false,
    };
    let redirecting = HttpRule {
        filters: HttpFilters {
            redirect: Some(redirect),
            ..HttpFilters::default()
        },
        ..HttpRule::default()
    };
    let direct = DirectResponse {
        status: 299,
        body: Some(Content::Text("here".into())),
    };
    let answering = HttpRule {
        direct_response: Some(direct),
        ..HttpRule::default()
    };
    let abort = FaultAbort {
        of: Share { share: 1, of: 1 },
        with: AbortStatus::Http(418),
    };
    let failing = HttpRule {
        faults: Some(Faults {
            delay: None,
            abort: Some(abort),
        }),
        ..HttpRule::default()
    };
    [("302", redirecting), ("299", answering), ("418", failing)]
}

#[tokio::test]
async fn nothing_is_answered_for_a_service_of_a_policy_that_cannot_be_read() {
    let [good, unreadable] = policy("POST");
    for (status, rule) in answering() {
        let mut told = Told::new([service("server"), routed(&[], rule)]);
        told.assert_answer(status, "before").await;
        for again in [Vec::new(), vec![("shop/p", good.clone())]] {
            told.tell(Kind::Policy, &[("shop/p", unreadable.clone())], &[])
                .await;
            told.assert_answer("503", status).await;
            let removed = if again.is_empty() {
                &["shop/p"][..]
            } else {
                &[]
            };
            told.tell(Kind::Policy, &again, removed).await;
            told.assert_answer(status, "after").await;
        }
        assert!(told.refused("policies_unknown") >= 2.0);
        // What could be read before stays in force.
        told.tell(Kind::Policy, &[("shop/p", unreadable.clone())], &[])
            .await;
        told.assert_answer(status, "known").await;
        // And is not known any more when it is gone.
        told.tell(Kind::Policy, &[], &["shop/p"]).await;
        told.tell(Kind::Policy, &[("shop/p", unreadable.clone())], &[])
            .await;
        told.assert_answer("503", "gone").await;
    }
}

/// A server that is no pod says of no policy that it holds.
#[tokio::test]
async fn nor_is_a_server_reached_nor_a_connection_carried() {
    let peer = Peer::start().await;
    let mut told = Told::new([service("server"), peer.serves("server-0", "server")]);
    peer.answer(WELL);
    told.assert_answer("200", "before").await;
    let (proxy, call) = (Arc::clone(&told.scene.proxy), call(CLIENT));
    let open = soon(tcp::way(&proxy, &call, None)).await;
    assert!(open.is_ok());
    let to = Destination::new(
        &entry_at("e", "server", "203.0.113.7"),
        "203.0.113.7:5432".parse().unwrap(),
    );
    let asking = Asking::connection(&call, None);
    let ended = review::raw_refused(&proxy, &call, &asking, &to, 5432);
    let [_, unreadable] = policy("POST");
    let resources = [("shop/p", unreadable)];
    let comes = told.tell(Kind::Policy, &resources, &[]);
    // What is open ends, as by any policy that refuses.
    let (refusal, ()) = tokio::join!(soon(ended), comes);
    assert_eq!(refusal.reason, Reason::PolicyChanged);
    told.assert_answer("503", "after").await;
    for name in [None, Some("server".to_owned())] {
        let refusal = soon(tcp::way(&proxy, &call, name)).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::PoliciesUnknown);
        assert_eq!(refusal.policy.unwrap().to_string(), "shop/p");
    }
}

/// The service `other`, in a namespace where no waypoint is.
fn of_team() -> ServiceName {
    ServiceName::new("team", name("other").hostname)
}

/// It, and an endpoint that is no pod.
fn in_team(peer: &Peer) -> [Change; 2] {
    let (Change::PutService(made), Change::PutWorkload(serving)) =
        (service("other"), peer.serves("other-0", "other"))
    else {
        panic!("no service")
    };
    let services = serving.services.values().cloned();
    [
        Change::PutService(Arc::new(Service {
            name: of_team(),
            ..Service::clone(&made)
        })),
        Change::PutWorkload(Arc::new(Workload {
            namespace: "team".into(),
            services: services.map(|ports| (of_team(), ports)).collect(),
            ..Workload::clone(&serving)
        })),
    ]
}

/// The same routes, to another place.
fn led_to(target: &BackendTarget, routes: Change) -> Change {
    let Change::PutRoutes(routes) = routes else {
        panic!("no routes")
    };
    let mut routes = ServiceRoutes::clone(&routes);
    for of_port in routes.ports.values_mut() {
        let Some(RouteList::Http(list)) = &mut of_port.producer else {
            panic!("no list")
        };
        for rule in &mut list.rules {
            for backend in &mut Arc::make_mut(rule).backends {
                backend.backend.target = target.clone();
            }
        }
    }
    Change::PutRoutes(Arc::new(routes))
}

/// A policy of another namespace than that of what is asked for.
#[tokio::test]
async fn nor_is_a_request_led_or_copied_to_a_service_of_its_namespace() {
    let [_, unreadable] = policy("POST");
    for is_copied in [true, false] {
        let (server, other) = (Peer::start().await, Peer::start().await);
        let to = || BackendTarget::Service {
            name: of_team(),
            port: 80,
            subset: None,
        };
        let mirror = Mirror {
            target: to(),
            share: 1,
            of: 1,
            shadow: false,
        };
        let mut rule = HttpRule::default();
        rule.filters.mirrors.extend(is_copied.then_some(mirror));
        let routes = match is_copied {
            true => routed(&["server"], rule),
            false => led_to(&to(), routed(&["server"], rule)),
        };
        let changes = [
            service("server"),
            server.serves("server-0", "server"),
            routes,
        ];
        let mut told = Told::new(changes.into_iter().chain(in_team(&other)));
        server.answer(WELL);
        let count = other.answer(WELL);
        let reached = async |times: usize| {
            while count.load(Ordering::Relaxed) < times {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        told.assert_answer("200", "before").await;
        soon(reached(1)).await;
        told.tell(Kind::Policy, &[("team/p", unreadable.clone())], &[])
            .await;
        let status = if is_copied { "200" } else { "503" };
        told.assert_answer(status, "unreadable").await;
        soon(async {
            while told.refused("policies_unknown") < 1.0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        assert_eq!(count.load(Ordering::Relaxed), 1);
        told.tell(Kind::Policy, &[], &["team/p"]).await;
        told.assert_answer("200", "gone").await;
        soon(reached(2)).await;
    }
}

/// A service says which of these hold for it.
#[tokio::test]
async fn nothing_is_answered_where_a_request_authentication_cannot_be_read() {
    let object = RequestAuthentication {
        name: PolicyName::new("shop", "tokens"),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            ..JwtRule::default()
        }],
    };
    let (_, entry) = encode::authentication_entry(&object);
    let unreadable = unknown(&entry, "issuer");
    let Change::PutService(plain) = service("server") else {
        panic!("no service")
    };
    let judging = Service {
        authentications: vec![object.name],
        ..Service::clone(&plain)
    };
    for (status, rule) in answering() {
        let judging = Change::PutService(Arc::new(judging.clone()));
        let mut told = Told::new([judging, routed(&[], rule)]);
        told.tell(
            Kind::Authentication,
            &[("shop/tokens", unreadable.clone())],
            &[],
        )
        .await;
        told.assert_answer("503", status).await;
        assert!(told.refused("authentication_unknown") >= 1.0);
        // It has no keys, and asks for no token.
        told.tell(
            Kind::Authentication,
            &[("shop/tokens", entry.body.clone())],
            &[],
        )
        .await;
        told.assert_answer(status, "read").await;
        told.tell(
            Kind::Authentication,
            &[("shop/tokens", unreadable.clone())],
            &[],
        )
        .await;
        told.assert_answer(status, "known").await;
    }
}
