//! Hosts outside of the mesh that a ServiceEntry registers, where nothing else may be reached.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_e2e::clients::get;
use ambit_e2e::lab::address::Family;
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::mesh::Options;
use ambit_e2e::programs;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, SPREAD, World};

use crate::support::assert_refused;

/// What stands for the host.
const VIP: [u8; 4] = [198, 51, 100, 7];

/// A captured client, and a server that no object of the cluster knows.
struct Scene {
    world: World,
    client: Arc<Pod>,
    server: SocketAddr,
    _nginx: Program,
    _outside: Arc<Pod>,
}

impl Scene {
    fn start() -> Self {
        let options = Options {
            agent: vec!["--egress".into(), "REGISTRY_ONLY".into()],
            ..Options::default()
        };
        let world = World::prepare(&[("client", 1)], &options).unwrap();
        let outside = world.lab.pod(2, "outside").unwrap();
        let site = "server { listen 8080; location / { return 200 'outside'; } }";
        let nginx = programs::nginx(&outside, &world.dir("nginx"), site, 8080).unwrap();
        world.enrol_all().unwrap();
        Self {
            client: world.pod("client").unwrap(),
            server: SocketAddr::new(outside.ip(Family::V4), 8080),
            world,
            _nginx: nginx,
            _outside: outside,
        }
    }

    /// Registers the server's host for clients of these namespaces.
    fn register(&self, namespace: &str, export_to: &str) {
        let vip = std::net::Ipv4Addr::from(VIP);
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: outside, namespace: {namespace}}}\n\
             spec:\n  hosts: [outside.example.com]\n  addresses: [{vip}]\n  resolution: STATIC\n\
             \x20 exportTo: ['{export_to}']\n  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]\n\
             \x20 endpoints: [{{address: {}}}]\n",
            self.server.ip()
        );
        self.world
            .mesh
            .configuration
            .apply("outside", &text)
            .unwrap();
    }

    fn reaches(&self, at: SocketAddr) -> bool {
        get(self.client.namespace(), at, "/").is_ok_and(|answer| answer.body == "outside")
    }
}

fn vip(port: u16) -> SocketAddr {
    SocketAddr::from((VIP, port))
}

#[test]
fn a_registered_host_is_reached_by_its_address_and_nothing_else_is() {
    let scene = Scene::start();
    assert!(!scene.reaches(scene.server) && !scene.reaches(vip(80)));
    assert_refused(&scene.world, 1, "unknown_destination");
    scene.register(NAMESPACE, "*");
    wait_until("the host to be registered", SPREAD, || {
        scene.reaches(vip(80))
    })
    .unwrap();
    assert!(scene.reaches(scene.server), "its server is registered, too");
    let other = SocketAddr::from(([198, 51, 100, 8], 80));
    assert!(!scene.reaches(vip(81)) && !scene.reaches(other));
    scene.world.mesh.configuration.remove("outside").unwrap();
    wait_until("it to be gone", SPREAD, || !scene.reaches(vip(80))).unwrap();
}

#[test]
fn a_host_that_is_not_exported_is_not_there() {
    let scene = Scene::start();
    scene.register(NAMESPACE, ".");
    wait_until("the host to be registered", SPREAD, || {
        scene.reaches(vip(80))
    })
    .unwrap();
    scene.register("other", ".");
    wait_until("it to be another namespace's", SPREAD, || {
        !scene.reaches(vip(80))
    })
    .unwrap();
    assert!(!scene.reaches(scene.server));
    assert_refused(&scene.world, 1, "unknown_destination");
    scene.register("other", NAMESPACE);
    wait_until("it to be exported", SPREAD, || scene.reaches(vip(80))).unwrap();
}

#[test]
fn servers_are_found_by_their_labels_and_stand_behind_a_block_of_addresses() {
    let options = Options {
        agent: vec!["--egress".into(), "REGISTRY_ONLY".into()],
        ..Options::default()
    };
    let world = World::prepare(&[("client", 1), ("inside", 2)], &options).unwrap();
    let outside = world.lab.pod(2, "outside").unwrap();
    let inside = world.pod("inside").unwrap();
    let serve = |pod: &Arc<Pod>, name: &str| {
        let site = format!("server {{ listen 8080; location / {{ return 200 '{name}'; }} }}");
        programs::nginx(pod, &world.dir(name), &site, 8080).unwrap()
    };
    let _servers = [serve(&outside, "outside"), serve(&inside, "inside")];
    world.enrol_all().unwrap();
    // The pod has this label too.
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: servers, namespace: {NAMESPACE}}}\n\
         spec:\n  hosts: [servers.example.com]\n  addresses: [198.51.100.0/24]\n  location: MESH_INTERNAL\n\
         \x20 resolution: STATIC\n  workloadSelector: {{labels: {{app: inside}}}}\n\
         \x20 ports: [{{number: 80, name: tcp, protocol: TCP, targetPort: 8080}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
         metadata: {{name: outside, namespace: {NAMESPACE}}}\n\
         spec: {{address: {}, labels: {{app: inside}}}}\n",
        outside.ip(Family::V4)
    );
    let configuration = &world.mesh.configuration;
    configuration.apply("servers", &text).unwrap();
    let client = world.pod("client").unwrap();
    let ask = |last: u8| {
        let at = SocketAddr::from(([198, 51, 100, last], 80));
        get(client.namespace(), at, "/").map(|answer| answer.body)
    };
    for last in [7, 200] {
        for wanted in ["inside", "outside"] {
            let found = wait_until(wanted, SPREAD, || {
                ask(last).is_ok_and(|body| body == wanted)
            });
            found.unwrap_or_else(|error| panic!("{last}: {error:#}"));
        }
    }
    let beyond = SocketAddr::from(([198, 51, 101, 7], 80));
    assert!(get(client.namespace(), beyond, "/").is_err());
    // What is gone is not gone to.
    let alone = text.split("---").next().unwrap();
    configuration.apply("servers", alone).unwrap();
    wait_until("the pod alone", SPREAD, || {
        (0..20).all(|_| ask(7).is_ok_and(|body| body == "inside"))
    })
    .unwrap();
}
