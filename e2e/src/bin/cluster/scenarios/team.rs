//! A team moves its YAML for Istio over unmodified: its rules are accepted and followed, its panels
//! and alerts are answered in calm and in trouble, and its log has one line for each request.

mod panels;
mod shop;
mod told;

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Prometheus, Sandbox};
use ambit_e2e::{team, wait::wait_until};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::panels::Panels;
use self::shop::Shop;
use super::BITE;
use super::said::{BOUND, make_waypoint, said};

/// Until what was made for a Gateway has gone.
const GOES: Duration = Duration::from_secs(60);
/// The kinds of the team's objects.
const KINDS: [&str; 3] = ["destinationrules", "virtualservices", "telemetries"];

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let told = told::upgrade(cluster)?;
    let outcome = moved(cluster);
    drop(told);
    cluster.release.upgrade(&[])?;
    outcome
}

fn moved(cluster: &Cluster) -> Result<String> {
    let image = cluster.prometheus_image()?;
    cluster.install_gateway_api()?;
    let sandbox = cluster.sandbox("team")?;
    sandbox.enrol()?;
    let outside = cluster.sandbox("team-outside")?;
    Prometheus::create_with_rules(&outside, &image)?;
    let shop = Shop::open(&sandbox)?;
    make_waypoint(cluster, &sandbox.name)?;
    for file in [
        team::DESTINATION_RULES,
        team::VIRTUAL_SERVICES,
        team::TELEMETRY,
    ] {
        sandbox.kubectl.apply_text(&sandbox.name, file)?;
    }
    let objects = accepted(&sandbox)?;
    shop.is_served()?;
    shop.stays_inside()?;
    let lines = told::lines(cluster, &shop)?;

    let prometheus = Prometheus::ready(&outside)?;
    let panels = Panels::of(&shop, &prometheus);
    panels.begin()?;
    let (canary, of) = shop.canary("frontend", 1000, 10)?;
    let (twentieth, _) = shop.canary("checkout", 1000, 5)?;
    panels.calm()?;
    let trouble = panels.trouble()?;
    leave(cluster, &sandbox)?;
    Ok(format!(
        "{objects} objects accepted; {canary} and {twentieth} of {of} to the canaries; {lines} lines of the \
         log; {trouble}"
    ))
}

/// Deletes the waypoint, and waits until nothing of it is on the nodes.
fn leave(cluster: &Cluster, sandbox: &Sandbox) -> Result<()> {
    let name = sandbox.name.as_str();
    let bound = format!("{BOUND}-");
    sandbox.kubectl.label_namespace(name, &bound)?;
    said(cluster, &["waypoint", "delete", "-n", name, "waypoint"], 0)?;
    let get = ["-n", name, "get", "service", "waypoint"];
    wait_until("the waypoint's service to go", GOES, || {
        sandbox.kubectl.run(&get).is_err()
    })?;
    Ok(())
}

/// Waits until all objects say that they are followed, without reserve; how many there are.
fn accepted(sandbox: &Sandbox) -> Result<usize> {
    let mut count = 0_usize;
    for kind in KINDS {
        let get = ["-n", sandbox.name.as_str(), "get", kind];
        let mut last = Vec::new();
        let all = wait_until(&format!("{kind} to be accepted"), BITE, || {
            last = sandbox.kubectl.list::<Value>(&get).unwrap_or_default();
            !last.is_empty() && last.iter().all(is_followed)
        });
        all.with_context(|| {
            let statuses = last.iter().map(|object| &object["status"]);
            format!("they say {:?}", statuses.collect::<Vec<_>>())
        })?;
        count = count.saturating_add(last.len());
    }
    ensure!(count >= 8, "only {count} objects");
    Ok(count)
}

/// Whether the status of an object has nothing to object to.
fn is_followed(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    let is_accepted = |condition: &Value| {
        condition["type"] != "Accepted"
            || (condition["status"] == "True" && condition["reason"] == "Accepted")
    };
    let messages = object.pointer("/status/validationMessages");
    let messages = messages.and_then(Value::as_array);
    let has = object.pointer("/status/conditions/0").is_some();
    has && messages.is_none_or(Vec::is_empty)
        && conditions.all(|condition| condition["status"] == "True" && is_accepted(condition))
}
