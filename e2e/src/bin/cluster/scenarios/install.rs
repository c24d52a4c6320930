//! The chart is sound, for helm and for the API server, and the mesh is there: two control planes, an
//! agent on every node, and no second mesh beside it.

use std::time::Instant;

use ambit_e2e::cluster::{Cluster, Pod, SYSTEM};
use anyhow::{Result, ensure};

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster.release.check()?;
    let start = Instant::now();
    cluster.release.install()?;
    let took = start.elapsed();
    let kubectl = &cluster.kubectl;
    let planes = kubectl.pods(SYSTEM, "app=ambit-control-plane")?;
    let agents = kubectl.pods(SYSTEM, "app=ambit-node-agent")?;
    let ready = |pods: &[Pod]| pods.iter().filter(|pod| pod.is_ready()).count();
    ensure!(
        ready(&planes) >= 2,
        "{} control planes are ready",
        ready(&planes)
    );
    ensure!(
        ready(&agents) == cluster.nodes.len(),
        "{} agents are ready on {} nodes",
        ready(&agents),
        cluster.nodes.len()
    );
    let restarted: u32 = planes.iter().chain(&agents).map(Pod::restarts).sum();
    ensure!(
        restarted == 0,
        "pods of the mesh were restarted {restarted} times"
    );

    let twice = cluster.release.install_as("second", "default", &[])?;
    ensure!(!twice.status.success(), "a second mesh was installed");
    ensure!(
        twice.err.contains("installed already") && twice.err.contains(SYSTEM),
        "a second install does not say where the first one is: {}",
        twice.err
    );
    agents_have_no_rights(cluster)?;
    let offered = kubectl.offer_over(SYSTEM, &cluster.release.rendered(None)?)?;
    ensure!(
        offered.status.success() && !offered.err.contains("Warning"),
        "the API server would not take the chart as it is: {}",
        offered.err
    );
    Ok(format!("ready after {:.1} s", took.as_secs_f32()))
}

/// What the agent may ask the API server, beyond what everyone may.
fn agents_have_no_rights(cluster: &Cluster) -> Result<()> {
    let agent = format!("--as=system:serviceaccount:{SYSTEM}:ambit-node-agent");
    for (verb, what) in [
        ("list", "pods"),
        ("get", "secrets"),
        ("patch", "pods/status"),
        ("create", "tokenreviews"),
        ("get", "configmaps"),
    ] {
        let args = ["auth", "can-i", verb, what, &agent, "-n", SYSTEM];
        let said = cluster.kubectl.say(&args)?;
        ensure!(said.out.trim() == "no", "the agent may {verb} {what}");
    }
    Ok(())
}
