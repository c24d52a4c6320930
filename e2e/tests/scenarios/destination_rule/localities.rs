//! Where requests go by locality: to the waypoint's own zone while that lives, then to the next, or in
//! shares that the rule says.

use std::time::{Duration, Instant};

use ambit_e2e::lab::address::{WAN_V4, node_v4, node_v6};
use ambit_e2e::mesh::Options;
use ambit_e2e::scripted::{Deed, Scripted};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, World};
use ambit_e2e::yaml;

use super::{apply, await_endpoints, await_series, endpoints, rule};
use crate::fronted::{Fronted, virtual_service};

const ACTIVE: &str = "envoy_cluster_outlier_detection_ejections_active";
/// Those in the waypoint's zone, `eu-2`, and one in `eu-1`.
const PODS: [&str; 3] = ["near", "close", "far"];
const OUTLIERS: &str = "    outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 4s, \
                        maxEjectionPercent: 100}\n";

/// A try that is not answered goes to another endpoint: connections that were kept break without a
/// word when a zone dies.
fn again() -> String {
    let rule = "  - retries: {attempts: 3, perTryTimeout: 400ms, retryOn: '5xx,reset,connect-failure'}\n    \
                route: [{destination: {host: server}}]\n";
    virtual_service("again", "server", rule)
}

/// Nodes, each a zone of its own in these regions. The third is none of the lab's.
pub(super) fn zones(fronted: &Fronted, regions: [&str; 3]) {
    let mut parts = vec![yaml::namespace("shop", true)];
    for (number, region) in (1..).zip(regions) {
        let addresses = [node_v4(number).into(), node_v6(number).into()];
        let name = format!("name: node-{number}");
        let labels = format!(
            "\n  labels:\n    topology.kubernetes.io/region: {region}\n    \
             topology.kubernetes.io/zone: {region}-{number}"
        );
        let object = yaml::node(&format!("node-{number}"), &addresses);
        parts.push(object.replacen(&name, &format!("{name}{labels}"), 1));
    }
    let configuration = &fronted.world.mesh.configuration;
    configuration
        .apply("cluster", &yaml::documents(&parts))
        .unwrap();
}

struct Zones {
    fronted: Fronted,
    servers: [Scripted; 3],
}

impl Zones {
    fn start() -> Self {
        Self::start_in(["eu"; 3])
    }

    fn start_in(regions: [&str; 3]) -> Self {
        let pods = [
            ("client", 1),
            ("server", 2),
            ("waypoint", 2),
            ("near", 2),
            ("close", 2),
            ("far", 1),
        ];
        let options = Options {
            waypoints: vec!["waypoint".to_owned()],
            bound: vec!["server".to_owned()],
            ..Options::default()
        };
        let world = World::fronted(&pods, &options, &[]).unwrap();
        let waypoint = world.waypoint("waypoint", &[]).unwrap();
        let fronted = Fronted { waypoint, world };
        zones(&fronted, regions);
        let servers = PODS.map(|name| Scripted::saying(&fronted.pod(name), 8080, name).unwrap());
        Self { fronted, servers }
    }

    /// Puts a policy in force, with all pods as endpoints.
    fn policy(&self, lines: &str, is_known: impl Fn(&serde_json::Value) -> bool) {
        let slice = endpoints(&self.fronted, &PODS);
        let text = rule(&format!("  host: server\n  trafficPolicy:\n{lines}"));
        apply(&self.fronted, &format!("{slice}{text}"), |traffic| {
            is_known(&traffic["whole"]["any"])
        });
        await_endpoints(&self.fronted, 3);
    }

    /// How many of so many requests each gets, all of which are answered well.
    fn shares(&self, path: &str, requests: usize) -> [usize; 3] {
        let url = format!("http://server{path}");
        let report = self.fronted.run(
            "h2load",
            &["--h1", &format!("-n{requests}"), "-c4", "-t1", &url],
        );
        assert!(report.contains(&format!("{requests} 2xx")), "{report}");
        self.servers
            .each_ref()
            .map(|server| server.heard_at(path).len())
    }

    /// Has the pods of the waypoint's zone be not ready, as a cluster does some time after their node
    /// has died.
    fn unready(&self) {
        let configuration = &self.fronted.world.mesh.configuration;
        let text = std::fs::read_to_string(configuration.dir().join("pods.yaml")).unwrap();
        let parts = text.split("---\n").map(|part| {
            let is_of_zone = ["near", "close"].iter().any(|name| {
                part.starts_with("apiVersion: v1\nkind: Pod\n")
                    && part.contains(&format!("name: {name}\n"))
            });
            match is_of_zone {
                true => part.replace("status: \"True\"", "status: \"False\""),
                false => part.to_owned(),
            }
        });
        let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
        configuration
            .apply("pods", &yaml::documents(&parts))
            .unwrap();
    }

    /// Takes the pods of the waypoint's zone off the net, or puts them back.
    fn link(&self, state: &str) {
        for name in ["near", "close"] {
            let pod = self.fronted.pod(name);
            pod.run("ip", &["link", "set", "eth0", state]).unwrap();
        }
    }
}

#[test]
fn requests_stay_in_the_zone_until_it_dies_and_come_back_when_it_lives() {
    let zones = Zones::start();
    zones.fronted.route(&again(), "VirtualService/shop/again/0");
    let policy = format!("    connectionPool: {{tcp: {{connectTimeout: 300ms}}}}\n{OUTLIERS}");
    zones.policy(&policy, |known| {
        known["outliers"]["max_ejection_percent"] == 100
    });
    wait_until("requests to stay in the zone", SPREAD, || {
        (0..20).all(|_| zones.fronted.get("/", "").body != "far")
    })
    .unwrap();
    let [near, close, far] = zones.shares("/calm", 400);
    assert_eq!((near + close, far), (400, 0));
    assert!(near > 100 && close > 100, "{near} {close}");

    // The zone dies. Who is asked there does not answer: requests go to the other one, at first after
    // a try, and then at once.
    zones.link("down");
    let died = Instant::now();
    let ejected = wait_until("the zone's endpoints to be ejected", SPREAD, || {
        let answer = zones.fronted.get("/dies", "");
        assert_eq!((answer.status, answer.body.as_str()), (200, "far"));
        super::series(&zones.fronted, ACTIVE) > 1.5
    });
    ejected.unwrap();
    assert!(
        died.elapsed() < Duration::from_secs(10),
        "{:?}",
        died.elapsed()
    );
    let began = Instant::now();
    assert_eq!(zones.fronted.get("/dead", "").body, "far");
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );

    zones.link("up");
    wait_until("the zone to serve again", Duration::from_secs(40), || {
        zones.fronted.get("/lives", "").body != "far"
    })
    .unwrap();
    await_series(&zones.fronted, ACTIVE, 0.0);

    // What Kubernetes says of readiness does the same at once.
    zones.unready();
    await_endpoints(&zones.fronted, 1);
    assert_eq!(zones.shares("/unready", 100), [0, 0, 100]);
}

#[test]
fn requests_are_spread_over_zones_as_the_rule_says() {
    let zones = Zones::start();
    // Four in five leave the waypoint's zone.
    let distribute = "    loadBalancer:\n      localityLbSetting:\n        distribute:\n        - from: eu/eu-2/*\n          \
                      to: {eu/eu-2/*: 20, eu/eu-1/*: 80}\n";
    zones.policy(&format!("{distribute}{OUTLIERS}"), |known| {
        known["locality"]["distribute"].to_string().contains("80")
    });
    wait_until("requests to leave the zone", SPREAD, || {
        zones.fronted.get("/", "").body == "far"
    })
    .unwrap();
    let [near, close, far] = zones.shares("/split", 4000);
    assert_eq!(near + close + far, 4000);
    // 5.4 times the deviation of a share of four in five.
    assert!((3064..3336).contains(&far), "{near} {close} {far}");

    // A label that goes before all others, here a zone that is not the waypoint's.
    let priority = "    loadBalancer:\n      localityLbSetting:\n        \
                    failoverPriority: ['topology.kubernetes.io/zone=eu-1']\n";
    zones.policy(&format!("{priority}{OUTLIERS}"), |known| {
        known["locality"]["priority"].to_string().contains("eu-1")
    });
    assert_eq!(zones.shares("/first", 200), [0, 0, 200]);
    let mut text = endpoints(&zones.fronted, &PODS[..2]);
    text.push_str(&rule(&format!(
        "  host: server\n  trafficPolicy:\n{priority}{OUTLIERS}"
    )));
    apply(&zones.fronted, &text, |_| true);
    await_endpoints(&zones.fronted, 2);
    let [near, close, _] = zones.shares("/then", 200);
    assert_eq!(near + close, 200);

    // Without any of it all are alike.
    let disabled =
        "    loadBalancer:\n      simple: ROUND_ROBIN\n      localityLbSetting: {enabled: false}\n";
    zones.policy(&format!("{disabled}{OUTLIERS}"), |known| {
        known["locality"]["disabled"] == true
    });
    let shares = zones.shares("/alike", 300);
    assert!(
        shares.iter().all(|share| (80..120).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn a_region_that_the_rule_names_goes_before_others() {
    let zones = Zones::start_in(["us", "eu", "asia"]);
    let lab = &zones.fronted.world.lab;
    let asia = Scripted::start_in(lab.wan(), 8080, |_, _| Deed::answer(200, "asia")).unwrap();
    // Outside the mesh, on a node of the third region.
    let far_away = format!(
        "  - addresses: [{WAN_V4}]\n    conditions: {{ready: true}}\n    nodeName: node-3\nports:"
    );
    let slice = endpoints(&zones.fronted, &PODS).replace("ports:", &far_away);
    let put = |to: &str| {
        let text = rule(&format!(
            "  host: server\n  trafficPolicy:\n    loadBalancer:\n      localityLbSetting:\n        \
             failover: [{{from: eu, to: {to}}}]\n{OUTLIERS}"
        ));
        apply(&zones.fronted, &format!("{slice}{text}"), |traffic| {
            let failover = &traffic["whole"]["any"]["locality"]["failover"];
            failover.to_string().contains(&format!("\"{to}\""))
        });
    };
    put("asia");
    await_endpoints(&zones.fronted, 4);
    let [near, close, far] = zones.shares("/calm", 100);
    assert_eq!(
        (near + close, far, asia.heard_at("/calm").len()),
        (100, 0, 0)
    );
    // Without the waypoint's own region that is next which the rule says.
    zones.unready();
    await_endpoints(&zones.fronted, 2);
    assert_eq!(zones.shares("/asia", 100), [0; 3]);
    assert_eq!(asia.heard_at("/asia").len(), 100);
    put("us");
    assert_eq!(zones.shares("/us", 100), [0, 0, 100]);
}
