//! What an agent with captured pods uses while nothing happens.

use std::thread;
use std::time::Duration;

use ambit_e2e::bench::figures::Goal;
use ambit_e2e::cluster::{Cluster, Echo};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Figure;

const PODS: u32 = 50;
const CAPTURE: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(15);
const WATCHED: Duration = Duration::from_secs(30);
/// Prints nanoseconds on a processor, and kB resident and proportional.
const USAGE: &str = r#"
for at in /proc/[0-9]*; do
  case $(cat "$at/comm" 2>/dev/null) in
    ambit-node-agen*) cat "$at"/task/*/schedstat "$at/smaps_rollup" ;;
  esac
done | awk 'NF == 3 && $1 ~ /^[0-9]+$/ { ns += $1 } $1 == "Rss:" { rss += $2 } $1 == "Pss:" { pss += $2 }
            END { print ns, rss, pss }'
"#;

pub(super) fn measure(cluster: &Cluster) -> Result<Vec<Figure>> {
    let node = cluster.node(0)?;
    let shop = cluster.sandbox("bench-idle")?;
    shop.enrol()?;
    let quiet = Echo {
        replicas: usize::try_from(PODS)?,
        container: json!({
            "command": ["sleep", "3600"], "readinessProbe": Value::Null,
        }),
        ..Echo::one("quiet").on(node)
    };
    shop.apply(&quiet.objects(&shop))?;
    shop.ready("", usize::try_from(PODS)?)?;
    shop.captured("", CAPTURE)?;
    thread::sleep(SETTLE);
    let before = usage(cluster, node)?;
    thread::sleep(WATCHED);
    let after = usage(cluster, node)?;
    let cpu = (after.0 - before.0) / 1e9 / WATCHED.as_secs_f64() * 1000.0;
    let among = format!("agent with {PODS} idle pods");
    Ok(vec![
        (format!("{among}: mCPU"), cpu, Some(Goal::AtMost(20.0))),
        (
            format!("{among}: RSS, MB"),
            after.1 / 1024.0,
            Some(Goal::AtMost(40.0)),
        ),
        (format!("{among}: PSS, MB"), after.2 / 1024.0, None),
    ])
}

/// Nanoseconds on a processor so far; kB resident, and with what is shared divided.
fn usage(cluster: &Cluster, node: &str) -> Result<(f64, f64, f64)> {
    let said = cluster.on_node(node, USAGE)?;
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    let mut next = || {
        numbers
            .next()
            .context("no agent runs")?
            .context("not a number")
    };
    Ok((next()?, next()?, next()?))
}
