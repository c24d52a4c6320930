//! The kubelet's probes of every kind pass under STRICT, where policy lets nobody in and where it
//! lets in a waypoint only, and tell a dead application from a living one.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Pod, SYSTEM, Sandbox, peer_authentication};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::BITE;

/// Ten times a probe's period: none has failed three times in a row.
const STEADY: Duration = Duration::from_secs(10);
const NOTICE: Duration = Duration::from_secs(20);
/// Kinds of probes, and what ends what they ask in a pod.
const KINDS: [(&str, &str); 4] = [
    ("http", "kill $(cat /tmp/nginx.pid)"),
    ("tcp", "kill $(cat /tmp/nginx.pid)"),
    ("grpc", "kill $(cat /tmp/health.pid)"),
    ("exec", "rm /tmp/alive"),
];
/// Waits for its program, then serves; and stays when that has ended.
const HEALTH: &str = "until [ -x /tmp/health ]; do sleep 0.1; done
/tmp/health [::]:9000 & echo $! > /tmp/health.pid; wait; exec sleep 3600";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("probes")?;
    shop.apply(&[peer_authentication("STRICT")])?;
    shop.enrol()?;
    for (kind, _) in KINDS {
        let echo = Echo {
            container: container(kind),
            ..Echo::one(kind)
        };
        shop.apply(&echo.objects(&shop))?;
    }
    let server = shop.pods_that("a pod for the gRPC server", NOTICE, "app=grpc", |pods| {
        pods.iter().any(Pod::is_running) && pods.len() == 1
    })?;
    shop.bring(server.first().context("no pod")?.name(), "health")?;
    shop.ready("", KINDS.len())?;
    shop.captured("", NOTICE)?;
    stays_ready(cluster, &shop)?;
    let other = shop.ready_one("app=exec")?;
    shop.curl(other.name(), "http://http/")?;
    for spec in [json!({}), waypoint_only()] {
        shop.apply(&[json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": { "name": "who" }, "spec": spec,
        })])?;
        wait_until("the policy to refuse another pod", BITE, || {
            shop.refused(other.name(), "http://http/").is_ok()
        })?;
        stays_ready(cluster, &shop)?;
    }
    for (kind, ending) in KINDS {
        let selector = format!("app={kind}");
        let pods = shop.pods(&selector)?;
        let pod = pods.first().context("no pod")?.name();
        shop.exec(pod, &["sh", "-c", ending])?;
        let what = format!("the {kind} probe to fail");
        shop.pods_that(&what, NOTICE, &selector, |pods| {
            pods.iter().all(|pod| !pod.is_ready() || pod.restarts() > 0)
        })?;
    }
    Ok(format!("{} kinds, living and dead", KINDS.len()))
}

/// Lets in nobody but a waypoint.
fn waypoint_only() -> Value {
    let principal = "cluster.local/ns/e2e-probes/sa/waypoint";
    json!({ "rules": [{ "from": [{ "source": { "principals": [principal] } }] }] })
}

/// With all three probes of one kind, once a second.
fn container(kind: &str) -> Value {
    let mut probe = match kind {
        "http" => json!({ "httpGet": { "path": "/", "port": 8080 } }),
        "tcp" => json!({ "tcpSocket": { "port": 8080 } }),
        "grpc" => json!({ "grpc": { "port": 9000 } }),
        _ => json!({ "exec": { "command": ["test", "-e", "/tmp/alive"] } }),
    };
    if let Some(probe) = probe.as_object_mut() {
        probe.insert("periodSeconds".to_owned(), json!(1));
        probe.insert("timeoutSeconds".to_owned(), json!(2));
        probe.insert("failureThreshold".to_owned(), json!(3));
    }
    let mut patient = probe.clone();
    if let Some(patient) = patient.as_object_mut() {
        patient.insert("failureThreshold".to_owned(), json!(30));
    }
    let mut container =
        json!({ "startupProbe": patient, "readinessProbe": probe, "livenessProbe": probe });
    if let ("grpc", Some(container)) = (kind, container.as_object_mut()) {
        container.insert("command".to_owned(), json!(["sh", "-c", HEALTH]));
    }
    container
}

/// For some time, no probe fails nor is it logged as a refusal.
fn stays_ready(cluster: &Cluster, shop: &Sandbox) -> Result<()> {
    let start = std::time::Instant::now();
    while start.elapsed() < STEADY {
        for pod in shop.pods("")? {
            let (name, restarts) = (pod.name(), pod.restarts());
            ensure!(pod.is_ready(), "{name} is no longer ready");
            ensure!(restarts == 0, "{name} was restarted");
        }
    }
    none_refused(cluster, shop)
}

/// A probe that passes is not in the logs as a refusal.
fn none_refused(cluster: &Cluster, shop: &Sandbox) -> Result<()> {
    for agent in cluster.kubectl.pods(SYSTEM, "app=ambit-node-agent")? {
        let logs = ["-n", SYSTEM, "logs", agent.name(), "--since=15s"];
        let logs = cluster.kubectl.run(&logs)?;
        // Only our own client is a workload.
        let refused = |line: &&str| {
            line.contains("connection refused")
                && line.contains(&shop.name)
                && !line.contains("src.workload")
        };
        if let Some(line) = logs.lines().find(refused) {
            bail!("{}: {line}", agent.name());
        }
    }
    Ok(())
}
