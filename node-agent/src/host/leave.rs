//! The mesh leaves this node: nothing new is captured, what the container runtime knows of us is
//! taken back, every pod is released, and when this process ends it leaves no rule and no file.
//!
//! Task: [`run`], one; it sleeps until the control plane asks. Leaving is for good: only a new
//! process captures again. Open connections live on as after any release, but not for longer than
//! this process: whoever ends it after that calls [`conclude`] and [`sweep`].

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_cni::install::{self, InstallError};
use ambit_cni::keeper::KeepError;
use ambit_wire::node::Left;
use ambit_wire::node::host_to_control::Kind as ToControl;
use futures_util::stream::{self, StreamExt as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::names::PodUid;
use super::pods::PodState;
use super::release::{self, ReleaseError};
use super::state::{Cni, Host};

/// Pods released at a time.
const AT_ONCE: usize = 32;
/// How long until a step that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often folders that are still written to are swept, and the pause between.
const SWEEPS: (usize, Duration) = (20, Duration::from_millis(50));

/// How far the mesh is with leaving this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departure {
    /// Cancelled when it has been asked for.
    pub(crate) asked: CancellationToken,
    /// Cancelled when no pod is captured any more, and none will be.
    pub(crate) done: CancellationToken,
}

/// Why something of the container runtime's configuration is still there.
#[derive(Debug, thiserror::Error)]
enum TakeBackError {
    #[error("the CNI plugin is still in the node's network configuration: {0}")]
    Configuration(#[from] KeepError),
    #[error("the CNI plugin's list of namespaces is still there: {0}")]
    List(#[source] io::Error),
    #[error("the CNI plugin is still installed: {0}")]
    Program(#[from] InstallError),
}

/// The mesh is gone from the node, but for rules that nobody serves any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "rules of the mesh are left on the node, and cut pods off: {}; delete these pods, or start the agent \
     again and let it leave again",
    .0.join("; ")
)]
pub(crate) struct RulesLeft(Vec<String>);

/// Waits until it is asked for, and leaves; `keepers` are told to stop and waited for first.
pub(crate) async fn run(host: Arc<Host>, keeping: CancellationToken, keepers: Vec<JoinHandle<()>>) {
    tokio::select! {
        () = host.departure.asked.cancelled() => {}
        () = host.retired.cancelled() => return,
    }
    tracing::info!("the mesh leaves this node: every pod is released");
    keeping.cancel();
    let leave = async {
        for keeper in keepers {
            drop(keeper.await);
        }
        take_back_for_sure(&host).await;
        while !release_all(&host).await {
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = leave => {}
        () = host.retired.cancelled() => return,
    }
    host.departure.done.cancel();
    host.control.tell(ToControl::Left(Left {}));
    host.note_change();
    tracing::info!(
        "the mesh has left this node; open connections may live on until the agent ends"
    );
}

/// Takes the plugin away, however often that has to be tried: with it, new pods would not start.
async fn take_back_for_sure(host: &Host) {
    let Some(cni) = &host.cni else { return };
    loop {
        let cni = cni.clone();
        match tokio::task::spawn_blocking(move || take_back(&cni)).await {
            Ok(Err(error)) => {
                tracing::error!(%error, "the mesh cannot leave this node yet; tried again");
            }
            Ok(Ok(())) | Err(_) => return,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// First what makes the runtime start the plugin, last the plugin.
fn take_back(cni: &Cni) -> Result<(), TakeBackError> {
    cni.keeper.remove()?;
    match fs::remove_file(&cni.list) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(TakeBackError::List(error));
        }
        _ => {}
    }
    if let Some(bin_dir) = &cni.bin_dir {
        install::uninstall(bin_dir, &[])?;
    }
    Ok(())
}

/// Releases every pod; true when new connections of all of them are direct.
async fn release_all(host: &Arc<Host>) -> bool {
    // What is being captured at this moment is waited for; nothing new begins.
    drop(host.changes.write().await);
    let captured: Vec<PodUid> = {
        let pods = host.pods.lock();
        let captured = pods.iter().filter(|pod| pod.state != PodState::Draining);
        captured.map(|pod| pod.names.uid.clone()).collect()
    };
    let releases = captured.into_iter().map(|uid| async move {
        match release::release(host, &uid).await {
            Ok(_) | Err(ReleaseError::UnknownPod(_)) => true,
            Err(error) => {
                tracing::error!(%error, "not released; tried again");
                false
            }
        }
    });
    let released = stream::iter(releases).buffer_unordered(AT_ONCE);
    // All of them to their ends, whatever becomes of one.
    released.fold(true, async |all, one| all && one).await
}

/// The end of a process that has left, or is about to: lets the last connections end, for a while,
/// and removes every rule. `hurry` ends the wait. What could not be removed is the error.
pub(crate) async fn conclude(
    host: &Arc<Host>,
    hurry: impl Future<Output = ()>,
) -> Result<(), RulesLeft> {
    let done = || host.departure.done.is_cancelled();
    if !host.wait_until(host.limits.withdraw_time, done).await {
        tracing::error!("told to end before every pod was released: rules may be left");
    }
    let none_left = || host.pods.lock().iter().next().is_none();
    tokio::select! {
        _ = host.wait_until(host.limits.stop_time, none_left) => {}
        () = hurry => {}
    }
    let left: Vec<(PodUid, u64)> = {
        let pods = host.pods.lock();
        pods.iter()
            .map(|pod| (pod.names.uid.clone(), pod.epoch))
            .collect()
    };
    let mut failed = Vec::new();
    for (uid, epoch) in left {
        let _turn = host.turn(&uid).await;
        tracing::info!(pod = %uid, "its last connections end with the agent");
        if let Err(error) = release::finish(host, &uid, epoch).await {
            failed.push(error.to_string());
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(RulesLeft(failed)),
    }
}

/// Removes everything in these folders, once nobody uses them any more.
pub(crate) async fn sweep(folders: &[&Path]) -> io::Result<()> {
    let mut result = Ok(());
    for _ in 0..SWEEPS.0 {
        // A child that was killed may still have been writing.
        result = folders.iter().try_for_each(|folder| empty(folder));
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(SWEEPS.1).await;
    }
    result
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
