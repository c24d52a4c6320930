//! How long a pod that runs waits for its capture, from its label to the record.

use std::time::{Duration, Instant};

use ambit_e2e::bench::figures::{Goal, quantile};
use ambit_e2e::cluster::{Cluster, ENROL, Echo};
use ambit_e2e::lab::Program;
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result};

use super::Figure;

const TIMES: usize = 30;
const PATIENCE: Duration = Duration::from_secs(20);
/// A line for each version of the pod: `[label] [record]`.
const VIEW: &str = "jsonpath=[{.metadata.labels.ambit\\.mesh/dataplane-mode}] \
                    [{.metadata.annotations.ambit\\.mesh/redirection}]{\"\\n\"}";

pub(super) fn measure(cluster: &Cluster) -> Result<Vec<Figure>> {
    let shop = cluster.sandbox("bench-capture")?;
    let web = Echo::one("web").on(cluster.node(0)?);
    shop.apply(&web.objects(&shop))?;
    let pod = shop.ready_one(&web.selector())?;
    let watch = [
        "-n",
        &shop.name,
        "get",
        "pod",
        pod.name(),
        "--watch",
        "-o",
        VIEW,
    ];
    let watch = cluster.kubectl.command(&watch);
    let watch = Program::start("bench-capture", watch, cluster.dir())?;
    let is = |wanted: &str| watch.output().lines().last() == Some(wanted);
    let saw = |wanted: &str| {
        wait_until(wanted, PATIENCE, || is(wanted))?;
        anyhow::Ok(Instant::now())
    };
    let label = |label: &str| {
        let args = [
            "-n",
            &shop.name,
            "label",
            "--overwrite",
            "pod",
            pod.name(),
            label,
        ];
        cluster.kubectl.run(&args)
    };
    let key = ENROL.split('=').next().context("no label")?;
    let mut millis = Vec::new();
    for _ in 0..TIMES {
        let seen_before = watch.output().lines().count();
        std::thread::scope(|scope| {
            let labels = scope.spawn(|| label(ENROL));
            wait_until("the label", PATIENCE, || {
                watch.output().lines().count() > seen_before
            })?;
            let start = Instant::now();
            let end = saw("[ambient] [enabled]")?;
            millis.push(end.duration_since(start).as_secs_f64() * 1000.0);
            labels
                .join()
                .map_err(|_panic| anyhow::anyhow!("kubectl's thread panicked"))?
        })?;
        label(&format!("{key}-"))?;
        saw("[] []")?;
    }
    let p50 = quantile(&mut millis, 0.5).context("nothing measured")?;
    let p99 = quantile(&mut millis, 0.99).context("nothing measured")?;
    Ok(vec![
        (
            "capture of a running pod: p50, ms".to_owned(),
            p50,
            Some(Goal::AtMost(200.0)),
        ),
        ("capture of a running pod: p99, ms".to_owned(), p99, None),
    ])
}
