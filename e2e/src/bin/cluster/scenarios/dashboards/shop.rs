//! A client, a server that it calls through the waypoint, and one that it calls without.

use std::time::Duration;

use ambit_e2e::cluster::{Echo, LINES, Pod, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::scenarios::BITE;
use crate::scenarios::said::BOUND;

const CAPTURE: Duration = Duration::from_secs(30);
/// A line that an echo sends back.
pub(super) const LINE: &str = "0123456789";

/// The pods `client`, `server` and `plain`, each with a service of its name.
pub(super) struct Shop<'a> {
    pub(super) sandbox: &'a Sandbox,
    client: Pod,
}

impl<'a> Shop<'a> {
    /// Makes them, captured.
    pub(super) fn open(sandbox: &'a Sandbox) -> Result<Self> {
        let [client, server, plain] = ["client", "server", "plain"].map(Echo::one);
        sandbox.apply(&client.objects(sandbox))?;
        sandbox.apply(&scraped(server.objects(sandbox)))?;
        sandbox.apply(&unbound(plain.objects(sandbox)))?;
        sandbox.ready_one(&plain.selector())?;
        sandbox.ready_one(&server.selector())?;
        let shop = Self {
            client: sandbox.ready_one(&client.selector())?,
            sandbox,
        };
        sandbox.captured("", CAPTURE)?;
        Ok(shop)
    }

    /// Waits until the server is called by the waypoint: by one request that it counts.
    pub(super) fn await_waypoint(&self) -> Result<()> {
        let waypoints = self
            .sandbox
            .pods("gateway.networking.k8s.io/gateway-name")?;
        wait_until("the server to be called by the waypoint", BITE, || {
            let answer = self.sandbox.curl(self.client.name(), "http://server/");
            let answer = answer.unwrap_or_default();
            let (_, from) = answer.trim().split_once(' ').unwrap_or_default();
            let mut waypoints = waypoints.iter().filter_map(Pod::ip);
            waypoints.any(|ip| ip.to_string() == from)
        })?;
        Ok(())
    }

    /// Sends so many requests, which are answered with this status.
    pub(super) fn ask(&self, path: &str, times: u32, status: &str) -> Result<()> {
        let url = format!("http://server/{path}?[1-{times}]");
        let curl = ["curl", "-sS", "-m", "30", "-o", "/dev/null"];
        let told = ["-w", "%{http_code}\n", &url];
        let answered = self
            .sandbox
            .exec(self.client.name(), &[&curl[..], &told].concat())?;
        let good = answered.lines().filter(|code| *code == status).count();
        ensure!(u32::try_from(good)? == times, "{path}: {answered}");
        Ok(())
    }

    /// Has so many lines sent back, each on a connection of its own.
    pub(super) fn lines(&self, service: &str, times: u32) -> Result<()> {
        let one = format!("printf {LINE} | socat -t 10 - TCP:{service}:{LINES}");
        for _ in 0..times {
            let back = self.sandbox.exec(self.client.name(), &["sh", "-c", &one])?;
            ensure!(back == LINE, "{service} sent back {back:?}");
        }
        Ok(())
    }
}

/// Has Prometheus scrape the pods of these objects.
fn scraped(objects: Vec<Value>) -> Vec<Value> {
    let annotations = json!({ "prometheus.io/scrape": "true", "prometheus.io/port": "8080" });
    with(
        objects,
        "/spec/template/metadata",
        "annotations",
        &annotations,
    )
}

/// Keeps the waypoint away from these objects: from the service, and from the pods.
fn unbound(objects: Vec<Value>) -> Vec<Value> {
    let none = json!("none");
    let objects = with(objects, "/spec/template/metadata/labels", BOUND, &none);
    let (mut services, mut others): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| object.get("kind").is_some_and(|kind| kind == "Service"));
    services = with(services, "/metadata", "labels", &json!({ BOUND: none }));
    others.append(&mut services);
    others
}

/// These objects, with a field of that object in those which have it.
fn with(mut objects: Vec<Value>, place: &str, field: &str, value: &Value) -> Vec<Value> {
    for object in &mut objects {
        let found = object.pointer_mut(place).and_then(Value::as_object_mut);
        if let Some(found) = found {
            found.insert(field.to_owned(), value.clone());
        }
    }
    objects
}
