//! What is told of Istio's AuthorizationPolicy about requests, and what it makes of who comes around the
//! waypoint. What requests it refuses is in `policy_table`.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use ambit_e2e::clients::connect;
use ambit_e2e::forge::{Forger, Life};
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Waypoint, sum_of};
use ambit_e2e::peer::{HBONE, Outcome, ask};
use ambit_e2e::servers::Server;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD, World, identity};

use crate::fronted::guarded;
use crate::support::{SOON, assert_refused};

/// The server's answer.
const ALLOWED: u16 = 200;
/// Ours.
const DENIED: u16 = 403;

/// Pods `client` and `other`, and `server` behind the waypoint.
struct Scene {
    world: World,
    waypoint: Waypoint,
    _servers: [Server; 2],
}

impl Scene {
    fn start() -> Self {
        let (world, waypoint, servers) = guarded(&["client", "other"]);
        let scene = Self {
            world,
            waypoint,
            _servers: servers,
        };
        let plain = "GET / HTTP/1.1\r\nHost: server";
        wait_until("the server to be reached", SPREAD, || {
            scene.status("client", plain) == Some(ALLOWED)
        })
        .unwrap();
        scene
    }

    /// Puts policies in force in place of those before: each a namespace, a name, annotations and a spec.
    fn apply(&self, case: &str, policies: &[(&str, &str, &str)]) {
        let mut text = String::new();
        for (index, (namespace, annotations, spec)) in policies.iter().enumerate() {
            text += &format!(
                "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                 metadata: {{name: {case}-{index}, namespace: {namespace}, annotations: {{{annotations}}}}}\n\
                 spec: {{{spec}}}\n"
            );
        }
        let configuration = &self.world.mesh.configuration;
        configuration.apply("policies", &text).unwrap();
        let names = (0..policies.len()).map(|index| format!("\"{case}-{index}\""));
        let names: Vec<String> = names.collect();
        wait_until(&format!("{case} to be known"), SPREAD, || {
            let dump = self.waypoint.config_dump();
            let dump = dump.map(|dump| dump["policies"].to_string());
            dump.is_ok_and(|dump| names.iter().all(|name| dump.contains(name)))
        })
        .unwrap();
    }

    /// The status that a pod's request is answered with. Lines of a head, but for the end.
    fn status(&self, pod: &str, head: &str) -> Option<u16> {
        let answer = self.answer(pod, head)?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    fn answer(&self, pod: &str, head: &str) -> Option<String> {
        let pod = self.world.pod(pod).unwrap();
        let to = self.world.service("server", Family::V4, HTTP.0).unwrap();
        let mut stream = connect(pod.namespace(), to).ok()?;
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

#[test]
fn a_refusal_tells_the_client_that_there_was_one_and_the_log_which() {
    let scene = Scene::start();
    scene.apply("told", &[(
        "shop",
        "",
        "targetRefs: [{kind: Service, group: '', name: server}], action: DENY, rules: [{to: [{operation: {paths: [/no]}}]}]",
    )]);
    let no = "GET /no HTTP/1.1\r\nHost: server";
    wait_until("the refusal", SOON, || {
        scene.status("client", no) == Some(DENIED)
    })
    .unwrap();
    let answer = scene.answer("client", no).unwrap();
    assert!(answer.ends_with("\r\n\r\nRBAC: access denied"), "{answer}");
    wait_until("a line that names the policy", SOON, || {
        let log = scene.waypoint.access_log();
        log.iter()
            .any(|line| line["reason"] == "policy_denied" && line["policy"] == "shop/told-0")
    })
    .unwrap();
}

#[test]
fn what_audits_and_what_is_tried_is_counted_and_refuses_nothing() {
    let scene = Scene::start();
    let bound = "targetRefs: [{kind: Service, group: '', name: server}]";
    let about = "rules: [{to: [{operation: {paths: [/told]}}]}]";
    let audit = format!("{bound}, action: AUDIT, {about}");
    let selected = format!("selector: {{matchLabels: {{app: server}}}}, action: AUDIT, {about}");
    let tried = format!("{bound}, action: DENY, {about}");
    scene.apply(
        "aside",
        &[
            ("shop", "", &audit),
            ("shop", "", &selected),
            ("shop", "istio.io/dry-run: 'true'", &tried),
        ],
    );
    let told = "GET /told HTTP/1.1\r\nHost: server";
    let count = |name: &str, labels: &[&str]| {
        let page = scene.waypoint.metrics().unwrap();
        sum_of(&page, name, labels)
    };
    for (name, labels) in [
        (
            "ambit_policy_audited_total",
            &["policy=\"shop/aside-0\""][..],
        ),
        ("ambit_policy_audited_total", &["policy=\"shop/aside-1\""]),
        (
            "ambit_policy_dry_run_total",
            &["policy=\"shop/aside-2\"", "verdict=\"refuse\""],
        ),
    ] {
        wait_until(&format!("{labels:?} to be counted"), SPREAD, || {
            assert_eq!(scene.status("client", told), Some(ALLOWED));
            count(name, labels) >= 1.0
        })
        .unwrap();
    }
    let before = count("ambit_policy_audited_total", &[]);
    let other = "GET /other HTTP/1.1\r\nHost: server";
    assert_eq!(scene.status("client", other), Some(ALLOWED));
    assert_eq!(count("ambit_policy_audited_total", &[]), before);
}

#[test]
fn what_asks_for_a_request_lets_nobody_around_the_waypoint() {
    let scene = Scene::start();
    let (server, stranger) = (
        scene.world.pod("server").unwrap(),
        scene.world.pod("stranger").unwrap(),
    );
    let direct = SocketAddr::new(server.ip(Family::V4), HTTP.1);
    let thief = Forger::with_the_meshs_key(scene.world.mesh.control_plane.state()).unwrap();
    let leaf = thief.sign(&identity("stranger"), Life::Now).unwrap();
    let knock = || {
        let gate = SocketAddr::new(direct.ip(), HBONE);
        let tunnel = connect(stranger.namespace(), gate).unwrap();
        ask(tunnel, Some(&leaf), &direct.to_string()).unwrap()
    };
    assert_eq!(
        knock(),
        Outcome::Answered(200),
        "the control of what follows"
    );
    let selected = "selector: {matchLabels: {app: server}}";
    for (case, action, reason) in [
        ("around-allow", "ALLOW", "no_matching_allow"),
        ("around-deny", "DENY", "policy_denied"),
    ] {
        let spec = format!(
            "{selected}, action: {action}, rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]"
        );
        scene.apply(case, &[("shop", "", &spec)]);
        let (get, post) = match action {
            "ALLOW" => (ALLOWED, DENIED),
            _ => (DENIED, ALLOWED),
        };
        for (method, wanted) in [("GET", get), ("POST", post)] {
            let head = format!("{method} / HTTP/1.1\r\nHost: server\r\nContent-Length: 0");
            let what = format!("{case} {method}");
            wait_until(&what, SPREAD, || {
                scene.status("client", &head) == Some(wanted)
            })
            .unwrap();
        }
        let refused = || knock() == Outcome::Answered(401);
        wait_until("who comes around to be refused", SPREAD, refused).unwrap();
        assert_refused(&scene.world, 2, reason);
    }
}
