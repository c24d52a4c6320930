//! Questions about names, asked by real programs of a real resolver: the mesh answers those about its
//! services, and all others are as without it.

mod left_alone;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ambit_e2e::lab::address::{pod_v4, vip_v4, vip_v6};
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::mesh::Options;
use ambit_e2e::programs;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::World;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(30);
/// A service of the mesh, and its number among the pods.
const SERVER: (&str, u8) = ("server.shop.svc.cluster.local", 2);

/// A captured client, one that is not, a server and a resolver that nobody captures.
struct Scene {
    world: World,
    resolver: Option<Program>,
    log: PathBuf,
}

impl Scene {
    fn start(more: &[&str]) -> Self {
        // The first pod of the second node.
        let resolver = pod_v4(2, 0);
        let mut agent = vec![
            "--dns-capture".to_owned(),
            format!("--dns-upstream={resolver}"),
        ];
        agent.extend(more.iter().map(|&argument| argument.to_owned()));
        let options = Options {
            agent,
            ..Options::default()
        };
        let pods = [
            ("resolver", 2),
            ("client", 1),
            ("server", 2),
            ("plain", 1),
            ("another", 2),
        ];
        let world = World::prepare(&pods, &options).unwrap();
        let log = world.dir("queries");
        let mut scene = Self {
            world,
            resolver: None,
            log,
        };
        scene.serve();
        for pod in ["client", "server"] {
            scene.world.enrol(pod).unwrap();
        }
        scene
    }

    fn serve(&mut self) {
        let pod = self.world.pod("resolver").unwrap();
        self.resolver = Some(programs::dnsmasq(&pod, &self.log, &records()).unwrap());
    }

    fn client(&self) -> std::sync::Arc<Pod> {
        self.world.pod("client").unwrap()
    }

    /// What `dig` prints in a pod; the number of the question is given, so that it is the same.
    fn dig(&self, pod: &str, more: &[&str]) -> String {
        self.dig_at(pod, "resolver", more)
    }

    /// The same of a question to this server.
    fn dig_at(&self, pod: &str, server: &str, more: &[&str]) -> String {
        let at = format!("@{}", self.world.pod(server).unwrap().v4);
        let fixed = [
            "+qid=4321",
            "+nocookie",
            "+nostats",
            "+nocmd",
            "+tries=2",
            "+time=6",
        ];
        let pod = self.world.pod(pod).unwrap();
        // It says by its status that nobody answered, or that the answer is an error.
        pod.run(
            "sh",
            &[
                "-c",
                &format!("dig {at} {} {} || true", fixed.join(" "), more.join(" ")),
            ],
        )
        .unwrap()
    }

    /// The addresses that a captured pod is given.
    fn addresses(&self, more: &[&str]) -> Vec<IpAddr> {
        let printed = self.dig("client", &[&["+short"], more].concat());
        printed
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// Questions that the resolver has heard about a name.
    fn heard(&self, name: &str) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let about = |line: &&str| line.contains("query[") && line.to_lowercase().contains(name);
        log.lines().filter(about).count()
    }

    fn counted(&self, name: &str, labels: &[&str]) -> f64 {
        let agent = self.world.mesh.agent(1).unwrap();
        agent.pages().metric(name, labels).unwrap()
    }
}

/// What the resolver knows. The text is too long for UDP.
fn records() -> Vec<String> {
    let mut records = vec![
        "--address=/api.example.com/192.0.2.7".to_owned(),
        "--address=/api.example.com/2001:db8::7".to_owned(),
        "--host-record=other.example.com,192.0.2.8".to_owned(),
        "--cname=alias.example.com,other.example.com".to_owned(),
        "--srv-host=_http._tcp.server.shop.svc.cluster.local,server.shop.svc.cluster.local,80"
            .to_owned(),
        "--address=/nowhere.example.com/".to_owned(),
    ];
    for n in 0..12 {
        let text = format!("{n}{}", "x".repeat(200));
        records.push(format!("--txt-record=big.example.com,{text}"));
    }
    records
}

#[test]
fn names_of_services_are_answered_and_all_others_are_as_without_the_mesh() {
    let scene = Scene::start(&[]);
    let (name, number) = SERVER;
    let (v4, v6) = (IpAddr::V4(vip_v4(number)), IpAddr::V6(vip_v6(number)));
    for how in ["+notcp", "+tcp"] {
        assert_eq!(scene.addresses(&[how, name, "A"]), [v4], "{how}");
        assert_eq!(scene.addresses(&[how, name, "AAAA"]), [v6], "{how}");
        let asked = "SERVER.Shop.svc.CLUSTER.local";
        let printed = scene.dig("client", &[how, asked, "A"]);
        assert!(
            printed.contains(&format!("{asked}. 30")) || printed.contains(&format!("{asked}.\t30")),
            "{printed}"
        );
        assert!(printed.contains("status: NOERROR"), "{printed}");
    }
    assert_eq!(
        scene.heard("server.shop"),
        0,
        "the mesh asks nobody about its own"
    );

    for question in [
        &["api.example.com", "A"][..],
        &["api.example.com", "AAAA"],
        &["api.example.com", "MX"],
        &["alias.example.com", "A"],
        &["nowhere.example.com", "A"],
        &["unknown.example.org", "A"],
        &["_http._tcp.server.shop.svc.cluster.local", "SRV"],
        &["+noedns", "api.example.com", "A"],
        &["+tcp", "api.example.com", "A"],
        &["+tcp", "big.example.com", "TXT"],
        &["+ignore", "big.example.com", "TXT"],
        &["+bufsize=4096", "big.example.com", "TXT"],
        &["big.example.com", "TXT"],
        &["-x", "192.0.2.8"],
        &["+dnssec", "+cd", "other.example.com", "A"],
        &["+opcode=NOTIFY", "example.com", "SOA"],
    ] {
        let sorted = |pod| {
            let printed = scene.dig(pod, question);
            // The resolver changes the order of records from one answer to the next.
            let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let before = scene.counted("istio_dns_requests_total", &["result=\"forwarded\""]);
        assert_eq!(sorted("client"), sorted("plain"), "{question:?}");
        let after = scene.counted("istio_dns_requests_total", &["result=\"forwarded\""]);
        assert!(after > before, "{question:?} was not captured");
    }
    // Another server is asked as without the mesh, also about what is the mesh's.
    let (another, log) = (
        scene.world.pod("another").unwrap(),
        scene.world.dir("others"),
    );
    let known = format!("--host-record={name},192.0.2.9");
    let _another = programs::dnsmasq(&another, &log, &[known]).unwrap();
    for how in ["+notcp", "+tcp"] {
        let printed = scene.dig_at("client", "another", &[how, "+short", name, "A"]);
        assert_eq!(printed.trim(), "192.0.2.9", "{how}");
    }

    let cut = scene.dig("client", &["+ignore", "big.example.com", "TXT"]);
    assert!(cut.contains(" tc "), "{cut}");
    let durations = "istio_dns_upstream_request_duration_seconds_count";
    assert!(scene.counted(durations, &[]) >= 16.0);
}

#[test]
fn services_have_names_while_the_resolver_is_away_and_a_new_proxy_answers_at_once() {
    let mut scene = Scene::start(&[]);
    let (name, number) = SERVER;
    let v4 = IpAddr::V4(vip_v4(number));
    let known: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!(scene.addresses(&["api.example.com"]), [known]);
    drop(scene.resolver.take());
    let printed = scene.dig("client", &["api.example.com"]);
    assert!(printed.contains("status: SERVFAIL"), "{printed}");
    assert_eq!(scene.addresses(&[name]), [v4]);
    assert!(scene.counted("istio_dns_upstream_failures_total", &[]) >= 1.0);

    scene.serve();
    assert_eq!(scene.addresses(&["api.example.com"]), [known]);
    let agent = scene.world.mesh.agent(1).unwrap();
    let proxies = agent.proxies().unwrap();
    for proxy in &proxies {
        kill(Pid::from_raw(*proxy), Signal::SIGKILL).unwrap();
    }
    // In one attempt: the question waits for the next generation.
    assert_eq!(scene.addresses(&["+tries=1", "+time=20", name]), [v4]);
    assert_eq!(
        scene.addresses(&["+tries=1", "+time=20", "api.example.com"]),
        [known]
    );
    assert_ne!(agent.proxies().unwrap(), proxies);
    agent.replace_proxy().unwrap();
    for _ in 0..20 {
        assert_eq!(scene.addresses(&["+tries=1", name]), [v4]);
        assert_eq!(scene.addresses(&["+tries=1", "api.example.com"]), [known]);
    }
}

#[test]
fn an_agent_that_takes_over_goes_on_answering_and_a_released_pod_asks_directly() {
    let mut scene = Scene::start(&[]);
    let (name, number) = SERVER;
    let v4 = IpAddr::V4(vip_v4(number));
    assert_eq!(scene.addresses(&[name]), [v4]);
    let former = scene.world.mesh.agent_mut(1).unwrap().start().unwrap();
    let takes_over = || {
        assert_eq!(scene.addresses(&["+tries=1", name]), [v4]);
        let agent = scene.world.mesh.agent(1).unwrap();
        agent
            .list()
            .is_ok_and(|_| agent.proxies().is_ok_and(|proxies| !proxies.is_empty()))
    };
    wait_until("the next agent to serve", PATIENCE, takes_over).unwrap();
    for _ in 0..20 {
        assert_eq!(scene.addresses(&["+tries=1", name]), [v4]);
    }
    drop(former);
    assert_eq!(scene.addresses(&[name]), [v4]);

    let before = scene.heard("server.shop");
    scene.world.release("client").unwrap();
    let is_direct = || {
        scene.dig("client", &["+tries=1", "+time=2", name]);
        scene.heard("server.shop") > before
    };
    wait_until("the resolver to hear of the service", PATIENCE, is_direct).unwrap();
    let plain = scene.dig("plain", &["api.example.com"]);
    assert_eq!(scene.dig("client", &["api.example.com"]), plain);
    let rules = scene.client().run("nft", &["list", "ruleset"]).unwrap();
    assert!(!rules.contains("15053"), "{rules}");
}

#[test]
fn a_refused_connection_is_written_down_with_the_name_that_the_pod_had_for_it() {
    let scene = Scene::start(&["--egress", "REGISTRY_ONLY"]);
    let known: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!(scene.addresses(&["api.example.com"]), [known]);
    let connect = |to: &str| {
        let command =
            format!("curl -sS -m 5 --connect-to ::{to} https://asked.example.org:443/ || true");
        scene.client().run("sh", &["-c", &command]).unwrap()
    };
    connect("192.0.2.7:443");
    // Of an address without a name the hello says what was meant.
    connect("192.0.2.99:443");
    let written = || {
        let agent = scene.world.mesh.agent(1).unwrap();
        let lines = agent.pages().access_log();
        let of = |address: &str| {
            let line = lines.iter().find(|line| line.text("dst.addr") == address)?;
            assert_eq!(line.reason(), "unknown_destination");
            Some(line.text("dst.host").to_owned())
        };
        of("192.0.2.7:443").as_deref() == Some("api.example.com")
            && of("192.0.2.99:443").as_deref() == Some("asked.example.org")
    };
    wait_until("both names to be in the access log", PATIENCE, written).unwrap();
}
