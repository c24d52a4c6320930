//! Hosts outside of the mesh, where nothing else may be reached: the webhook refuses entries that cannot
//! be followed, the leader gives hosts addresses that outlive it, pods reach them by name, and what no
//! entry registers is refused.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, PLANES, Pod, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::BITE;
use super::leader_killed::{kill, leader};
use super::stranger::Stranger;

const CAPTURE: Duration = Duration::from_secs(30);
/// How long a lease counts that nobody renews, and a moment to see that and to take it.
const LEASE: Duration = Duration::from_secs(20);
const READY: Duration = Duration::from_secs(60);
/// Until the API server asks the webhook.
const ASKED: Duration = Duration::from_secs(60);
/// Where the server outside listens: at a port that an entry names, and at one that none does.
const PORTS: [u16; 2] = [18480, 18481];
/// Its address, which no node and no pod has told anybody.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// What stands for hosts that have no address of their own.
const ALLOCATED: [u8; 2] = [240, 240];

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster
        .release
        .upgrade(&["--set", "mesh.egress=REGISTRY_ONLY"])?;
    let outcome = registered(cluster);
    cluster.release.upgrade(&[])?;
    outcome
}

fn registered(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("entries")?;
    shop.enrol()?;
    let outside = cluster.sandbox("entries-outside")?;
    let node = cluster.node(1)?;
    let [named, other] = PORTS;
    let site = format!(
        "server {{ listen {named}; listen {other}; location / {{ return 200 \"outside\\n\"; }} }}"
    );
    let server = Stranger {
        address: OUTSIDE,
        port: named,
        site: &site,
        files: &[],
    };
    outside.apply(&[server.pod(&outside.image, node)])?;
    let client = Echo::one("client").on(node);
    shop.apply(&client.objects(&shop))?;
    outside.ready_one(Stranger::SELECTOR)?;
    let scene = Scene {
        server: OUTSIDE.into(),
        client: shop.ready_one(&client.selector())?,
        shop,
        cluster,
    };
    scene.shop.captured("", CAPTURE)?;
    let refused = scene.refuses_what_cannot_be_followed()?;
    scene.only_what_is_registered_is_reached()?;
    let first = scene.address_of("one")?;
    let taken = scene.addresses_outlive_the_leader(first)?;
    scene.exports()?;
    Ok(format!(
        "{refused} bad entries refused; a host at {first} by name, also {:.0} s after the leader was killed; \
         nothing else",
        taken.as_secs_f32()
    ))
}

struct Scene<'a> {
    cluster: &'a Cluster,
    shop: Sandbox,
    client: Pod,
    server: IpAddr,
}

impl Scene<'_> {
    /// How many entries the webhook refuses.
    fn refuses_what_cannot_be_followed(&self) -> Result<usize> {
        let bad = [
            ("hosts: ['*'], resolution: NONE", "spec.hosts[0]"),
            (
                "hosts: [a.example.com], resolution: STATIC",
                "spec.endpoints",
            ),
            (
                "hosts: [a.example.com], resolution: STATIC, endpoints: [{address: 192.0.2.300}]",
                "spec.endpoints[0].address",
            ),
            (
                "hosts: [a.example.com], resolution: DNS, endpoits: []",
                "spec.endpoits",
            ),
            (
                "hosts: [a.example.com], resolution: DNS, addresses: [192.0.2.0/24]",
                "spec.addresses[0]",
            ),
        ];
        for (spec, field) in bad {
            let text = entry("bad", spec);
            wait_until(&format!("{field} to be refused"), ASKED, || {
                let said = self.cluster.kubectl.offer(&self.shop.name, &text);
                said.is_ok_and(|said| !said.status.success() && said.err.contains(field))
            })?;
        }
        Ok(bad.len())
    }

    fn only_what_is_registered_is_reached(&self) -> Result<()> {
        let direct = |port: u16| format!("http://{}:{port}/", self.server);
        for port in PORTS {
            self.refused(&direct(port))?;
        }
        self.register("one", "exportTo: ['*']")?;
        let name = "http://one.example.com/";
        self.reaches(name)?;
        // Its server is registered at the port of its endpoint, and no other host of it.
        self.reaches(&direct(PORTS[0]))?;
        self.refused(&direct(PORTS[1]))?;
        self.refused("http://192.0.2.1/")?;
        Ok(())
    }

    /// Another leader leaves an address as it is, and gives new hosts other ones. How long until it leads.
    fn addresses_outlive_the_leader(&self, first: Ipv4Addr) -> Result<Duration> {
        let before = leader(self.cluster)?;
        kill(self.cluster, &before)?;
        let taken = wait_until("another leader", LEASE, || {
            leader(self.cluster).is_ok_and(|holder| holder.name() != before.name())
        })?;
        // By name before the new leader has done anything, and after it has.
        self.reaches("http://one.example.com/")?;
        self.register("two", "exportTo: ['*']")?;
        let second = self.address_of("two")?;
        ensure!(second != first, "both have {first}");
        self.reaches("http://two.example.com/")?;
        let still = self.address_of("one")?;
        ensure!(still == first, "it was {first} and is {still}");
        self.reaches("http://one.example.com/")?;
        self.cluster.kubectl.rolled_out(PLANES, READY)?;
        Ok(taken)
    }

    /// What is not exported to the client's namespace is not there for it; nor what is deleted.
    fn exports(&self) -> Result<()> {
        let other = self.cluster.sandbox("entries-other")?;
        let spec = spec(self.server, "hidden", "exportTo: ['.']");
        let text = entry("hidden", &spec);
        self.cluster.kubectl.apply_text(&other.name, &text)?;
        wait_until("the hidden host to have an address", BITE, || {
            self.recorded(&other.name, "hidden").is_some()
        })?;
        let said = self
            .shop
            .curl(self.client.name(), "http://hidden.example.com/");
        ensure!(said.is_err(), "a hidden host says {said:?}");
        let delete = ["-n", &self.shop.name, "delete", "serviceentry", "one"];
        self.cluster.kubectl.run(&delete)?;
        let direct = format!("http://{}:{}/", self.server, PORTS[0]);
        // The other entry registers the same server.
        self.reaches(&direct)?;
        let delete = ["-n", &self.shop.name, "delete", "serviceentry", "two"];
        self.cluster.kubectl.run(&delete)?;
        self.shop.becomes_refused(self.client.name(), &direct, BITE)
    }

    fn register(&self, name: &str, more: &str) -> Result<()> {
        let text = entry(name, &spec(self.server, name, more));
        self.cluster.kubectl.apply_text(&self.shop.name, &text)
    }

    fn reaches(&self, url: &str) -> Result<()> {
        let client = self.client.name();
        let there = || {
            let said = self.shop.curl(client, url);
            said.is_ok_and(|said| said.trim() == "outside")
        };
        wait_until(&format!("{url} to be reached"), BITE, there)?;
        Ok(())
    }

    fn refused(&self, url: &str) -> Result<()> {
        self.shop.refused(self.client.name(), url)
    }

    /// The address that an entry was given, once it is.
    fn address_of(&self, name: &str) -> Result<Ipv4Addr> {
        let mut found = None;
        wait_until(&format!("an address of {name}"), BITE, || {
            found = self.recorded(&self.shop.name, name);
            found.is_some()
        })?;
        let found = found.context("no address")?;
        ensure!(found.octets().starts_with(&ALLOCATED), "{found} of {name}");
        Ok(found)
    }

    fn recorded(&self, namespace: &str, name: &str) -> Option<Ipv4Addr> {
        let get = ["-n", namespace, "get", "serviceentry", name];
        let object: Value = self.cluster.kubectl.json(&get).ok()?;
        let host = format!("{name}.example.com");
        let addresses = object.pointer("/status/addresses")?.as_array()?;
        let own = addresses.iter().find(|one| one["host"] == host.as_str())?;
        own["value"].as_str()?.parse().ok()
    }
}

/// A host at the server outside.
fn spec(server: IpAddr, name: &str, more: &str) -> String {
    let port = PORTS[0];
    format!(
        "hosts: [{name}.example.com], resolution: STATIC, location: MESH_EXTERNAL, \
         endpoints: [{{address: '{server}', ports: {{http: {port}}}}}], {more}"
    )
}

fn entry(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\n\
         spec: {{ports: [{{number: 80, name: http, protocol: HTTP}}], {spec}}}\n"
    )
}
