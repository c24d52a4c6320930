//! No control plane for a minute and a half, while certificates fall due for renewal and pods come
//! and go: those that run serve on, a new one is captured and refuses with a reason, nothing is in
//! the clear; and when control planes are back, all serve, told of what changed only.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{Cluster, Echo, Figures, HTTP, Pod, SYSTEM};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::outside::Outside;
use super::planes::Planes;

/// Renewed at half of it: certificates fall due while nobody can renew them.
const CERTIFICATES: &str = "controlPlane.certificateTtl=150s";
const AWAY: Duration = Duration::from_secs(90);
/// Load before, during and after.
const LOAD: Duration = Duration::from_secs(130);
const PER_SECOND: u32 = 50;
const CHANGE: Duration = Duration::from_secs(60);
/// Services that do not change: far more of them than changes.
const IDLE: usize = 150;
/// Of all that a change and the new control planes' own pods may send to two agents.
const CHANGES: f64 = 100.0;
const SECRET: &str = "control-plane-away-secret";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster.release.upgrade(&["--set", CERTIFICATES])?;
    let outcome = away(cluster);
    cluster.release.upgrade(&[])?;
    outcome
}

fn away(cluster: &Cluster) -> Result<String> {
    let (near, far) = (cluster.node(0)?, cluster.node(1)?);
    let shop = cluster.sandbox("planes-away")?;
    shop.enrol()?;
    shop.apply(&(0..IDLE).map(idle_service).collect::<Vec<_>>())?;
    let echoes = ["client", "caller", "leaving"].map(|name| Echo::one(name).on(near));
    let server = Echo::one("server").on(far);
    for echo in echoes.iter().chain([&server]) {
        shop.apply(&echo.objects(&shop))?;
    }
    let [client, caller, _] =
        ["app=client", "app=caller", "app=leaving"].map(|app| shop.ready_one(app));
    let (client, caller) = (client?, caller?);
    let server = shop.ready_one(&server.selector())?;
    shop.captured("", CHANGE)?;
    let to = SocketAddr::new(address(&server)?, HTTP);
    let url = format!("http://{to}/?{SECRET}");
    shop.curl(client.name(), &url)?;

    let outside = Outside::new(cluster, "planes-away-outside", near, far)?;
    let wire = cluster.tap(near, "control-plane-away")?;
    let calls = Traffic::calls(cluster, &shop, caller.name(), to, (PER_SECOND, LOAD))?;
    let planes = Planes::send_away(cluster)?;
    let start = Instant::now();
    let late = Echo::one("late").on(near);
    shop.apply(&late.objects(&shop))?;
    shop.kubectl.run(&[
        "-n",
        &shop.name,
        "delete",
        "deployment",
        "leaving",
        "--wait=false",
    ])?;
    let late = shop.ready_one(&late.selector())?;
    ensure!(
        late.redirection().is_none(),
        "who recorded that {} is captured?",
        late.name()
    );
    shop.refused(late.name(), &url)?;
    told_why(cluster, &late)?;
    while start.elapsed() < AWAY {
        shop.curl(client.name(), &url)?;
        shop.refused(late.name(), &url)?;
    }

    planes.bring_back()?;
    wait_until("the new pod to be served", CHANGE, || {
        shop.curl(late.name(), &url).is_ok()
    })?;
    let after = shop.captured("", CHANGE)?;
    shop.curl(client.name(), &url)?;
    let report = calls.finish(false, LOAD)?;
    report.flawless()?;
    let sent = Figures::read(cluster, &shop, client.name())?;
    let sent = sent
        .of("ambit_xds_resources_total{type=\"wds\"}")
        .context("nothing was sent")?;
    ensure!(
        sent <= CHANGES,
        "{sent} resources were sent to agents that had nearly all of them"
    );
    let seen = outside.until(&wire, "control-plane-away-in-the-clear")?;
    let readable = seen.holding(SECRET.as_bytes()).count();
    ensure!(readable == 0, "{readable} packets could be read");
    Ok(format!(
        "{} connections, none failed; a new pod served {:.1} s after the return; {sent} resources \
         sent for it all",
        report.tried,
        after.as_secs_f32()
    ))
}

/// The agent's log says that the pod's connections were refused since it is not known yet.
fn told_why(cluster: &Cluster, pod: &Pod) -> Result<()> {
    let agents = cluster.kubectl.pods(SYSTEM, "app=ambit-node-agent")?;
    let agent = agents.iter().find(|agent| agent.node() == pod.node());
    let agent = agent.context("no agent on the node")?;
    let logs = ["-n", SYSTEM, "logs", agent.name(), "--since=20s"];
    let logs = cluster.kubectl.run(&logs)?;
    let mut refusals = logs
        .lines()
        .filter(|line| line.contains("connection refused"));
    let of_pod = pod.ip().context("no address")?.to_string();
    let told = refusals.any(|line| line.contains(&of_pod) && line.contains("not_synced"));
    ensure!(
        told,
        "{} does not say why it refuses {}",
        agent.name(),
        pod.name()
    );
    Ok(())
}

fn idle_service(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": format!("idle-{number}") },
        "spec": { "selector": { "app": "nobody" }, "ports": [{ "port": 80 }] },
    })
}

fn address(pod: &Pod) -> Result<IpAddr> {
    pod.ip()
        .with_context(|| format!("{} has no address", pod.name()))
}
