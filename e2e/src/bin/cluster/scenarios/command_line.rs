//! The program `ambit` against the cluster, with a user's rights and kubeconfig: it enrols, tells,
//! explains, cuts what is older than the capture, and releases; exit codes say how it went.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{Cluster, Echo, LINES};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::BITE;
use super::said::said;

const HELD: Duration = Duration::from_secs(90);
const REFUSED: i32 = 1;
const CUT: &str = "ambit.mesh/cut-existing";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    // `ambit vet` reads the whole cluster: nothing that former scenarios broke may be left in it.
    cluster.clear()?;
    let shop = cluster.sandbox("command-line")?;
    let name = shop.name.as_str();
    let (client, server) = (Echo::one("client"), Echo::one("server"));
    let (client, server) = (client.on(cluster.node(0)?), server.on(cluster.node(1)?));
    shop.apply(&client.objects(&shop))?;
    shop.apply(&server.objects(&shop))?;
    let client = shop.ready_one(&client.selector())?;
    let to = shop.ready_one(&server.selector())?.ip();
    let to = SocketAddr::new(to.context("no address")?, LINES);
    let mut held = Traffic::hold(cluster, &shop, client.name(), to, HELD)?;
    let source = format!("{name}/{}", client.name());
    let destination = format!("server.{name}:80");

    let enrolled = said(cluster, &["enrol", name, "--wait"], 0)?;
    wait_until("older connections in the status", BITE, || {
        older(cluster, name).is_ok_and(|count| count > 0)
    })?;
    held.goes_on().context("open while pods were captured")?;
    said(cluster, &["explain", &source, &destination], 0)?;
    let cut = said(cluster, &["enrol", name, "--cut-existing"], 0)?;
    ensure!(
        cut.contains("older connections cut"),
        "it does not say what it cut: {cut}"
    );
    let held = held.finish(false, HELD)?;
    ensure!(held.failed > 0, "a connection that was to be cut goes on");
    ensure!(older(cluster, name)? == 0, "older connections are left");
    let pods = cluster
        .kubectl
        .run(&["get", "pods", "-n", name, "-o", "yaml"])?;
    ensure!(!pods.contains(CUT), "the wish to cut stays: {pods}");
    shop.curl(client.name(), "http://server/")?;

    shop.apply(&[deny_all()])?;
    wait_until("the policy to be explained", BITE, || {
        said(cluster, &["explain", &source, &destination], REFUSED).is_ok()
    })?;
    for command in [
        &["vet"][..],
        &["version"],
        &["proxy-config", &source],
        &["proxy-config", cluster.node(1)?, "connections"],
    ] {
        said(cluster, command, 0)?;
    }
    let version = said(cluster, &["version"], 0)?;
    ensure!(
        version.lines().any(|line| line.starts_with("agent")),
        "no agent in: {version}"
    );
    said(cluster, &["release", name, "--wait"], 0)?;
    shop.released(BITE)?;
    Ok(format!(
        "{}; {}",
        enrolled.lines().last().unwrap_or_default().trim(),
        cut.lines().last().unwrap_or_default().trim()
    ))
}

/// Connections of a namespace that the status says are older than the capture.
fn older(cluster: &Cluster, namespace: &str) -> Result<u64> {
    let said = cluster.ambit(&["status", "-o", "json"])?;
    let status: Value = serde_json::from_str(&said.out)
        .with_context(|| format!("reading {:?} {:?}", said.out, said.err))?;
    let namespaces = status.pointer("/namespaces").and_then(Value::as_array);
    let mut namespaces = namespaces.context("no namespaces")?.iter();
    let ours = namespaces.find(|one| one.pointer("/name") == Some(&json!(namespace)));
    let count = ours.and_then(|one| one.pointer("/older_connections")?.as_u64());
    count.context("the status does not tell")
}

fn deny_all() -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "name": "nobody" }, "spec": {},
    })
}
