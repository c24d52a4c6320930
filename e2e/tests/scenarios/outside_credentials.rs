//! A server outside of the mesh that demands a certificate of its clients, which the waypoint has from a Secret.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ambit_e2e::clients::{Answer, get};
use ambit_e2e::lab::address::Family;
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::mesh::{Options, Waypoint};
use ambit_e2e::programs;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, SPREAD, WAYPOINT, World};
use ambit_identity::testing::{Authority, Leaf};
use ambit_model::OutsideCredential;
use tempfile::TempDir;

/// What stands for the host.
const VIP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The Secret.
const SECRET: &str = "partner";

/// A client, a waypoint before the host, and the server, which tells by what it knows its clients.
struct Scene {
    world: World,
    waypoint: Waypoint,
    client: Arc<Pod>,
    secrets: TempDir,
    /// Keys that nobody may see.
    keys: Vec<String>,
    _nginx: Program,
    _outside: Arc<Pod>,
}

impl Scene {
    fn start(authority: &Authority) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let from = format!("dir:{}", secrets.path().display());
        let options = Options {
            control_plane: vec!["--outside-credentials".to_owned(), from],
            waypoints: vec![WAYPOINT.to_owned()],
            ..Options::default()
        };
        let pods = [("client", 1), (WAYPOINT, 2)];
        let world = World::fronted(&pods, &options, &[]).unwrap();
        let outside = world.lab.pod(2, "outside").unwrap();
        let dir = world.dir("nginx");
        fs::create_dir_all(&dir).unwrap();
        let own = authority.papers(&Leaf::of_hosts(&["partner.example.com"]));
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let site = format!(
            "server {{ listen 8443 ssl;\n ssl_certificate {};\n ssl_certificate_key {};\n\
             ssl_client_certificate {};\n ssl_verify_client on;\n\
             location / {{ return 200 \"$ssl_client_verify $ssl_client_serial\"; }} }}",
            file("tls.crt", &own.chain),
            file("tls.key", &own.key),
            file("ca.crt", &own.roots),
        );
        let nginx = programs::nginx(&outside, &dir, &site, 8443).unwrap();
        let server = outside.ip(Family::V4);
        let entry = format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: partner, namespace: {NAMESPACE}, labels: {{ambit.mesh/use-waypoint: {WAYPOINT}}}}}\n\
             spec:\n  hosts: [partner.example.com]\n  addresses: [{VIP}]\n  resolution: STATIC\n\
             \x20 ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8443}}]\n\
             \x20 endpoints: [{{address: {server}}}]\n"
        );
        world.mesh.configuration.apply("partner", &entry).unwrap();
        let waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
        Self {
            client: world.pod("client").unwrap(),
            waypoint,
            world,
            secrets,
            keys: Vec::new(),
            _nginx: nginx,
            _outside: outside,
        }
    }

    /// Puts a rule in force that asks for this mode.
    fn rule(&self, mode: &str) {
        let text = format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
             metadata: {{name: partner, namespace: {NAMESPACE}}}\n\
             spec:\n  host: partner.example.com\n  trafficPolicy: {{tls: {{mode: {mode}, credentialName: {SECRET}}}}}\n"
        );
        self.world.mesh.configuration.apply("rule", &text).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.secrets.path().join(NAMESPACE).join(SECRET)
    }

    /// Writes the Secret, one part after the other.
    fn give(&mut self, given: &OutsideCredential) {
        fs::create_dir_all(self.folder()).unwrap();
        self.keys
            .extend(given.key.lines().nth(1).map(str::to_owned));
        let parts = [
            ("ca.crt", &given.roots),
            ("tls.crt", &given.chain),
            ("tls.key", &given.key),
        ];
        for (name, text) in parts {
            fs::write(self.folder().join(name), &**text).unwrap();
        }
    }

    fn get(&self) -> Answer {
        let at = SocketAddr::from((VIP, 80));
        get(self.client.namespace(), at, "/").unwrap()
    }

    /// Waits for an answer that is such, and says what it was.
    fn await_answer(&self, what: &str, is_such: impl Fn(&Answer) -> bool) -> String {
        let mut last = None;
        let at = SocketAddr::from((VIP, 80));
        let waited = wait_until(what, SPREAD, || {
            last = get(self.client.namespace(), at, "/").ok();
            last.as_ref().is_some_and(&is_such)
        });
        waited.unwrap_or_else(|error| panic!("{error:#}: {last:?}\n{}", self.waypoint.log()));
        last.unwrap().body
    }

    /// Waits until the control plane says this of the rule.
    fn await_said(&self, what: &str) {
        let control_plane = &self.world.mesh.control_plane;
        let said = || control_plane.admin("GET", "/problems").unwrap().body;
        let waited = wait_until(what, SPREAD, || said().contains(what));
        waited.unwrap_or_else(|error| panic!("{error:#}: {}", said()));
    }
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 503 && answer.body.trim() == "outside_tls"
}

fn is_known(answer: &Answer) -> bool {
    answer.status == 200 && answer.body.starts_with("SUCCESS ")
}

#[test]
fn a_server_that_demands_a_certificate_is_shown_that_of_the_secret() {
    let (ours, other) = (Authority::new("partner"), Authority::new("other"));
    let mut scene = Scene::start(&ours);
    let leaf = Leaf::of_hosts(&["client.example.com"]);
    let first = ours.papers(&leaf);

    scene.rule("MUTUAL");
    scene.await_answer("nothing to be sent without the Secret", is_refused);
    scene.await_said("Secret shop/partner: it is not there; nothing is sent to the host");
    scene.give(&first);
    let serial = scene.await_answer("the server to know the client", is_known);

    // Without a certificate the server answers nobody, and with another authority's neither.
    scene.rule("SIMPLE");
    scene.await_answer("the server to miss a certificate", |answer| {
        answer.status == 400
    });
    scene.rule("MUTUAL");
    scene.await_answer("the server to know the client again", is_known);
    let foreign = OutsideCredential {
        roots: first.roots.clone(),
        ..other.papers(&leaf)
    };
    scene.give(&foreign);
    scene.await_answer("the server to refuse a stranger", |answer| {
        answer.status == 400
    });

    // Renewed while requests come; none of them fails.
    scene.give(&first);
    scene.await_answer("the server to know the client again", is_known);
    scene.give(&ours.papers(&leaf));
    let renewed = scene.await_answer("the new certificate", |answer| {
        assert!(is_known(answer), "{answer:?}");
        answer.body != serial
    });

    // What cannot be used changes nothing, and is said.
    fs::write(scene.folder().join("tls.key"), "no key").unwrap();
    scene.await_said("the last good version stays in force");
    assert_eq!(scene.get().body, renewed);
    fs::remove_dir_all(scene.folder()).unwrap();
    scene.await_answer("nothing to be sent when the Secret is gone", is_refused);
    let log = scene.waypoint.log();
    assert!(log.contains("shop/partner"), "{log}");

    // Nobody has been shown a key.
    let dump = scene.waypoint.config_dump().unwrap().to_string();
    let logs = [log, scene.world.mesh.control_plane.log(), dump];
    assert!(logs[2].contains("shop/partner"), "the rule is shown");
    for key in &scene.keys {
        assert!(logs.iter().all(|shown| !shown.contains(key.as_str())));
    }
}
