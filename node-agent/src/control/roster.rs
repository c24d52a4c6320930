//! The roster stream: one task that hears of this node's pods and of enrolled namespaces, and
//! passes it on to the host role as it comes. This role makes nothing of it.
//!
//! A control plane of another make does not have this service; then pods are enrolled by requests
//! on `agent.sock` only.

use std::sync::Arc;

use ambit_wire::node::capture_client::CaptureClient;
use ambit_wire::node::control_to_host::Kind as ToHost;
use ambit_wire::node::{RosterRequest, RosterUpdate};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::transport::Channel;

use crate::frames::LONGEST_TO_HOST;
use ambit_uplink::{Access, Backoff, in_time};

/// Keeps a stream open until the role ends.
pub(crate) async fn run(access: Arc<Access>, channel: Channel, host: mpsc::Sender<ToHost>) {
    let mut backoff = Backoff::new();
    loop {
        let mut client = CaptureClient::new(channel.clone());
        let ended = follow(&access, &mut client, &host, &mut backoff).await;
        if host.is_closed() {
            return;
        }
        tokio::time::sleep(backoff.wait_after("roster", &ended)).await;
    }
}

async fn follow(
    access: &Access,
    client: &mut CaptureClient<Channel>,
    host: &mpsc::Sender<ToHost>,
    backoff: &mut Backoff,
) -> Result<(), Status> {
    let request = access
        .request(RosterRequest {})
        .map_err(|error| Status::internal(error.to_string()))?;
    let mut updates = in_time(client.roster(request)).await?.into_inner();
    while let Some(update) = updates.message().await? {
        backoff.reset();
        if !fits(&update) {
            return Err(Status::out_of_range(
                "more pods or namespaces than a node can take in",
            ));
        }
        if host.send(ToHost::Roster(update)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn fits(update: &RosterUpdate) -> bool {
    // A message around it adds a few bytes.
    update.encoded_len() + 16 <= LONGEST_TO_HOST
}
