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
