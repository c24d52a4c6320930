//! A world in which the service `server` is behind a waypoint that runs, beside services that are
//! behind none: what scenarios about requests start from.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ambit_e2e::clients::{Answer, exchange};
use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, Waypoint};
use ambit_e2e::servers::{self, Serve, Server};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{HTTP, NAMESPACE, SPREAD, TCP, WAYPOINT, World};
use ambit_e2e::yaml;
use serde_json::Value;

/// Who is judged: these pods on the first node and `server` on the second, which serves HTTP and an echo
/// behind its waypoint; and `stranger`, who is not captured.
pub(crate) fn guarded(clients: &[&str]) -> (World, Waypoint, [Server; 2]) {
    guarded_with(clients, servers::http)
}

/// The same, with what the server does with a connection of HTTP.
pub(crate) fn guarded_with(clients: &[&str], http: impl Serve) -> (World, Waypoint, [Server; 2]) {
    let mut pods: Vec<_> = clients.iter().map(|name| (*name, 1)).collect();
    pods.extend([("server", 2), ("waypoint", 2), ("stranger", 1)]);
    let options = Options {
        waypoints: vec!["waypoint".to_owned()],
        bound: vec!["server".to_owned()],
        ..Options::default()
    };
    let world = World::fronted(&pods, &options, &["stranger"]).unwrap();
    let server = world.pod("server").unwrap();
    let servers = [
        Server::start(&server, HTTP.1, http).unwrap(),
        Server::start(&server, TCP.1, servers::echo).unwrap(),
    ];
    let waypoint = world.waypoint("waypoint", &[]).unwrap();
    (world, waypoint, servers)
}

/// Whether a pod's bytes come back from the echo of `server`.
pub(crate) fn echoes(world: &World, pod: &str) -> bool {
    let pod = world.pod(pod).unwrap();
    let to = world.service("server", Family::V4, TCP.0).unwrap();
    exchange(pod.namespace(), to, b"through").is_ok_and(|echoed| echoed == b"through")
}

/// What there is beside a client, the service and its waypoint.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    /// Pods, each with a service of its name.
    pub(crate) backends: &'a [&'a str],
    /// Services of HTTP/1.1 without pods of their own: their names, and at which port `server` is their endpoint, if
    /// they have one.
    pub(crate) services: &'a [(&'a str, Option<u16>)],
    /// More objects, each after a line `---`.
    pub(crate) objects: &'a str,
    /// Arguments of the control plane.
    pub(crate) control_plane: &'a [&'a str],
    /// Arguments of the waypoint.
    pub(crate) waypoint: &'a [&'a str],
}

impl Beside<'_> {
    /// All objects, as files of the configuration's.
    fn objects(&self) -> Vec<(String, String)> {
        let named = self.services.iter().zip(200..);
        let services = named.map(|((name, port), last)| {
            let address = Ipv4Addr::new(10, 96, 0, last).into();
            let ports = [(HTTP.0, port.unwrap_or(HTTP.1))];
            let service = yaml::service(NAMESPACE, name, "", &[address], &ports);
            let service = service.replace("name: p80", "name: http");
            match port {
                Some(_) => service.replace(&format!("app: {name}"), "app: server"),
                None => service,
            }
        });
        let services: Vec<String> = services.collect();
        let text = format!("{}{}", yaml::documents(&services), self.objects);
        let file = (!text.is_empty()).then(|| ("beside".to_owned(), text));
        file.into_iter().collect()
    }
}

/// A client, the service, and what its routes lead to.
pub(crate) struct Fronted {
    pub(crate) waypoint: Waypoint,
    pub(crate) world: World,
}

impl Fronted {
    /// With pods `client` and `server`, and one for each of these services too.
    pub(crate) fn start(backends: &[&str]) -> Self {
        Self::start_with(backends, &[])
    }

    /// The same, the waypoint with these arguments too.
    pub(crate) fn start_with(backends: &[&str], more: &[&str]) -> Self {
        Self::beside(&Beside {
            backends,
            waypoint: more,
            ..Beside::default()
        })
    }

    /// With pods `client` and `server`, and all this.
    pub(crate) fn beside(what: &Beside<'_>) -> Self {
        let mut pods = vec![("client", 1), ("server", 2), ("waypoint", 2)];
        pods.extend(what.backends.iter().map(|name| (*name, 2)));
        let arguments = what.control_plane.iter();
        let options = Options {
            waypoints: vec![WAYPOINT.to_owned()],
            bound: vec!["server".to_owned()],
            control_plane: arguments.map(|arg| (*arg).to_owned()).collect(),
            objects: what.objects(),
            ..Options::default()
        };
        let world = World::fronted(&pods, &options, &[]).unwrap();
        let waypoint = world.waypoint(WAYPOINT, what.waypoint).unwrap();
        Self { waypoint, world }
    }

    /// Writes routes as a user does, and waits until the waypoint has the rule of this name.
    pub(crate) fn route(&self, text: &str, rule: &str) {
        self.world.mesh.configuration.apply("routes", text).unwrap();
        let known = wait_until(&format!("the waypoint to know {rule}"), SPREAD, || {
            let dump = self.waypoint.config_dump().unwrap_or_default();
            dump["routes"].to_string().contains(&format!("\"{rule}\""))
        });
        known.unwrap();
    }

    pub(crate) fn pod(&self, name: &str) -> Arc<Pod> {
        self.world.pod(name).unwrap()
    }

    /// Where the service is reached.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        self.world.service("server", Family::V4, port).unwrap()
    }

    /// A connection of the client to the service, kept open.
    pub(crate) fn connect(&self, port: u16) -> Connection {
        Connection::open(self.pod("client").namespace(), self.at(port)).unwrap()
    }

    /// A GET on a connection of its own.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Answer {
        self.connect(80).get(path, headers).unwrap()
    }

    /// What a program prints in the client's pod.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        self.pod("client").run(program, args).unwrap()
    }

    /// The line of the access log about the only request for this path, once it is there.
    pub(crate) fn logged(&self, path: &str) -> Logged {
        let find = || {
            let mut lines = self.waypoint.access_log().into_iter();
            lines.find(|line| line["path"] == path)
        };
        Logged(wait_for("the access log's line", SPREAD, find).unwrap())
    }
}

impl Drop for Fronted {
    #[expect(clippy::print_stdout, reason = "shown beside why the test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the waypoint's log:\n{}", self.waypoint.log());
        }
    }
}

/// A line of the access log.
#[derive(Debug)]
pub(crate) struct Logged(Value);

impl Logged {
    /// A field as text.
    pub(crate) fn field(&self, name: &str) -> String {
        match &self.0[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// A VirtualService of a host of namespace `shop`, with rules given as YAML.
pub(crate) fn virtual_service(name: &str, host: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: shop}}\nspec:\n  hosts: [{host}]\n  http:\n{rules}"
    )
}

/// A rule of such: its name, and what becomes of requests whose path begins so, as members of a YAML
/// object.
pub(crate) fn rule(name: &str, prefix: &str, what: &str) -> String {
    format!("    - {{name: {name}, match: [{{uri: {{prefix: {prefix}}}}}], {what}}}\n")
}

/// The same where they are sent to a service, with more members.
pub(crate) fn rule_to(name: &str, prefix: &str, to: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    let what = format!("route: [{{destination: {{host: {to}}}}}]{comma}{more}");
    rule(name, prefix, &what)
}

/// A DestinationRule of a host of namespace `shop` that bounds what there may be of its connections
/// (`tcp`) and requests (`http`), both as members of a YAML object.
pub(crate) fn pool(host: &str, tcp: &str, http: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {host}, namespace: shop}}\nspec:\n  host: {host}\n  \
         trafficPolicy: {{connectionPool: {{tcp: {{{tcp}}}, http: {{{http}}}}}}}\n"
    )
}

/// An HTTPRoute of the service, with rules given as YAML.
pub(crate) fn http_route(name: &str, rules: &str) -> String {
    route("gateway.networking.k8s.io/v1", "HTTPRoute", name, "", rules)
}

/// A route of the service: version, kind, name, lines of the spec, rules.
pub(crate) fn route(version: &str, kind: &str, name: &str, spec: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  parentRefs: [{{group: \"\", kind: Service, name: server}}]\n{spec}  rules:\n{rules}"
    )
}
