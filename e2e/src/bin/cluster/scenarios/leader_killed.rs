//! The leading control plane is killed under load: nobody who calls notices, another leads soon and
//! does what a leader does, and a new pod is captured all the same.

use std::time::{Duration, Instant};

use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{Cluster, Echo, PLANES, Pod, SYSTEM};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::BITE;
use super::pair::Pair;

const LOAD: Duration = Duration::from_secs(60);
const PER_SECOND: u32 = 100;
/// How long a lease counts that nobody renews, and a moment to see that and to take it.
const LEASE: Duration = Duration::from_secs(15 + 5);
const READY: Duration = Duration::from_secs(60);
/// Whether a policy was accepted.
const ACCEPTED: &str = "jsonpath={.status.conditions[?(@.type==\"Accepted\")].status}";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("leader")?;
    let pair = Pair::captured(cluster, &shop, BITE)?;
    let (client, pace) = (pair.client.name(), (PER_SECOND, LOAD));
    let mut calls = Traffic::calls(cluster, &shop, client, pair.to()?, pace)?;

    let before = leader(cluster)?;
    let start = Instant::now();
    kill(cluster, &before)?;
    let late = Echo::one("late").on(cluster.node(0)?);
    shop.apply(&late.objects(&shop))?;
    let taken = wait_until("another leader", LEASE, || {
        leader(cluster).is_ok_and(|holder| holder.name() != before.name())
    })?;
    shop.apply(&[policy()])?;
    wait_until("the new leader to judge a policy", BITE, || {
        shop.kubectl
            .run(&[
                "-n",
                &shop.name,
                "get",
                "authorizationpolicy",
                "everybody",
                "-o",
                ACCEPTED,
            ])
            .is_ok_and(|status| status == "True")
    })?;
    let judged = start.elapsed();
    shop.ready_one(&late.selector())?;
    shop.captured("", BITE)?;
    calls
        .goes_on()
        .context("all this took longer than the load")?;
    let report = calls.finish(true, LOAD)?;
    report.flawless()?;
    cluster.kubectl.rolled_out(PLANES, READY)?;
    Ok(format!(
        "another leads after {:.1} s and has judged a policy after {:.1} s; {} connections, none failed",
        taken.as_secs_f32(),
        judged.as_secs_f32(),
        report.tried
    ))
}

/// Lets in everybody.
fn policy() -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "name": "everybody" },
        "spec": { "rules": [{}] },
    })
}

/// The pod that holds the lease.
pub(super) fn leader(cluster: &Cluster) -> Result<Pod> {
    let holder = "jsonpath={.spec.holderIdentity}";
    let get = [
        "-n",
        SYSTEM,
        "get",
        "lease",
        "ambit-control-plane",
        "-o",
        holder,
    ];
    let holder = cluster.kubectl.run(&get)?;
    let planes = cluster.kubectl.pods(SYSTEM, "app=ambit-control-plane")?;
    let is_holder = |pod: &Pod| holder.starts_with(pod.name());
    let found = planes.into_iter().find(is_holder);
    found.with_context(|| format!("{holder:?} is no control plane that is there"))
}

/// Ends it without a chance to give the lease back, and takes its pod away.
pub(super) fn kill(cluster: &Cluster, pod: &Pod) -> Result<()> {
    let script = format!(
        "for at in /proc/[0-9]*; do
           [ \"$(cat $at/comm 2>/dev/null)\" = ambit ] || continue
           [ \"$(cat $at/root/etc/hostname)\" = {} ] && kill -KILL ${{at#/proc/}} && echo killed
         done; true",
        pod.name()
    );
    let said = cluster.on_node(pod.node(), &script)?;
    ensure!(said.contains("killed"), "{} was not found", pod.name());
    let delete = [
        "-n",
        SYSTEM,
        "delete",
        "pod",
        pod.name(),
        "--force",
        "--grace-period=0",
    ];
    cluster.kubectl.run(&delete)?;
    Ok(())
}
