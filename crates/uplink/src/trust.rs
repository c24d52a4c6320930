//! The trust stream: one task that hears of every trust bundle, and confirms it once its owner says
//! that it is in force: the authority signs with a new root only after that.
//!
//! A control plane of another make does not have this service; then the roots that come with
//! certificates are all there is.

use std::sync::Arc;

use ambit_wire::node::capture_client::CaptureClient;
use ambit_wire::node::{TrustAck, TrustRequest, TrustUpdate};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use tonic::transport::Channel;

use crate::backoff::{Backoff, is_not_served};
use crate::connection::{Access, in_time};

/// What the task tells the role.
#[derive(Debug)]
pub enum Trusted {
    /// A bundle, and whom to tell when it is in force.
    Update(TrustUpdate, oneshot::Sender<()>),
    /// This control plane does not tell of bundles.
    NotServed,
}

/// Keeps a stream open until nobody listens to `events`. `have` is the generation of the bundle that is held.
pub async fn run(
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
        if ended.as_ref().is_err_and(is_not_served)
            && events.send(Trusted::NotServed).await.is_err()
        {
            return;
        }
        tokio::time::sleep(backoff.wait_after("trust", &ended)).await;
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
    let mut updates = in_time(client.trust(request)).await?.into_inner();
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
        in_time(client.trust_held(ack)).await?;
    }
    Ok(())
}
