//! What the CNI plugin adds to the start of a pod: a wrapper on the nodes takes the time of each ADD.

use std::time::Duration;

use ambit_e2e::bench::figures::{Goal, quantile};
use ambit_e2e::cluster::{Cluster, Echo};
use anyhow::{Context as _, Result};

use super::Figure;

const ALONE: usize = 15;
const TOGETHER: usize = 40;
const CAPTURE: Duration = Duration::from_secs(60);
const WRAP: &str = r#"
cd /opt/cni/bin
mv ambit-cni ambit-cni.timed
cat > ambit-cni.new <<'END'
#!/bin/sh
start=$(date +%s%N)
/opt/cni/bin/ambit-cni.timed "$@"
code=$?
[ "$CNI_COMMAND" != ADD ] || echo $((($(date +%s%N) - start) / 1000)) >> /run/ambit-cni-times
exit $code
END
chmod 755 ambit-cni.new
mv ambit-cni.new ambit-cni
"#;
const TAKE: &str = "cat /run/ambit-cni-times 2>/dev/null; rm -f /run/ambit-cni-times";
const UNWRAP: &str = "
[ ! -e /opt/cni/bin/ambit-cni.timed ] || mv /opt/cni/bin/ambit-cni.timed /opt/cni/bin/ambit-cni
rm -f /run/ambit-cni-times";

pub(super) fn measure(cluster: &Cluster) -> Result<Vec<Figure>> {
    let _timed = Timed::all(cluster)?;
    let shop = cluster.sandbox("bench-start")?;
    shop.enrol()?;
    let mut alone = Vec::new();
    for number in 0..ALONE {
        let name = format!("alone-{number}");
        let web = Echo::one(&name);
        shop.apply(&web.objects(&shop))?;
        shop.ready_one(&web.selector())?;
        alone.extend(take_times(cluster)?);
    }
    let web = Echo {
        replicas: TOGETHER,
        ..Echo::one("web")
    };
    shop.apply(&web.objects(&shop))?;
    shop.ready(&web.selector(), TOGETHER)?;
    shop.captured("", CAPTURE)?;
    let mut together = take_times(cluster)?;
    let of = |millis: &mut Vec<f64>, q| quantile(millis, q).context("no pod was added");
    let (one, many) = (
        "CNI ADD, pods started one by one",
        format!("CNI ADD, {TOGETHER} pods started at once"),
    );
    Ok(vec![
        (
            format!("{one}: p50, ms"),
            of(&mut alone, 0.5)?,
            Some(Goal::AtMost(100.0)),
        ),
        (format!("{one}: p99, ms"), of(&mut alone, 0.99)?, None),
        (format!("{many}: p50, ms"), of(&mut together, 0.5)?, None),
        (format!("{many}: p99, ms"), of(&mut together, 0.99)?, None),
    ])
}

/// Milliseconds of the calls since the last look.
fn take_times(cluster: &Cluster) -> Result<Vec<f64>> {
    let mut millis = Vec::new();
    for node in &cluster.nodes {
        let said = cluster.on_node(node, TAKE)?;
        let times = said.lines().filter_map(|line| line.parse::<f64>().ok());
        millis.extend(times.map(|micros| micros / 1000.0));
    }
    Ok(millis)
}

/// Nodes whose plugin is timed, until this is dropped.
struct Timed<'a>(&'a Cluster);

impl<'a> Timed<'a> {
    fn all(cluster: &'a Cluster) -> Result<Self> {
        let timed = Self(cluster);
        for node in &cluster.nodes {
            cluster.on_node(node, WRAP)?;
        }
        Ok(timed)
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        for node in &self.0.nodes {
            if let Err(error) = self.0.on_node(node, UNWRAP) {
                eprintln!("the plugin of {node} is still timed: {error:#}");
            }
        }
    }
}
