//! The kubelet's probes pass under STRICT, of every kind that needs no special server, and tell a
//! dead application from a living one.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, SYSTEM, Sandbox, peer_authentication};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// Ten times a probe's period: none has failed three times in a row.
const STEADY: Duration = Duration::from_secs(10);
const NOTICE: Duration = Duration::from_secs(20);
/// Kinds of probes, and what ends what they ask in a pod.
const KINDS: [(&str, &str); 3] = [
    ("http", "kill $(cat /tmp/nginx.pid)"),
    ("tcp", "kill $(cat /tmp/nginx.pid)"),
    ("exec", "rm /tmp/alive"),
];

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("probes")?;
    shop.apply(&[peer_authentication("STRICT")])?;
    shop.enrol()?;
    for (kind, _) in KINDS {
        let echo = Echo {
            container: probes(kind),
            ..Echo::one(kind)
        };
        shop.apply(&echo.objects(&shop))?;
    }
    shop.ready("", KINDS.len())?;
    shop.captured("", NOTICE)?;
    stays_ready(&shop)?;
    none_refused(cluster, &shop)?;
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

/// All three probes of one kind, once a second.
fn probes(kind: &str) -> Value {
    let mut probe = match kind {
        "http" => json!({ "httpGet": { "path": "/", "port": 8080 } }),
        "tcp" => json!({ "tcpSocket": { "port": 8080 } }),
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
    json!({ "startupProbe": patient, "readinessProbe": probe, "livenessProbe": probe })
}

fn stays_ready(shop: &Sandbox) -> Result<()> {
    let start = std::time::Instant::now();
    while start.elapsed() < STEADY {
        for pod in shop.pods("")? {
            let (name, restarts) = (pod.name(), pod.restarts());
            ensure!(pod.is_ready(), "{name} is no longer ready");
            ensure!(restarts == 0, "{name} was restarted");
        }
    }
    Ok(())
}

/// A probe that passes is not in the logs as a refusal.
fn none_refused(cluster: &Cluster, shop: &Sandbox) -> Result<()> {
    for agent in cluster.kubectl.pods(SYSTEM, "app=ambit-node-agent")? {
        let logs = ["-n", SYSTEM, "logs", agent.name(), "--since=15s"];
        let logs = cluster.kubectl.run(&logs)?;
        let refused =
            |line: &&str| line.contains("connection refused") && line.contains(&shop.name);
        if let Some(line) = logs.lines().find(refused) {
            bail!("{}: {line}", agent.name());
        }
    }
    Ok(())
}
