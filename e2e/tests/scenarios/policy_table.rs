//! Istio's AuthorizationPolicy about requests: one table of policies, requests and verdicts, each judged by a
//! real waypoint, and by a real Envoy where a plain one can be asked the same. Requests that are dressed up have
//! the verdict of the plain one beneath.
//!
//! Nothing is shared with what is tested: Envoy is told of the policies by what this file makes of their
//! text, as Istio would.

mod case;
mod envoy;
mod request;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use ambit_e2e::clients::connect;
use ambit_e2e::forge::{Forger, Leaf, Life};
use ambit_e2e::lab::Program;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Waypoint;
use ambit_e2e::peer::secured;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD, World, identity};
use ambit_jwt::testing::{Signer, key_set};
use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use self::case::{Addresses, Ask, Case, Version, cases};
use crate::fronted::{echoes, guarded_with};

/// Whose tokens are believed.
const ISSUER: &str = "https://issuer.example";
/// Claims that are lists of words.
const WORDED: [&str; 2] = ["scope", "permission"];
/// The server's answer.
const SERVED: u16 = 200;
/// How many cases, and how many of their requests that Envoy has judged too, this is about.
const FEWEST: usize = 100;
/// How long one verdict may take to become another: policies are in force before they are asked.
const SETTLED: Duration = Duration::from_secs(3);
/// How often the same is asked again when it has been judged right.
const AGAIN: usize = 3;

/// Pods `client` and `other`, `server` behind the waypoint, and an Envoy in `stranger`.
struct Scene {
    world: World,
    waypoint: Waypoint,
    _servers: [Server; 2],
    signer: Signer,
    leaves: [(&'static str, Leaf); 2],
}

/// Serves the version that a client speaks.
fn either_version(tcp: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
    let mut begin = [0; 3];
    while tcp.peek(&mut begin)? < begin.len() {
        if tcp.peek(&mut begin)? == 0 {
            return Ok(());
        }
    }
    if &begin != b"PRI" {
        return servers::http(tcp, peer);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        tcp.set_nonblocking(true)?;
        let tcp = tokio::net::TcpStream::from_std(tcp)?;
        let mut connection = h2::server::handshake(tcp).await?;
        while let Some(stream) = connection.accept().await {
            let (request, mut respond) = stream?;
            let is_short = request.method() == Method::HEAD;
            let mut body = respond.send_response(Response::new(()), is_short)?;
            if !is_short {
                body.send_data(Bytes::from_static(b"served"), true)?;
            }
        }
        anyhow::Ok(())
    });
    served.map_err(std::io::Error::other)
}

impl Scene {
    fn start() -> Self {
        let (world, waypoint, servers) = guarded_with(&["client", "other"], either_version);
        let forger = Forger::with_the_meshs_key(world.mesh.control_plane.state()).unwrap();
        let leaf = |name| (name, forger.sign(&identity(name), Life::Now).unwrap());
        let scene = Self {
            leaves: ["client", "other"].map(leaf),
            world,
            waypoint,
            _servers: servers,
            signer: Signer::curve("ES256"),
        };
        scene.authenticate();
        let plain = Ask {
            shared: false,
            versions: Vec::new(),
            status: SERVED,
            who: "client".to_owned(),
            lines: vec!["GET /".to_owned(), "token {}".to_owned()],
        };
        wait_until("tokens to be believed", SPREAD, || {
            scene.ours(&plain, Version::One) == Ok(SERVED)
        })
        .unwrap();
        scene
    }

    fn keys(&self) -> String {
        key_set(&[self.signer.public("key")])
    }

    fn authenticate(&self) {
        // Where tokens are judged, a port that is for anything but requests says so.
        let says_so = |text: &str| text.replace("name: p9000\n", "name: tcp\n");
        let objects = &self.world.mesh.configuration;
        objects.edit("pods", says_so).unwrap();
        let object = json!({
            "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": {"name": "tokens", "namespace": "shop"},
            "spec": {
                "targetRefs": [{"kind": "Service", "group": "", "name": "server"}],
                "jwtRules": [{"issuer": ISSUER, "jwks": self.keys()}],
            },
        });
        let configuration = &self.world.mesh.configuration;
        configuration.apply("tokens", &object.to_string()).unwrap();
        let bad = Ask {
            shared: false,
            versions: Vec::new(),
            status: 401,
            who: "client".to_owned(),
            lines: vec!["GET /".to_owned(), "Authorization: Bearer a.b.c".to_owned()],
        };
        wait_until("tokens to be judged", SPREAD, || {
            self.ours(&bad, Version::One) == Ok(bad.status)
        })
        .unwrap();
    }

    fn token(&self, claims: &str) -> String {
        let mut all = json!({"iss": ISSUER, "exp": 4_000_000_000_u64});
        let claims: Value = serde_json::from_str(claims).unwrap();
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.signer
            .token(&json!({"alg": "ES256", "kid": "key"}), &all)
    }

    fn service(&self) -> SocketAddr {
        self.world.service("server", Family::V4, HTTP.0).unwrap()
    }

    fn addresses(&self) -> Addresses {
        let ip = |name| self.world.pod(name).unwrap().ip(Family::V4);
        Addresses {
            client: ip("client"),
            other: ip("other"),
            service: self.service().ip(),
            server: ip("server"),
        }
    }

    /// The waypoint's status.
    fn ours(&self, ask: &Ask, version: Version) -> Result<u16, String> {
        let pod = self.world.pod(&ask.who).unwrap();
        let asked = connect(pod.namespace(), self.service()).and_then(|mut stream| {
            Ok(request::status(&mut stream, ask, version, |claims| {
                self.token(claims)
            })?)
        });
        asked.map_err(|error| format!("{error:#}"))
    }

    /// Envoy's. It is told whose connection this is, and for whom, and is shown the client's certificate.
    fn theirs(&self, case: &Case, port: u16, ask: &Ask, version: Version) -> Result<u16, String> {
        let to = match case.is_of_service() {
            true => self.service(),
            false => SocketAddr::new(self.addresses().server, HTTP.1),
        };
        let from = self.world.pod(&ask.who).unwrap().ip(Family::V4);
        let leaf = self.leaves.iter().find(|(name, _)| *name == ask.who);
        let stranger = self.world.pod("stranger").unwrap();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let asked = connect(stranger.namespace(), at).and_then(|mut tcp| {
            let proxied = format!("PROXY TCP4 {from} {} 40000 {}\r\n", to.ip(), to.port());
            tcp.write_all(proxied.as_bytes())?;
            let mut stream = secured(tcp, &leaf.unwrap().1)?;
            Ok(request::status(&mut stream, ask, version, |claims| {
                self.token(claims)
            })?)
        });
        asked.map_err(|error| format!("{error:#}"))
    }

    fn envoy(&self, cases: &[Case]) -> Program {
        let stranger = self.world.pod("stranger").unwrap();
        let config = envoy::config(cases, &self.keys());
        ambit_e2e::envoy::envoy(&self.world, &stranger, "server", &config, envoy::FIRST).unwrap()
    }

    /// Puts a case's policies in force in place of those before.
    fn apply(&self, case: &Case) {
        let names: Vec<String> = (0..case.policies.len())
            .map(|index| format!("{}-{index}", case.name))
            .collect();
        let objects = case.policies.iter().zip(&names);
        let text: String = objects
            .map(|(policy, name)| format!("---\n{}\n", policy.object(name)))
            .collect();
        let configuration = &self.world.mesh.configuration;
        configuration.apply("policies", &text).unwrap();
        wait_until(&format!("{} to be known", case.name), SPREAD, || {
            let dump = self.waypoint.config_dump();
            let dump = dump.map(|dump| dump["policies"].to_string());
            dump.is_ok_and(|dump| {
                names
                    .iter()
                    .all(|name| dump.contains(&format!("\"{name}\"")))
            })
        })
        .unwrap();
    }

    /// All that a case asks; what came out otherwise, and how much Envoy was asked too.
    fn run(&self, case: &Case, port: u16) -> (Vec<String>, usize) {
        self.apply(case);
        let (mut wrong, mut shared) = (Vec::new(), 0);
        for ask in &case.asks {
            for version in &ask.versions {
                // A verdict that has once been right stays so.
                let is_right = || self.ours(ask, *version) == Ok(ask.status);
                let _settled = wait_until(case.name, SETTLED, is_right);
                let mut again = (0..AGAIN).map(|_| self.ours(ask, *version));
                let other = again.find(|ours| *ours != Ok(ask.status));
                let ours = other.unwrap_or(Ok(ask.status));
                let theirs = match ask.shared {
                    true => self.theirs(case, port, ask, *version),
                    false => Ok(ask.status),
                };
                shared += usize::from(ask.shared);
                if (&ours, &theirs) != (&Ok(ask.status), &Ok(ask.status)) {
                    wrong.push(format!(
                        "{}: {} {version:?} {:?}: {ours:?}, Envoy {theirs:?}, not {}",
                        case.name, ask.who, ask.lines, ask.status
                    ));
                }
            }
        }
        for (pod, wanted) in &case.echoes {
            let settled = wait_until(case.name, SETTLED, || echoes(&self.world, pod) == *wanted);
            if settled.is_err() {
                wrong.push(format!(
                    "{}: a connection of {pod}: not {wanted}",
                    case.name
                ));
            }
        }
        (wrong, shared)
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how much was judged")]
fn requests_are_judged_as_policies_say_by_us_and_by_envoy() {
    let scene = Scene::start();
    let cases = cases(&scene.addresses());
    let _envoy = scene.envoy(&cases);
    let (mut wrong, mut shared, mut both) = (Vec::new(), 0, 0);
    for (case, port) in cases.iter().zip(envoy::FIRST..) {
        let (others, asked) = scene.run(case, port);
        wrong.extend(others);
        shared += asked;
        both += usize::from(asked > 0);
    }
    let asked = cases.iter().flat_map(|case| &case.asks);
    let asked: usize = asked.map(|ask| ask.versions.len()).sum();
    println!(
        "{} cases, {both} of them for Envoy too; {asked} requests, {shared} of them for Envoy too",
        cases.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= FEWEST && both >= FEWEST, "too few");
}
