//! Policies that the waypoint judges: clients by who they are, again when policies change, and
//! whoever comes around it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use ambit_e2e::clients::{connect, get};
use ambit_e2e::forge::{Forger, Life};
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Waypoint, sum_of};
use ambit_e2e::peer::{HBONE, Outcome, ask};
use ambit_e2e::servers::Server;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, NAMESPACE, SPREAD, TCP, World, identity};
use ambit_e2e::yaml;

use crate::fronted::{echoes, guarded};
use crate::support::assert_refused;

struct Scene {
    world: World,
    waypoint: Waypoint,
    _servers: [Server; 2],
}

impl Scene {
    fn start() -> Self {
        let (world, waypoint, servers) = guarded(&["client"]);
        let scene = Self {
            world,
            waypoint,
            _servers: servers,
        };
        scene.await_status(200);
        scene
    }

    fn at(&self, port: u16) -> SocketAddr {
        self.world.service("server", Family::V4, port).unwrap()
    }

    /// The status that the client is answered with.
    fn status(&self) -> Option<u16> {
        let client = self.world.pod("client").unwrap();
        let answer = get(client.namespace(), self.at(HTTP.0), "/").ok()?;
        Some(answer.status)
    }

    fn await_status(&self, status: u16) {
        let what = format!("the client to be answered with {status}");
        wait_until(&what, SPREAD, || self.status() == Some(status)).unwrap();
    }

    fn echoes(&self) -> bool {
        echoes(&self.world, "client")
    }

    /// A connection to the echo, open and used.
    fn open(&self) -> TcpStream {
        let client = self.world.pod("client").unwrap();
        let mut stream = connect(client.namespace(), self.at(TCP.0)).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream
    }

    /// Puts a policy in force for one account.
    fn apply(&self, action: &str, account: &str) {
        let rule = yaml::from_principal(NAMESPACE, account);
        let policy = yaml::authorization_policy(NAMESPACE, "p", "server", action, &rule);
        self.world
            .mesh
            .configuration
            .apply("policy", &policy)
            .unwrap();
    }
}

#[test]
fn clients_are_judged_at_the_waypoint_and_again_when_policies_change() {
    let scene = Scene::start();
    let mut open = scene.open();

    scene.apply("DENY", "client");
    scene.await_status(403);
    // Nothing comes any more but the end.
    assert!(matches!(open.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(!scene.echoes(), "a denied client was served");
    let page = scene.waypoint.metrics().unwrap();
    let cut = sum_of(
        &page,
        "ambit_refusals_total",
        &["reason=\"policy_changed\""],
    );
    assert!(cut >= 1.0, "{page}");

    scene.apply("DENY", "somebody");
    scene.await_status(200);
    let mut open = scene.open();
    // Another policy that lets the client in leaves its connection alone.
    scene.apply("ALLOW", "client");
    scene
        .world
        .mesh
        .configuration
        .apply("more", &more())
        .unwrap();
    wait_until("the policies to be known", SPREAD, || {
        let dump = scene.waypoint.config_dump();
        dump.is_ok_and(|dump| dump.to_string().contains("marker"))
    })
    .unwrap();
    assert_eq!(scene.status(), Some(200));
    open.write_all(b"again").unwrap();
    open.read_exact(&mut [0; 5]).unwrap();

    scene.apply("ALLOW", "somebody");
    scene.await_status(403);
    assert!(matches!(open.read(&mut [0; 1]), Ok(0) | Err(_)));
}

/// A policy that lets nobody in or out, to be waited for.
fn more() -> String {
    let rule = yaml::from_principal(NAMESPACE, "nobody");
    yaml::authorization_policy(NAMESPACE, "marker", "server", "DENY", &rule)
}

/// A policy for one account, bound by a reference.
fn bound(action: &str, account: &str, target: &str) -> String {
    let rule = yaml::from_principal(NAMESPACE, account);
    let selected = yaml::authorization_policy(NAMESPACE, "bound", "server", action, &rule);
    let selector = "  selector:\n    matchLabels:\n      app: server\n";
    assert!(selected.contains(selector));
    selected.replace(selector, &format!("  targetRefs:\n    - {target}\n"))
}

#[test]
fn a_policy_bound_to_the_waypoint_holds_there_and_nobody_comes_around_it() {
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
    let client = scene.world.pod("client").unwrap();
    for target in [
        "{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}",
        "{kind: Service, name: server}",
    ] {
        let apply = |text: &str| scene.world.mesh.configuration.apply("bound", text).unwrap();
        apply(&bound("DENY", "client", target));
        scene.await_status(403);
        apply(&bound("ALLOW", "client", target));
        scene.await_status(200);
        let around = || knock() == Outcome::Answered(401);
        wait_until("the server to be kept to its waypoint", SPREAD, around).unwrap();
        assert_refused(&scene.world, 2, "waypoint_required");
        // The pod's own address leads there too.
        let by_address = || get(client.namespace(), direct, "/").is_ok_and(|got| got.status == 200);
        wait_until(
            "the pod's address to lead to the waypoint",
            SPREAD,
            by_address,
        )
        .unwrap();

        scene.world.mesh.configuration.remove("bound").unwrap();
        let open = || knock() == Outcome::Answered(200);
        wait_until("the server to be free again", SPREAD, open).unwrap();
    }
}
