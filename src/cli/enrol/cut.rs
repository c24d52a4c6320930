//! Connections that are older than the capture of their pods: counted, and cut.
//!
//! The agents count them and tell the control plane that they are connected to; its admin page
//! tells us. Cutting is asked for by an annotation, which an agent follows once, and only if it was
//! written lately: a pod that is released and enrolled again later keeps its connections.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use ambit_kit::clock;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::progress::Progress;
use crate::cli::live::{CONTROL_PLANE_ADMIN, CONTROL_PLANES, Live, pages_of};
use crate::cli::standing::{self, PodStanding, Standing};
use crate::cluster::call::{CallError, call};
use crate::config::translate::CUT_EXISTING;

/// Pods that are written at once.
const AT_ONCE: usize = 16;
/// How long agents may take to cut.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Says how many there are.
pub(super) async fn count(
    live: &Live,
    progress: &Progress,
    out: &mut impl Write,
    err: &mut impl Write,
) -> anyhow::Result<()> {
    match of_pods(live, progress).await {
        Ok(Counted { connections: 0, .. }) => {}
        Ok(Counted {
            connections, pods, ..
        }) => writeln!(
            out,
            "{connections} connections of {pods} pods are older than their capture and go around \
             the mesh until they end; --cut-existing cuts them"
        )?,
        Err(why) => writeln!(err, "connections older than the capture: not known: {why}")?,
    }
    Ok(())
}

/// Cuts those of all captured pods; answers whether it is known that none is left.
pub(super) async fn all(
    live: &Live,
    progress: &Progress,
    out: &mut impl Write,
    err: &mut impl Write,
) -> anyhow::Result<bool> {
    let before = of_pods(live, progress).await;
    let now = clock::unix_seconds(clock::wall()).to_string();
    let (pods, refused) = write(live, progress, Some(&now)).await;
    for (pod, error) in &refused {
        writeln!(err, "error: {pod} cannot be asked to cut: {error}")?;
    }
    let left = match &before {
        Ok(_) => until_none(live, progress).await,
        Err(why) => Err(why.clone()),
    };
    let none_left = matches!(&left, Ok(left) if left.is_none());
    if none_left {
        // It has done what it was for; that of a pod that keeps it is soon too old to count.
        write(live, progress, None).await;
    }
    match (before, left) {
        (Ok(before), Ok(left)) if left.is_none() => {
            writeln!(out, "{} older connections cut", before.connections)?;
        }
        (_, Ok(left)) => writeln!(
            err,
            "warning: {} older connections are still open, and those of {} pods are not known; see \
             the logs of the agents",
            left.connections, left.unknown
        )?,
        (_, Err(why)) => writeln!(
            out,
            "{pods} pods asked to cut their older connections; how many there were is not known: {why}"
        )?,
    }
    Ok(refused.is_empty() && none_left)
}

/// Writes on all captured pods when they are asked to cut, or takes that off; answers how many it was
/// written on, and which could not be.
async fn write(
    live: &Live,
    progress: &Progress,
    when: Option<&str>,
) -> (usize, Vec<(String, CallError)>) {
    let captured = progress
        .pods
        .iter()
        .filter(|pod| pod.standing == Standing::Captured);
    let written = captured.map(|pod| write_on(live, pod, when));
    let mut written = futures_util::stream::iter(written).buffer_unordered(AT_ONCE);
    let (mut pods, mut refused) = (0, Vec::new());
    while let Some(answer) = written.next().await {
        match answer {
            // One that is gone, or was made anew, has no such connections.
            Ok(()) | Err((_, CallError::Missing(_) | CallError::Conflict)) => pods += 1,
            Err(why) => refused.push(why),
        }
    }
    (pods, refused)
}

async fn write_on(
    live: &Live,
    pod: &PodStanding,
    when: Option<&str>,
) -> Result<(), (String, CallError)> {
    let pods: Api<Pod> = Api::namespaced(live.client.clone(), &pod.namespace);
    // The uid makes it fail for another pod of that name.
    let annotations = json!({CUT_EXISTING: when});
    let patch = Patch::Merge(json!({"metadata": {"uid": &*pod.uid, "annotations": annotations}}));
    let patched = call(pods.patch(&pod.name, &PatchParams::default(), &patch)).await;
    patched
        .map(drop)
        .map_err(|error| (format!("{}/{}", pod.namespace, pod.name), error))
}

/// Connections of captured pods that are older.
#[derive(Clone, Copy, Debug)]
struct Counted {
    connections: u64,
    /// Pods that have some.
    pods: usize,
    /// Pods whose agents have not told yet.
    unknown: usize,
}

impl Counted {
    fn is_none(self) -> bool {
        self.connections == 0 && self.unknown == 0
    }
}

/// Waits until none is left; answers how many are.
async fn until_none(live: &Live, progress: &Progress) -> Result<Counted, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = of_pods(live, progress).await?;
        if left.is_none() || Instant::now() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many there are now, as far as agents have told.
async fn of_pods(live: &Live, progress: &Progress) -> Result<Counted, String> {
    let all = older_connections(live).await?;
    let captured = (progress.pods.iter()).filter(|pod| pod.standing == Standing::Captured);
    let ours: Vec<Option<u32>> = captured.map(|pod| all.get(&*pod.uid).copied()).collect();
    let some = || ours.iter().flatten().filter(|count| **count > 0);
    Ok(Counted {
        connections: some().copied().map(u64::from).sum(),
        pods: some().count(),
        unknown: ours.iter().filter(|count| count.is_none()).count(),
    })
}

/// Of every captured pod, by its uid.
async fn older_connections(live: &Live) -> Result<BTreeMap<String, u32>, String> {
    let planes = live.pods(CONTROL_PLANES).await;
    let planes = planes.map_err(|error| error.to_string())?;
    let wanted = pages_of(&planes, CONTROL_PLANE_ADMIN, &["/debug/captures"]);
    let answers = live.pages(wanted).await;
    let mut pages = Vec::new();
    for (wanted, answer) in answers {
        pages.push(answer.map_err(|error| format!("{}: {error}", wanted.pod))?);
    }
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    standing::older_connections(&pages).ok_or_else(|| "the page has another form".to_owned())
}
