//! The control plane among thousands of pods. They exist on the API server only, on nodes that have
//! no kubelet; control planes and agents are real.

use std::thread;
use std::time::Duration;

use ambit_e2e::bench::figures::Goal;
use ambit_e2e::cluster::{Cluster, Echo, Figures, Kubectl, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Figure;

const PODS: u32 = 5_000;
const NODES: u32 = 50;
const SERVICES: u32 = 100;
/// Objects of one call of kubectl, and calls at once.
const AT_ONCE: usize = 250;
const CALLS: usize = 4;
const CALL: Duration = Duration::from_secs(120);
const SPREAD: Duration = Duration::from_secs(60);
/// Pods that turn unready, one after the other.
const CHANGES: u32 = 20;
/// Keeps agents off nodes that have no kubelet to label them.
const REAL_NODES: &str = r"nodeAgent.nodeSelector.kubernetes\.io/os=linux";
const SENT: &str = "ambit_xds_resources_total{type=\"wds\"}";
/// Prints kB resident of each control plane.
const MEMORY: &str = r#"
for at in /proc/[0-9]*; do
  [ "$(cat "$at/comm" 2>/dev/null)" != ambit ] || sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "$at/status"
done
"#;

pub(super) fn measure(cluster: &Cluster) -> Result<Vec<Figure>> {
    cluster.release.upgrade(&["--set", REAL_NODES])?;
    let measured = among_many(cluster);
    let nodes: Vec<String> = (0..NODES).map(node_name).collect();
    let mut delete = vec!["delete", "nodes", "--ignore-not-found", "--wait=false"];
    delete.extend(nodes.iter().map(String::as_str));
    cluster.kubectl.run(&delete)?;
    cluster.release.upgrade(&[])?;
    measured
}

fn among_many(cluster: &Cluster) -> Result<Vec<Figure>> {
    let shop = cluster.sandbox("bench-many")?;
    shop.enrol()?;
    let asker = Echo::one("asker").on(cluster.node(0)?);
    shop.apply(&asker.objects(&shop))?;
    let asker = shop.ready_one(&asker.selector())?;
    let few = memory(cluster)?;
    cluster
        .kubectl
        .apply("default", &(0..NODES).map(node).collect::<Vec<_>>())?;
    shop.apply(&(0..SERVICES).map(service).collect::<Vec<_>>())?;
    let pods: Vec<Value> = (0..PODS).map(|number| pod(&shop, number)).collect();
    in_parts(&shop, &["create", "-f", "-"], &pods)?;
    in_parts(
        &shop,
        &["replace", "--subresource=status", "-f", "-"],
        &pods,
    )?;
    let figures = || Figures::read(cluster, &shop, asker.name());
    let known = || {
        let workloads = figures()
            .ok()
            .and_then(|figures| figures.of("ambit_workloads"));
        // Two replicas, each of which knows all.
        workloads.is_some_and(|workloads| workloads >= f64::from(2 * PODS))
    };
    wait_until("both control planes to know all pods", SPREAD, known)?;
    let many = memory(cluster)?;

    let before = figures()?;
    for number in 0..CHANGES {
        let patch = json!({ "status": status(number, "False") }).to_string();
        let name = pod_name(number);
        let of_status = [
            "-n",
            &shop.name,
            "patch",
            "pod",
            &name,
            "--subresource=status",
        ];
        cluster
            .kubectl
            .run(&[&of_status[..], &["--type=merge", "-p", &patch]].concat())?;
    }
    let sent = || {
        let sent = figures().ok()?.since(&before).of(SENT)?;
        (sent >= f64::from(CHANGES) * 2.0).then_some(())
    };
    wait_until("the changes to be with both agents", SPREAD, || {
        sent().is_some()
    })?;
    let changed = figures()?.since(&before);
    let sent = changed.of(SENT).context("nothing was sent")?;
    let p99 = changed.quantile("pilot_proxy_convergence_time", 0.99);
    let among = format!("{PODS} pods");
    Ok(vec![
        (
            "control plane, a few pods: RSS, MB".to_owned(),
            few / 1024.0,
            None,
        ),
        (
            format!("control plane, {among}: RSS, MB"),
            many / 1024.0,
            Some(Goal::AtMost(256.0)),
        ),
        (
            format!("one change among {among}: resources sent to an agent"),
            sent / f64::from(CHANGES) / 2.0,
            Some(Goal::AtMost(1.5)),
        ),
        (
            format!("one change among {among}: p99 until an agent has it, s (bucket)"),
            p99.context("no change arrived")?,
            Some(Goal::AtMost(1.0)),
        ),
    ])
}

/// The most that a replica holds, in kB.
fn memory(cluster: &Cluster) -> Result<f64> {
    let mut most: Option<f64> = None;
    for node in &cluster.nodes {
        let said = cluster.on_node(node, MEMORY)?;
        let sizes = said.lines().filter_map(|line| line.parse::<f64>().ok());
        most = sizes.chain(most).reduce(f64::max);
    }
    most.context("no control plane runs")
}

/// Hands many objects to kubectl, some calls at a time.
fn in_parts(shop: &Sandbox, verb: &[&str], objects: &[Value]) -> Result<()> {
    let parts: Vec<&[Value]> = objects.chunks(AT_ONCE).collect();
    for together in parts.chunks(CALLS) {
        thread::scope(|scope| {
            let calls: Vec<_> = together
                .iter()
                .map(|part| scope.spawn(|| call(&shop.kubectl, &shop.name, verb, part)))
                .collect();
            for call in calls {
                match call.join() {
                    Ok(done) => done?,
                    Err(_panic) => bail!("a call of kubectl panicked"),
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn call(kubectl: &Kubectl, namespace: &str, verb: &[&str], objects: &[Value]) -> Result<()> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
    let args = [&["-n", namespace], verb].concat();
    kubectl.tell(&args, list.as_bytes(), CALL)
}

fn node_name(number: u32) -> String {
    format!("sim-{number}")
}

fn pod_name(number: u32) -> String {
    format!("sim-{number}")
}

fn node(number: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": node_name(number) },
        "spec": { "taints": [{ "key": "simulated", "effect": "NoSchedule" }] },
    })
}

fn service(number: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": format!("sim-{number}") },
        "spec": { "selector": { "app": format!("sim-{number}") }, "ports": [{ "port": 80 }] },
    })
}

fn pod(shop: &Sandbox, number: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": pod_name(number), "namespace": shop.name,
            "labels": { "app": format!("sim-{}", number % SERVICES) },
            "annotations": { "ambit.mesh/redirection": "enabled" },
        },
        "spec": {
            "nodeName": node_name(number % NODES),
            "tolerations": [{ "operator": "Exists" }],
            "containers": [{ "name": "none", "image": "none" }],
        },
        "status": status(number, "True"),
    })
}

fn status(number: u32, ready: &str) -> Value {
    let address = format!("10.245.{}.{}", number / 250, number % 250 + 1);
    json!({
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
        "conditions": [{ "type": "Ready", "status": ready }],
    })
}
