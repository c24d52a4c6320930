//! A waypoint of two pods is restarted, scaled, taken out of the way and put back, and a server's
//! pods stop, under steady load that nothing retries. `SCENARIO_REQUESTS` asks for more requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{Cluster, Echo, Sandbox};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::said::{BOUND, make_waypoint};

const PER_SECOND: u32 = 500;
/// Requests, some of them before and after all that is done.
const REQUESTS: u32 = 30_000;
const CAPTURE: Duration = Duration::from_secs(30);
const ROLLED: Duration = Duration::from_secs(90);

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster.install_gateway_api()?;
    let shop = cluster.sandbox("waypoint-restart")?;
    shop.enrol()?;
    let server = Echo {
        replicas: 3,
        container: json!({ "lifecycle": { "preStop": { "exec": {
            "command": ["sh", "-c", "sleep 5; nginx -c /tmp/nginx.conf -s quit; sleep 3"],
        } } } }),
        ..Echo::one("server")
    };
    let client = Echo::one("client");
    shop.apply(&with_time_to_stop(server.objects(&shop)))?;
    shop.apply(&client.objects(&shop))?;
    shop.ready(&server.selector(), 3)?;
    let client = shop.ready_one(&client.selector())?;
    shop.captured("", CAPTURE)?;
    let name = shop.name.as_str();
    make_waypoint(cluster, name)?;
    let run = |args: &[&str]| shop.kubectl.run(&[&["-n", name][..], args].concat());
    let ip = run(&["get", "service/server", "-o", "jsonpath={.spec.clusterIP}"])?;
    let to = SocketAddr::new(ip.parse()?, 80);

    let requests = std::env::var("SCENARIO_REQUESTS").ok();
    let requests = requests.and_then(|count| count.parse::<u32>().ok());
    let requests = requests.unwrap_or_default().max(REQUESTS);
    let seconds = Duration::from_secs((requests / PER_SECOND).into());
    let pace = (PER_SECOND, seconds);
    let began = Instant::now();
    let mut calls = Traffic::calls(cluster, &shop, client.name(), to, pace)?;
    run(&["rollout", "restart", "deployment/waypoint"])?;
    rolled_out(&shop, "waypoint")?;
    shop.kubectl.label_namespace(name, &format!("{BOUND}-"))?;
    run(&["rollout", "restart", "deployment/server"])?;
    rolled_out(&shop, "server")?;
    shop.kubectl
        .label_namespace(name, &format!("{BOUND}=waypoint"))?;
    for replicas in ["3", "2"] {
        let annotation = format!("ambit.mesh/waypoint-replicas={replicas}");
        run(&["annotate", "--overwrite", "gateway/waypoint", &annotation])?;
        rolled_out(&shop, "waypoint")?;
    }
    run(&["rollout", "restart", "deployment/server"])?;
    rolled_out(&shop, "server")?;
    calls
        .goes_on()
        .context("all that was done took longer than the load")?;
    let done = began.elapsed();
    let report = calls.finish(false, seconds)?;
    report.flawless()?;
    ensure!(
        report.tried >= requests.into(),
        "only {} requests",
        report.tried
    );
    Ok(format!(
        "{} requests, none failed, p99 {:.1} ms, worst {:.0} ms; all was done after {} s",
        report.tried,
        report.p99_ms,
        report.worst_ms,
        done.as_secs()
    ))
}

fn rolled_out(shop: &Sandbox, deployment: &str) -> Result<()> {
    let wait = ["rollout", "status", "--timeout=80s", "-n", &shop.name];
    let deployment = format!("deployment/{deployment}");
    shop.kubectl
        .run_within(ROLLED, &[&wait[..], &[&deployment]].concat())?;
    Ok(())
}

/// Pods that may take as long to stop as their hooks do.
fn with_time_to_stop(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        let time = "/spec/template/spec/terminationGracePeriodSeconds";
        if let Some(time) = object.pointer_mut(time) {
            *time = json!(30);
        }
    }
    objects
}
