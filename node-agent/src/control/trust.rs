//! The trust stream: one task that hears of every trust bundle, and confirms it once every proxy
//! holds it: the authority signs with a new root only after that.
//!
//! A control plane of another make does not have this service; then the roots that come with
//! certificates are all there is.

use std::sync::Arc;
use std::time::Duration;

use ambit_wire::node::capture_client::CaptureClient;
use ambit_wire::node::{TrustAck, TrustRequest, TrustUpdate};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::backoff::Backoff;
use super::connection::Access;

/// How long the control plane may take to answer a call.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How often a control plane without the service is asked again: it may be replaced by ours.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What the task tells the role.
#[derive(Debug)]
pub(crate) enum Trusted {
    /// A bundle, and whom to tell when all proxies hold it.
    Update(TrustUpdate, oneshot::Sender<()>),
    /// This control plane does not tell of bundles.
    NotServed,
}

/// Keeps a stream open until the role ends. `have` is the generation of the bundle that is held.
pub(crate) async fn run(
    access: Arc<Access>,
    channel: Channel,
    mut have: u64,
    events: mpsc::Sender<Trusted>,
) {
    let mut backoff = Backoff::new();
    loop {
        let mut client = CaptureClient::new(channel.clone());
        let ended = follow(&access, &mut client, &mut have, &events, &mut backoff).await;
        if events.is_closed() {
            return;
        }
        let wait = match ended {
            Err(status) if status.code() == Code::Unimplemented => {
                if events.send(Trusted::NotServed).await.is_err() {
                    return;
                }
                ASK_AGAIN
            }
            Err(status) => {
                let message = status.message();
                tracing::debug!(code = %status.code(), message, "no trust stream");
                backoff.next_wait()
            }
            Ok(()) => backoff.next_wait(),
        };
        tokio::time::sleep(wait).await;
    }
}

async fn follow(
    access: &Access,
    client: &mut CaptureClient<Channel>,
    have: &mut u64,
    events: &mpsc::Sender<Trusted>,
    backoff: &mut Backoff,
) -> Result<(), Status> {
    let unusable = |error: super::connection::AccessError| Status::internal(error.to_string());
    let request = access
        .request(TrustRequest {
            have_generation: *have,
        })
        .map_err(unusable)?;
    let opening = tokio::time::timeout(ANSWER_TIME, client.trust(request));
    let mut updates = opening.await.map_err(|_elapsed| too_late())??.into_inner();
    while let Some(update) = updates.message().await? {
        backoff.reset();
        let generation = update.generation;
        let (held, holds) = oneshot::channel();
        if events.send(Trusted::Update(update, held)).await.is_err() {
            return Ok(());
        }
        if holds.await.is_err() {
            continue;
        }
        *have = generation;
        let ack = access.request(TrustAck { generation }).map_err(unusable)?;
        tokio::time::timeout(ANSWER_TIME, client.trust_held(ack))
            .await
            .map_err(|_elapsed| too_late())??;
    }
    Ok(())
}

fn too_late() -> Status {
    Status::deadline_exceeded("the control plane did not answer in time")
}
