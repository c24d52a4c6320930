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
use crate::cli::live::{CONTROL_PLANE_ADMIN, CONTROL_PLANES, Live, Wanted};
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
        Ok((0, _)) => {}
        Ok((connections, pods)) => writeln!(
            out,
            "{connections} connections of {pods} pods are older than their capture and go around \
             the mesh until they end; --cut-existing cuts them"
        )?,
        Err(why) => writeln!(err, "connections older than the capture: not known: {why}")?,
    }
    Ok(())
}

/// Cuts those of all captured pods.
pub(super) async fn all(
    live: &Live,
    progress: &Progress,
    out: &mut impl Write,
    err: &mut impl Write,
) -> anyhow::Result<()> {
    let before = of_pods(live, progress).await;
    let now = clock::unix_seconds(clock::wall()).to_string();
    let captured = progress
        .pods
        .iter()
        .filter(|pod| pod.standing == Standing::Captured);
    let asked = captured.map(|pod| ask(live, pod, &now));
    let mut asked = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut pods = 0_usize;
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(()) | Err((_, CallError::Missing)) => pods += 1,
            Err((pod, error)) => writeln!(err, "error: {pod} cannot be asked to cut: {error}")?,
        }
    }
    let left = match &before {
        Ok(_) => until_none(live, progress).await,
        Err(why) => Err(why.clone()),
    };
    match (before, left) {
        (Ok((before, _)), Ok(0)) => writeln!(out, "{before} older connections cut")?,
        (_, Ok(left)) => writeln!(
            err,
            "warning: {left} older connections are still open; see the logs of the agents"
        )?,
        (_, Err(why)) => writeln!(
            out,
            "{pods} pods asked to cut their older connections; how many there were is not known: {why}"
        )?,
    }
    Ok(())
}

async fn ask(live: &Live, pod: &PodStanding, now: &str) -> Result<(), (String, CallError)> {
    let pods: Api<Pod> = Api::namespaced(live.client.clone(), &pod.namespace);
    // The uid makes it fail for another pod of that name.
    let annotations = json!({CUT_EXISTING: now});
    let patch = Patch::Merge(json!({"metadata": {"uid": &*pod.uid, "annotations": annotations}}));
    let patched = call(pods.patch(&pod.name, &PatchParams::default(), &patch)).await;
    match patched {
        Ok(_) => Ok(()),
        Err(CallError::Conflict) => Ok(()),
        Err(error) => Err((format!("{}/{}", pod.namespace, pod.name), error)),
    }
}

/// Waits until none is left; answers how many are.
async fn until_none(live: &Live, progress: &Progress) -> Result<u64, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (left, _) = of_pods(live, progress).await?;
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many connections, and of how many pods.
async fn of_pods(live: &Live, progress: &Progress) -> Result<(u64, usize), String> {
    let all = older_connections(live).await?;
    let ours = progress.pods.iter().filter_map(|pod| all.get(&*pod.uid));
    let some: Vec<u64> = ours.copied().map(u64::from).filter(|n| *n > 0).collect();
    Ok((some.iter().sum(), some.len()))
}

/// Of every captured pod, by its uid.
async fn older_connections(live: &Live) -> Result<BTreeMap<String, u32>, String> {
    let planes = live.pods(CONTROL_PLANES).await;
    let planes = planes.map_err(|error| error.to_string())?;
    let names = planes.iter().filter_map(|pod| pod.metadata.name.clone());
    let wanted = names.map(|pod| Wanted {
        pod,
        port: CONTROL_PLANE_ADMIN,
        path: "/debug/captures",
    });
    let answers = live.pages(wanted.collect()).await;
    let mut pages = Vec::new();
    for (wanted, answer) in answers {
        pages.push(answer.map_err(|error| format!("{}: {error}", wanted.pod))?);
    }
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    standing::older_connections(&pages).ok_or_else(|| "the page has another form".to_owned())
}
