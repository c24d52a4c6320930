//! The shop that the team's objects are about, and a client of it.

use std::time::Duration;

use ambit_e2e::cluster::{Echo, HTTP, Pod, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::scenarios::BITE;

const CAPTURE: Duration = Duration::from_secs(30);
/// Services, with the versions that there are of each, and pods of each version.
const SERVICES: [(&str, &[&str], usize); 4] = [
    ("payment-service", &["v1"], 2),
    ("inventory-service", &["v1"], 4),
    ("frontend", &["v1", "v2"], 1),
    ("checkout", &["v1", "v2"], 1),
];

/// The pods, each service with its own.
pub(super) struct Shop<'a> {
    pub(super) sandbox: &'a Sandbox,
    client: Pod,
}

impl<'a> Shop<'a> {
    /// Makes it, captured.
    pub(super) fn open(sandbox: &'a Sandbox) -> Result<Self> {
        let client = Echo::one("client");
        sandbox.apply(&client.objects(sandbox))?;
        for (service, versions, replicas) in SERVICES {
            let mut objects = vec![front(service)];
            for version in versions {
                let name = format!("{service}-{version}");
                let echo = Echo {
                    replicas,
                    ..Echo::one(&name)
                };
                objects.extend(of_version(echo.objects(sandbox), service, version));
            }
            sandbox.apply(&objects)?;
        }
        for (service, versions, replicas) in SERVICES {
            let all = versions.len().saturating_mul(replicas);
            sandbox.ready(&format!("app={service}"), all)?;
        }
        let shop = Self {
            client: sandbox.ready_one(&client.selector())?,
            sandbox,
        };
        sandbox.captured("", CAPTURE)?;
        Ok(shop)
    }

    /// The names of the services.
    pub(super) fn services() -> impl Iterator<Item = &'static str> {
        SERVICES.into_iter().map(|(service, _, _)| service)
    }

    /// What a service's series of Envoy's names are known by.
    pub(super) fn cluster(&self, service: &str) -> String {
        format!(
            "outbound|80||{service}.{}.svc.cluster.local",
            self.sandbox.name
        )
    }

    /// Waits until each service is called by a waypoint.
    pub(super) fn is_served(&self) -> Result<()> {
        let gateway = "gateway.networking.k8s.io/gateway-name";
        for service in Self::services() {
            wait_until(&format!("{service} behind the waypoint"), BITE, || {
                let answer = self
                    .sandbox
                    .curl(self.client.name(), &format!("http://{service}/"));
                let answer = answer.unwrap_or_default();
                let waypoints = self.sandbox.pods(gateway).unwrap_or_default();
                let mut waypoints = waypoints.iter().filter_map(Pod::ip);
                waypoints.any(|ip| answer.trim().ends_with(&format!(" {ip}")))
            })?;
        }
        Ok(())
    }

    /// What nobody has registered is not reached.
    pub(super) fn stays_inside(&self) -> Result<()> {
        self.sandbox
            .refused(self.client.name(), "http://192.0.2.1/")
    }

    /// What the client gets for `PATH?1` to `PATH?N`, one after the other: `STATUS BODY` each.
    pub(super) fn ask(&self, service: &str, path: &str, times: u32) -> Result<Vec<String>> {
        self.curl(service, path, times, &["-s"])
    }

    /// The same, so many at once.
    pub(super) fn ask_at_once(
        &self,
        service: &str,
        path: &str,
        times: u32,
        at_once: u32,
    ) -> Result<Vec<String>> {
        let most = at_once.to_string();
        let args = ["-s", "-Z", "--parallel-immediate", "--parallel-max", &most];
        self.curl(service, path, times, &args)
    }

    fn curl(&self, service: &str, path: &str, times: u32, args: &[&str]) -> Result<Vec<String>> {
        let url = format!("http://{service}/{path}?[1-{times}]");
        let told = ["-m", "30", "-o", "/dev/null", "-w", "%{http_code}\n", &url];
        let program = [&["curl"], args, &told].concat();
        // It ends with an error if one of them is cut off.
        let script = format!("{} || true", quoted(&program));
        let said = self
            .sandbox
            .exec(self.client.name(), &["sh", "-c", &script])?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// How many of so many requests go to the canary of a service, which is to get so many in a
    /// hundred; and how many were asked.
    pub(super) fn canary(&self, service: &str, times: u32, percent: u32) -> Result<(usize, u32)> {
        let url = format!("http://{service}/?[1-{times}]");
        let program = ["curl", "-sS", "-m", "30", &url];
        let said = self.sandbox.exec(self.client.name(), &program)?;
        let of = |version: &str| {
            let name = format!("{service}-{version}-");
            said.lines().filter(|line| line.starts_with(&name)).count()
        };
        let (stable, canary) = (of("v1"), of("v2"));
        ensure!(
            u32::try_from(stable.saturating_add(canary))? == times,
            "{service}: {stable} and {canary} of {times}"
        );
        let share = f64::from(percent) / 100.0;
        let (all, seen) = (f64::from(times), f64::from(u32::try_from(canary)?));
        // Chance goes beyond that once in ten million times.
        let bound = 5.4 * (all * share * (1.0 - share)).sqrt();
        ensure!(
            (seen - all * share).abs() <= bound,
            "{service}: {canary} of {times}, {percent} % asked for"
        );
        Ok((canary, times))
    }
}

/// Words as a shell reads them.
fn quoted(words: &[&str]) -> String {
    let words = words.iter().map(|word| format!("'{word}'"));
    words.collect::<Vec<_>>().join(" ")
}

/// The service before all versions.
fn front(service: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": service },
        "spec": {
            "selector": { "app": service },
            "ports": [{ "name": "http", "port": 80, "targetPort": HTTP }],
        },
    })
}

/// The objects of an echo as those of a version of a service, without a service of its own.
fn of_version(objects: Vec<Value>, service: &str, version: &str) -> Vec<Value> {
    let labels = json!({ "app": service, "version": version });
    let mut kept: Vec<Value> = objects
        .into_iter()
        .filter(|object| object.get("kind").is_some_and(|kind| kind != "Service"))
        .collect();
    for object in &mut kept {
        for place in [
            "/spec/selector/matchLabels",
            "/spec/template/metadata/labels",
        ] {
            if let Some(found) = object.pointer_mut(place) {
                *found = labels.clone();
            }
        }
    }
    kept
}
