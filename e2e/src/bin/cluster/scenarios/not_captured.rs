//! A pod that cannot be captured says so, and why: on itself, in an event and in `ambit status`; and it
//! is captured as soon as nothing is in the way.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Pod};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::BITE;

/// Has the port that tunnels come in by.
const IN_THE_WAY: &str = "socat TCP6-LISTEN:15008,fork EXEC:cat & echo $! > /tmp/socat.pid
wait; exec sleep 3600";
const PORT: &str = "15008";
/// What failed is tried again ever more rarely.
const AGAIN: Duration = Duration::from_secs(60);
/// Longer than the first few attempts: what was said stays.
const STEADY: Duration = Duration::from_secs(5);
const SICK: i32 = 1;

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("not-captured")?;
    let echo = Echo {
        container: json!({ "command": ["sh", "-c", IN_THE_WAY], "readinessProbe": null }),
        ..Echo::one("taken")
    };
    shop.apply(&echo.objects(&shop))?;
    let pod = shop.ready_one(&echo.selector())?;
    shop.enrol()?;
    let is_pending = |pods: &[Pod]| pods.iter().all(|pod| pod.redirection() == Some("pending"));
    shop.pods_that("a pending pod", BITE, &echo.selector(), is_pending)?;

    let events = ["-n", &shop.name, "get", "events", "-o"];
    let why = "jsonpath={.items[?(@.reason==\"NotCaptured\")].message}";
    let said = wait_until("an event", BITE, || {
        let said = shop.kubectl.run(&[&events[..], &[why]].concat());
        said.is_ok_and(|said| said.contains(PORT))
    });
    said.context("no event names the port")?;
    let status = cluster.ambit(&["status", "--pods"])?;
    ensure!(
        status.status.code() == Some(SICK) && status.out.contains(pod.name()),
        "the status ended with {} and says: {}",
        status.status,
        status.out
    );
    let start = std::time::Instant::now();
    while start.elapsed() < STEADY {
        ensure!(
            is_pending(&shop.pods(&echo.selector())?),
            "no longer pending"
        );
    }

    shop.exec(pod.name(), &["sh", "-c", "kill $(cat /tmp/socat.pid)"])?;
    let took = shop.captured("", AGAIN)?;
    Ok(format!(
        "captured {:.1} s after nothing was in the way",
        took.as_secs_f32()
    ))
}
