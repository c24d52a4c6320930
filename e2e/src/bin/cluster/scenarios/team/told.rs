//! The team's `meshConfig`: put in force, and its format of the access log read back.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Pod, SYSTEM};
use ambit_e2e::team;
use ambit_e2e::wait::wait_with_pauses;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::shop::Shop;

/// Requests whose lines are looked for.
const REQUESTS: u32 = 40;
/// Until kubelets have brought what changed.
const BROUGHT: Duration = Duration::from_secs(100);
const PAUSE: Duration = Duration::from_millis(500);
/// The keys of the format.
const KEYS: [&str; 10] = [
    "timestamp",
    "method",
    "path",
    "protocol",
    "response_code",
    "response_flags",
    "upstream_service",
    "duration_ms",
    "request_id",
    "upstream_host",
];

/// Upgrades the chart with the file; it is there as long as the answer.
pub(super) fn upgrade(cluster: &Cluster) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::with_suffix(".yaml").context("a file of values")?;
    file.write_all(team::MESH_CONFIG.as_bytes())
        .context("writing values")?;
    let path = file.path().to_string_lossy();
    cluster.release.upgrade(&["-f", &path])?;
    // A kubelet looks after a pod that has changed at once, and else within a minute or more.
    let now = format!("e2e-looked-at={}", std::process::id());
    let pods = ["annotate", "--overwrite", "pods", "-l", PLANES, &now];
    cluster
        .kubectl
        .run(&[&["-n", SYSTEM][..], &pods].concat())?;
    Ok(file)
}

/// Pods of the control plane.
const PLANES: &str = "app.kubernetes.io/name=ambit-control-plane";

/// Waits until the format is in force, and finds one line for each request; how many.
pub(super) fn lines(cluster: &Cluster, shop: &Shop<'_>) -> Result<usize> {
    let service = "payment-service";
    wait_with_pauses(PAUSE, "lines in the team's format", BROUGHT, || {
        shop.ask(service, "first", 1).ok()?;
        let lines = logged(cluster, shop, "/first").ok()?;
        (!lines.is_empty()).then_some(())
    })?;
    let answers = shop.ask(service, "logged", REQUESTS)?;
    ensure!(answers.iter().all(|status| status == "200"), "{answers:?}");
    let mut found = Vec::new();
    wait_with_pauses(PAUSE, "a line for each request", BROUGHT, || {
        found = logged(cluster, shop, "/logged").ok()?;
        (found.len() >= REQUESTS as usize).then_some(())
    })?;
    let paths: BTreeSet<&str> = found
        .iter()
        .filter_map(|line| line["path"].as_str())
        .collect();
    ensure!(
        found.len() == REQUESTS as usize && paths.len() == found.len(),
        "{} lines about {} requests",
        found.len(),
        paths.len()
    );
    let upstream = shop.cluster(service);
    for line in &found {
        let wrong = wrong(line, &upstream);
        ensure!(wrong.is_none(), "{wrong:?} of {line}");
    }
    Ok(found.len())
}

/// The field of a line that is not as it should be.
fn wrong<'a>(line: &Value, upstream: &'a str) -> Option<&'a str> {
    for (key, value) in [
        ("method", "GET"),
        ("protocol", "HTTP/1.1"),
        ("response_flags", "-"),
        ("upstream_service", upstream),
    ] {
        if line[key] != value {
            return Some(key);
        }
    }
    let text = |key: &str| match &line[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text("response_code") != "200" {
        return Some("response_code");
    }
    if text("duration_ms").parse::<u64>().is_err() {
        return Some("duration_ms");
    }
    let is_empty = |key: &&&str| matches!(text(key).as_str(), "" | "-" | "null");
    KEYS.iter()
        .find(is_empty)
        .copied()
        .filter(|key| *key != "response_flags")
}

/// Lines of all waypoints about a path, whose query is left on.
fn logged(cluster: &Cluster, shop: &Shop<'_>, path: &str) -> Result<Vec<Value>> {
    let name = shop.sandbox.name.as_str();
    let waypoints = shop
        .sandbox
        .pods("gateway.networking.k8s.io/gateway-name")?;
    let mut found = Vec::new();
    for pod in waypoints.iter().map(Pod::name) {
        let log = cluster
            .kubectl
            .run(&["-n", name, "logs", "--tail=2000", pod])?;
        let about = format!("\"path\":\"{path}");
        let about_spaced = format!("\"path\": \"{path}");
        for line in log.lines() {
            if !line.contains(&about) && !line.contains(&about_spaced) {
                continue;
            }
            let line: Value =
                serde_json::from_str(line).with_context(|| format!("{line:?} is no JSON"))?;
            // Lines from before are not the team's.
            let keys = line
                .as_object()
                .map(|object| object.keys().map(String::as_str));
            let keys: BTreeSet<&str> = keys.into_iter().flatten().collect();
            if keys == BTreeSet::from(KEYS) {
                found.push(line);
            }
        }
    }
    Ok(found)
}
