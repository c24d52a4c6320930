//! Pods that run already are taken in by a label and let go again; nothing that was open breaks.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::capture::Captured;
use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{Cluster, Echo, HTTP, LINES, Pod};
use anyhow::{Context as _, Result, ensure};

use super::outside::Outside;

const PODS: usize = 40;
const CAPTURE: Duration = Duration::from_secs(5);
const RELEASE: Duration = Duration::from_secs(15);
const HELD: Duration = Duration::from_secs(180);
const HBONE: u16 = 15008;
const TLS13: u16 = 0x0304;
/// In requests that nobody may read.
const SECRET: &str = "card=4111";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let (near, far) = (cluster.node(0)?, cluster.node(1)?);
    let shop = cluster.sandbox("enrolment")?;
    let outside = Outside::new(cluster, "enrolment-outside", near, far)?;
    let web = Echo {
        replicas: PODS,
        ..Echo::one("web")
    };
    let client = Echo::one("client").on(near);
    shop.apply(&web.objects(&shop))?;
    shop.apply(&client.objects(&shop))?;
    let before = shop.ready(&web.selector(), PODS)?;
    let client = shop.ready(&client.selector(), 1)?;
    let client = client.first().context("no client")?.name();
    let remote = before.iter().find(|pod| pod.node() == far);
    let remote = remote.context("no pod on the other node")?;

    let to = SocketAddr::new(address(remote)?, LINES);
    let mut held = Traffic::hold(cluster, &shop, client, to, HELD)?;
    let wire = cluster.tap(near, "enrolment")?;
    shop.curl(client, &url(remote, "clear=before")?)?;
    outside.until(&wire, "last=before")?;

    shop.enrol()?;
    let took = shop.captured("", CAPTURE)?;
    for pod in &before {
        shop.curl(client, &url(pod, SECRET)?)?;
    }
    let seen = outside.until(&wire, "last=enrolled")?;
    nothing_readable(&seen)?;
    held.goes_on().context("open while pods were captured")?;

    shop.release()?;
    let freed = shop.released(RELEASE)?;
    shop.curl(client, &url(remote, "clear=after")?)?;
    let seen = outside.until(&wire, "last=released")?;
    ensure!(
        seen.holding(b"clear=after").next().is_some(),
        "a released pod's traffic is still tunnelled"
    );
    held.goes_on().context("open while pods were released")?;
    held.finish(true, HELD)?.flawless()?;
    same_pods(&before, &shop.pods(&web.selector())?)?;
    Ok(format!(
        "captured in {:.1} s, released in {:.1} s",
        took.as_secs_f32(),
        freed.as_secs_f32()
    ))
}

fn nothing_readable(seen: &Captured) -> Result<()> {
    let readable = seen.holding(SECRET.as_bytes()).count();
    ensure!(
        readable == 0,
        "{readable} packets of new connections can be read"
    );
    let versions = seen.tls_versions(HBONE);
    ensure!(
        !versions.is_empty() && versions.iter().all(|version| *version == TLS13),
        "on port {HBONE}: {versions:x?}"
    );
    Ok(())
}

fn same_pods(before: &[Pod], after: &[Pod]) -> Result<()> {
    let restarts: u32 = after.iter().map(Pod::restarts).sum();
    ensure!(restarts == 0, "containers were restarted {restarts} times");
    let same = |pod: &Pod| after.iter().any(|other| other.uid() == pod.uid());
    ensure!(before.iter().all(same), "pods were replaced");
    Ok(())
}

fn address(pod: &Pod) -> Result<std::net::IpAddr> {
    pod.ip()
        .with_context(|| format!("{} has no address", pod.name()))
}

fn url(pod: &Pod, query: &str) -> Result<String> {
    Ok(format!(
        "http://{}/?{query}",
        SocketAddr::new(address(pod)?, HTTP)
    ))
}
