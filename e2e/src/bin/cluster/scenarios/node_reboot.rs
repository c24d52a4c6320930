//! A node loses power and boots: every sandbox is made anew, often with an address that another pod
//! had before. All its pods come back captured, and none says a word in the clear before.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ambit_e2e::cluster::{Cluster, Echo, HTTP, Pod, peer_authentication};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::outside::Outside;

/// Pods of the node beside the server and the talker, to mix up addresses.
const OTHERS: usize = 6;
const CAPTURE: Duration = Duration::from_secs(30);
/// Until all pods of a node that booted are ready again.
const BOOT: Duration = Duration::from_secs(120);
const SECRET: &str = "node-reboot-secret";
/// There once the talker was answered.
const ANSWERED: &str = "/tmp/answered";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let (near, far) = (cluster.node(0)?, cluster.node(1)?);
    let shop = cluster.sandbox("node-reboot")?;
    shop.enrol()?;
    shop.apply(&[peer_authentication("STRICT")])?;
    let (client, server) = (Echo::one("client").on(near), Echo::one("server").on(far));
    let others = Echo {
        replicas: OTHERS,
        ..Echo::one("other").on(far)
    };
    for echo in [&client, &server, &others] {
        shop.apply(&echo.objects(&shop))?;
    }
    let client = shop.ready_one(&client.selector())?;
    let talker = talker(&url(&client)?, far);
    shop.apply(&talker.objects(&shop))?;
    shop.ready_one(&talker.selector())?;
    let first = shop.ready_one(&server.selector())?;
    shop.ready(&others.selector(), OTHERS)?;
    shop.captured("", CAPTURE)?;
    shop.curl(client.name(), &url(&first)?)?;

    let outside = Outside::new(cluster, "node-reboot-outside", near, far)?;
    let wire = cluster.tap(near, "node-reboot")?;
    let start = Instant::now();
    cluster.reboot(far)?;
    let rebooted = shop.pods_that("pods of the node that booted", BOOT, "", |pods| {
        let mut of_node = pods.iter().filter(|pod| pod.node() == far);
        of_node.all(|pod| pod.restarts() > 0 && pod.is_ready() && pod.is_captured())
    })?;
    let took = start.elapsed();

    let again = shop.ready_one(&server.selector())?;
    shop.curl(client.name(), &url(&again)?)
        .context("to a pod of the node that booted")?;
    let talker = shop.ready_one(&talker.selector())?;
    shop.curl(talker.name(), &url(&client)?)
        .context("from a pod of the node that booted")?;
    shop.exec(talker.name(), &["test", "-e", ANSWERED])
        .context("what the pod says from its start on was never answered")?;
    let server = SocketAddr::new(address(&again)?, HTTP);
    outside.refused(&format!("http://{server}/"))?;

    let seen = outside.until(&wire, "node-reboot-in-the-clear")?;
    let readable = seen.holding(SECRET.as_bytes()).count();
    ensure!(readable == 0, "{readable} packets could be read");
    Ok(format!(
        "{} pods are back after {:.0} s",
        rebooted.iter().filter(|pod| pod.node() == far).count(),
        took.as_secs_f32()
    ))
}

/// A pod that calls from its start on, for as long as it runs.
fn talker<'a>(url: &str, node: &'a str) -> Echo<'a> {
    let call = format!("curl -s -m 2 --fail '{url}' && touch {ANSWERED}");
    let talk = format!("while :; do {call}; sleep 0.05; done");
    Echo {
        container: json!({ "command": ["sh", "-c", talk], "readinessProbe": null }),
        ..Echo::one("talker").on(node)
    }
}

fn address(pod: &Pod) -> Result<IpAddr> {
    pod.ip()
        .with_context(|| format!("{} has no address", pod.name()))
}

fn url(pod: &Pod) -> Result<String> {
    let to = SocketAddr::new(address(pod)?, HTTP);
    Ok(format!("http://{to}/?{SECRET}"))
}
