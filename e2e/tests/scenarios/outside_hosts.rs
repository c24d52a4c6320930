//! Hosts outside of the mesh behind a waypoint: real servers that no object of the cluster knows, a real
//! resolver that knows them, and clients that may reach nothing else. What is said is shown by traffic, and by
//! what the servers have written down.

mod led;
mod origination;
mod rules;
mod site;
mod wildcards;

use std::path::PathBuf;

use ambit_e2e::lab::Program;
use ambit_e2e::lab::address::pod_v4;
use ambit_e2e::mesh::{Options, sum_of};
use ambit_e2e::programs;
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{SPREAD, World};
use serde_json::Value;

use crate::fronted::Fronted;
use site::{Certificates, Site};

/// What a client got: status (0 if there was no answer) and body.
type Got = (u16, String);

/// Two captured clients, `client` and `other`, a waypoint, a resolver, and two sites outside.
struct Scene {
    fronted: Fronted,
    resolver: Option<Program>,
    log: PathBuf,
    certificates: Certificates,
    /// The sites, which answer with their number.
    sites: [Site; 2],
}

impl Scene {
    /// With these records at the resolver, of the sites' addresses.
    fn start(records: impl Fn([std::net::Ipv4Addr; 2]) -> Vec<String>) -> Self {
        // The first pod of the second node.
        let resolver = pod_v4(2, 0);
        let agent = [
            "--dns-capture".to_owned(),
            format!("--dns-upstream={resolver}"),
            "--egress=REGISTRY_ONLY".to_owned(),
        ];
        let options = Options {
            agent: agent.to_vec(),
            waypoints: vec!["waypoint".to_owned()],
            ..Options::default()
        };
        let pods = [
            ("resolver", 2),
            ("waypoint", 2),
            ("client", 1),
            ("other", 1),
        ];
        let world = World::fronted(&pods, &options, &["resolver"]).unwrap();
        let certificates = Certificates::make(world.lab.dir());
        let site = |number| Site::start(&world, number, &certificates);
        let sites = [site(1), site(2)];
        for pod in ["client", "other", "waypoint"] {
            world.pod(pod).unwrap().set_resolver(resolver).unwrap();
        }
        let log = world.dir("queries");
        let records = records([sites[0].pod.v4, sites[1].pod.v4]);
        let pod = world.pod("resolver").unwrap();
        let resolver = Some(programs::dnsmasq(&pod, &log, &records).unwrap());
        let roots = certificates.roots.display().to_string();
        let more = ["--outside-roots", roots.as_str()];
        let waypoint = world.waypoint_that_resolves("waypoint", &more).unwrap();
        Self {
            fronted: Fronted { waypoint, world },
            resolver,
            log,
            certificates,
            sites,
        }
    }

    /// Has the resolver say something else from now on.
    fn resolve(&mut self, records: &[String]) {
        drop(self.resolver.take());
        let pod = self.fronted.pod("resolver");
        self.resolver = Some(programs::dnsmasq(&pod, &self.log, records).unwrap());
    }

    /// Writes objects, and waits until these hosts are bound to the waypoint.
    fn apply(&self, name: &str, objects: &str, hosts: &[&str]) {
        let world = &self.fronted.world;
        world.mesh.configuration.apply(name, objects).unwrap();
        for host in hosts {
            world.await_bound(host, true).unwrap();
        }
    }

    /// What a pod gets with curl.
    fn get(&self, pod: &str, args: &[&str]) -> Got {
        let command = "curl -s -m 10 -w '\\n%{http_code}' \"$@\" || true";
        let args = [&["-c", command, "curl"], args].concat();
        let printed = self.fronted.pod(pod).run("sh", &args).unwrap();
        let (body, status) = printed.rsplit_once('\n').unwrap_or_default();
        (status.parse().unwrap_or_default(), body.to_owned())
    }

    /// The status alone, of the client.
    fn status(&self, url: &str) -> u16 {
        self.get("client", &[url]).0
    }

    /// Waits until the client gets this status.
    fn await_status(&self, url: &str, status: u16) {
        let got = wait_until(&format!("{status} of {url}"), SPREAD, || {
            self.status(url) == status
        });
        got.unwrap_or_else(|error| panic!("{error:#}; {:?}", self.get("client", &[url])));
    }

    /// The waypoint's line about what one of its fields says.
    fn line(&self, field: &str, value: &str) -> Value {
        let find = || {
            let mut lines = self.fronted.waypoint.access_log().into_iter();
            lines.find(|line| line[field] == value)
        };
        wait_for(&format!("a line with {field} {value}"), SPREAD, find).unwrap()
    }

    /// Whether the waypoint refuses a request for this path so, as its line says.
    fn assert_refused(&self, path: &str, flags: &str, reason: &str) -> Value {
        let line = self.line("path", path);
        let said = (&line["response_flags"], &line["reason"]);
        assert_eq!(said, (&flags.into(), &reason.into()), "{line}");
        line
    }

    /// How often the waypoint refused for this reason.
    fn refusals(&self, reason: &str) -> f64 {
        let page = self.fronted.waypoint.metrics().unwrap();
        let label = format!("reason=\"{reason}\"");
        sum_of(&page, "ambit_refusals_total", &[&label])
    }

    /// Fails if a site has heard of this path.
    fn assert_unheard(&self, path: &str) {
        for site in &self.sites {
            assert!(site.seen_at(path).is_empty(), "{path}: {:?}", site.seen());
        }
    }
}

/// A ServiceEntry that is bound to the waypoint, with the rest of its spec.
fn entry(name: &str, host: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {name}, namespace: shop, labels: {{ambit.mesh/use-waypoint: waypoint}}}}\n\
         spec: {{hosts: ['{host}'], {spec}}}\n"
    )
}

/// A DestinationRule.
fn rule(name: &str, host: &str, policy: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{host: '{host}', trafficPolicy: {{{policy}}}}}\n"
    )
}

/// An AuthorizationPolicy for a ServiceEntry, with the rest of its spec.
fn policy(name: &str, entry: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{targetRefs: [{{group: networking.istio.io, kind: ServiceEntry, name: {entry}}}], {spec}}}\n"
    )
}
