//! Hosts that ServiceEntries register, by name and by address and without a waypoint, where nothing else may
//! be reached; and what is written down of the rest.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_e2e::lab::address::pod_v4;
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::mesh::Options;
use ambit_e2e::programs;
use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, World};

/// Pods that are none to the mesh.
const OUTSIDE: [&str; 5] = ["named", "fixed", "direct", "moved", "stranger"];
/// How long a name may lead to where it led before: answers hold for five seconds at least, and are used once
/// more after that.
const HOLDS: Duration = Duration::from_secs(15);

struct Scene {
    world: World,
    resolver: Option<Program>,
    log: PathBuf,
    outside: Vec<(Arc<Pod>, Scripted)>,
}

impl Scene {
    fn start() -> Self {
        // The first pod of the second node.
        let resolver = pod_v4(2, 0);
        let agent = [
            "--dns-capture".to_owned(),
            format!("--dns-upstream={resolver}"),
            "--egress=REGISTRY_ONLY".to_owned(),
        ];
        let options = Options {
            agent: agent.to_vec(),
            ..Options::default()
        };
        let world = World::prepare(&[("resolver", 2), ("client", 1)], &options).unwrap();
        let outside = OUTSIDE.map(|name| {
            let pod = world.lab.pod(2, name).unwrap();
            let server = Scripted::saying(&pod, 80, name).unwrap();
            (pod, server)
        });
        let client = world.pod("client").unwrap();
        client.set_resolver(resolver).unwrap();
        let log = world.dir("queries");
        let mut scene = Self {
            world,
            resolver: None,
            log,
            outside: outside.into(),
        };
        scene.resolve("named");
        scene.world.enrol("client").unwrap();
        scene
    }

    fn ip(&self, name: &str) -> Ipv4Addr {
        let mut pods = self.outside.iter().map(|(pod, _)| pod);
        pods.find(|pod| pod.name == name).unwrap().v4
    }

    /// Has `named.example.test` lead to this pod, and all others to those of their names.
    fn resolve(&mut self, named: &str) {
        drop(self.resolver.take());
        let mut records: Vec<_> = OUTSIDE[1..]
            .iter()
            .map(|name| format!("--host-record={name}.example.test,{}", self.ip(name)))
            .collect();
        records.push(format!(
            "--host-record=named.example.test,{}",
            self.ip(named)
        ));
        records.push(format!("--address=/wide.test/{}", self.ip("stranger")));
        let pod = self.world.pod("resolver").unwrap();
        self.resolver = Some(programs::dnsmasq(&pod, &self.log, &records).unwrap());
    }

    fn register(&self) {
        let entry = |name: &str, host: &str, spec: &str| {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {{name: {name}, namespace: shop}}\n\
                 spec: {{hosts: ['{host}'], {spec}, ports: [{{number: 80, name: http, protocol: HTTP}}]}}\n"
            )
        };
        let fixed = format!(
            "resolution: STATIC, endpoints: [{{address: {}}}]",
            self.ip("fixed")
        );
        let direct = format!("resolution: NONE, addresses: [{}]", self.ip("direct"));
        let text = entry("named", "named.example.test", "resolution: DNS")
            + &entry("fixed", "fixed.example.test", &fixed)
            + &entry("direct", "direct.example.test", &direct)
            // Without a waypoint nobody reads which host is meant.
            + &entry("wide", "*.wide.test", "resolution: DYNAMIC_DNS");
        self.world.mesh.configuration.apply("hosts", &text).unwrap();
    }

    /// What the client is answered with; nothing if it is refused.
    fn says(&self, args: &[&str]) -> String {
        let args = [&["-c", "curl -s -m 10 \"$@\" || true", "curl"], args].concat();
        self.world.pod("client").unwrap().run("sh", &args).unwrap()
    }

    /// The same of an address.
    fn says_at(&self, address: Ipv4Addr, port: u16) -> String {
        self.says(&[&format!("http://{address}:{port}/")])
    }

    /// The addresses that the client is given for a name.
    fn looks_up(&self, name: &str) -> Vec<Ipv4Addr> {
        let command = format!("dig +short {name} A");
        let printed = self
            .world
            .pod("client")
            .unwrap()
            .run("sh", &["-c", &command]);
        printed
            .unwrap()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    fn refusals(&self) -> f64 {
        let agent = self.world.mesh.agent(1).unwrap();
        let label = ["reason=\"unknown_destination\""];
        agent
            .pages()
            .metric("ambit_refusals_total", &label)
            .unwrap()
    }

    /// Whether a refusal of a connection to this address is written down with this host.
    fn is_logged(&self, to: &str, host: &str) -> bool {
        let agent = self.world.mesh.agent(1).unwrap();
        let log = agent.pages().access_log();
        let mut lines = log
            .iter()
            .filter(|line| line.reason() == "unknown_destination");
        lines.any(|line| line.text("dst.addr") == to && line.text("dst.host") == host)
    }
}

#[test]
fn registered_hosts_are_reached_by_name_and_address_and_all_others_are_written_down() {
    let mut scene = Scene::start();
    for name in OUTSIDE {
        assert_eq!(
            scene.says(&[&format!("http://{name}.example.test/")]),
            "",
            "{name}"
        );
    }
    scene.register();
    wait_until("the hosts to be registered", SPREAD, || {
        let url = |name| format!("http://{name}.example.test/");
        OUTSIDE[..3]
            .iter()
            .all(|name| scene.says(&[&url(name)]) == *name)
    })
    .unwrap();
    for name in &OUTSIDE[..3] {
        let given = scene.looks_up(&format!("{name}.example.test"));
        let [given] = given.as_slice() else {
            panic!("{name}: {given:?}")
        };
        assert_eq!(
            *given == scene.ip(name),
            *name == "direct",
            "{name} is {given}"
        );
        assert_eq!(scene.says_at(*given, 80), *name, "{name}");
        assert_eq!(scene.says_at(*given, 81), "", "{name}");
        let own = scene.says_at(scene.ip(name), 80);
        // Where a name leads is its own: what is registered is the name.
        assert_eq!(own, if *name == "named" { "" } else { name }, "{name}");
    }
    the_rest_is_refused(&scene);

    scene.resolve("moved");
    let url = "http://named.example.test/";
    let mut said = String::new();
    let moved = wait_until("connections to follow the name", HOLDS, || {
        said = scene.says(&[url]);
        assert!(!said.is_empty(), "no connection fails meanwhile");
        said == "moved"
    });
    moved.unwrap_or_else(|error| panic!("{error:#}: {said}"));
}

fn the_rest_is_refused(scene: &Scene) {
    let before = scene.refusals();
    let stranger = scene.ip("stranger");
    // By the name that the client had for it, by `Host`, and by the server name of TLS.
    let unknown = [192, 0, 2, 99];
    let (plain, tls) = (format!("::{stranger}:80"), "::192.0.2.99:443");
    for args in [
        &["http://stranger.example.test/"][..],
        &["http://any.wide.test/"],
        &[
            "--connect-to",
            &format!("::{}:80", Ipv4Addr::from(unknown)),
            "http://asked.example.org/",
        ],
        &["--connect-to", tls, "https://secret.example.org/"],
    ] {
        assert_eq!(scene.says(args), "", "{args:?}");
    }
    assert_eq!(
        scene.says(&["--connect-to", &plain, "http://fixed.example.test/"]),
        ""
    );
    for (to, host) in [
        (format!("{stranger}:80"), "stranger.example.test"),
        (format!("{stranger}:80"), "any.wide.test"),
        ("192.0.2.99:80".to_owned(), "asked.example.org"),
        ("192.0.2.99:443".to_owned(), "secret.example.org"),
    ] {
        let what = format!("a line about {host}");
        wait_until(&what, SPREAD, || scene.is_logged(&to, host)).unwrap();
    }
    assert!(scene.refusals() - before >= 5.0);
}
