//! New pods are captured before their first container runs: a server that takes nothing but tunnels
//! answers an init container and a Job's first request.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Sandbox, peer_authentication};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const PODS: u32 = 4;
const COMPLETE: &str = "--timeout=60s";
const WAIT: Duration = Duration::from_secs(70);

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("first-byte")?;
    shop.enrol()?;
    let server = Echo::one("server").on(cluster.node(1)?);
    shop.apply(&server.objects(&shop))?;
    shop.apply(&[peer_authentication("STRICT")])?;
    shop.ready(&server.selector(), 1)?;
    shop.captured("", WAIT)?;

    shop.apply(&[job(&shop, cluster.node(0)?)])?;
    let done = [
        "-n",
        &shop.name,
        "wait",
        "--for=condition=complete",
        "job/order",
        COMPLETE,
    ];
    cluster.kubectl.run_within(WAIT, &done)?;
    let job: Value = cluster
        .kubectl
        .json(&["-n", &shop.name, "get", "job", "order"])?;
    let failed = job.pointer("/status/failed").and_then(Value::as_u64);
    ensure!(
        failed.unwrap_or_default() == 0,
        "{failed:?} pods of the Job failed first"
    );
    for pod in shop.pods("app=order")? {
        ensure!(pod.restarts() == 0, "{} was restarted", pod.name());
        let name = pod.name();
        let first = ["-n", &shop.name, "logs", name, "-c", "first"];
        let said = cluster.kubectl.run(&first)?;
        let ip = pod.ip().context("a pod of the Job without an address")?;
        ensure!(
            said.contains(&ip.to_string()),
            "the server saw another client than {ip}: {said}"
        );
    }
    Ok(format!("{PODS} pods of a Job, each with an init container"))
}

/// Pods that call once from an init container and once from their own, and never a second time.
fn job(sandbox: &Sandbox, node: &str) -> Value {
    let call = |name: &str| {
        json!({
            "name": name, "image": sandbox.image, "imagePullPolicy": "IfNotPresent",
            "command": ["curl", "-sS", "--fail", "-4", "-m", "10", "http://server/"],
        })
    };
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "order" },
        "spec": {
            "completions": PODS, "parallelism": 2, "backoffLimit": 0,
            "template": {
                "metadata": { "labels": { "app": "order" } },
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": { "kubernetes.io/hostname": node },
                    "initContainers": [call("first")],
                    "containers": [call("second")],
                },
            },
        },
    })
}
