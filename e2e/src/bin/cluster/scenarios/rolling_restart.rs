//! New agents take over from old ones under steady load, by a restart of the DaemonSet and by
//! `helm upgrade`; connections that were open are counted.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{AGENTS, Cluster, Echo, HTTP, LINES, SYSTEM};
use anyhow::{Context as _, Result, ensure};

const PER_SECOND: u32 = 300;
/// 22,500 connections, some of them before and after the restart.
const SECONDS: Duration = Duration::from_secs(75);
const LEAST: u64 = 20_000;
/// A value that makes other agents of the same image.
const ANOTHER: &str = "nodeAgent.podAnnotations.e2e/upgrade=again";
const CAPTURE: Duration = Duration::from_secs(30);

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("restart")?;
    shop.enrol()?;
    let server = Echo::one("server").on(cluster.node(1)?);
    let (client, holder) = (Echo::one("client"), Echo::one("holder"));
    let (client, holder) = (client.on(cluster.node(0)?), holder.on(cluster.node(0)?));
    for echo in [&server, &client, &holder] {
        shop.apply(&echo.objects(&shop))?;
    }
    let server = shop.ready(&server.selector(), 1)?;
    let client = shop.ready(&client.selector(), 1)?;
    let holder = shop.ready(&holder.selector(), 1)?;
    shop.captured("", CAPTURE)?;

    let ip = server.first().and_then(|pod| pod.ip());
    let ip = ip.context("the server has no address")?;
    let client = client.first().context("no client")?.name();
    let holder = holder.first().context("no holder")?.name();
    let held = Traffic::hold(cluster, &shop, holder, SocketAddr::new(ip, LINES), SECONDS)?;
    let pace = (PER_SECOND, SECONDS);
    let mut calls = Traffic::calls(cluster, &shop, client, SocketAddr::new(ip, HTTP), pace)?;
    cluster
        .kubectl
        .run(&["-n", SYSTEM, "rollout", "restart", AGENTS])?;
    cluster.kubectl.rolled_out(AGENTS, SECONDS)?;
    cluster.release.upgrade(&["--set", ANOTHER])?;
    calls
        .goes_on()
        .context("restart and upgrade took longer than the load")?;
    let report = calls.finish(false, SECONDS)?;
    report.flawless()?;
    ensure!(
        report.tried >= LEAST,
        "only {} connections were made",
        report.tried
    );
    let held = held.finish(true, SECONDS)?;
    Ok(format!(
        "{} connections, none failed, p99 {:.1} ms, worst {:.0} ms; {} of 1 held one cut",
        report.tried, report.p99_ms, report.worst_ms, held.failed
    ))
}
