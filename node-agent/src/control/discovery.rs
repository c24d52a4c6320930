//! The discovery stream: one task that subscribes to both kinds of resources, hands what comes to
//! the role, and acknowledges it once it is in force at the proxies.
//!
//! The task ends with the role. Being cancelled at any await is safe: what was not acknowledged is
//! told by its old version on the next stream, and sent again.

use std::sync::Arc;
use std::time::Duration;

use ambit_wire::decode;
use ambit_wire::delta::{
    ADDRESS_TYPE, ANNOUNCE_CHUNKS, AUTHORIZATION_TYPE, Client, Received, Rejection, Update,
};
use ambit_wire::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::backoff::Backoff;
use super::connection::{Access, AccessError};
use super::model::{Kind, Model};

/// How long the control plane may take to open the stream.
const OPEN_TIME: Duration = Duration::from_secs(15);
/// Requests in the way to the control plane: an answer per kind under way, and the two first ones.
const REQUESTS: usize = 8;
/// Largest response; a whole first state of a foreign control plane comes in one.
const LARGEST_RESPONSE: usize = 200 << 20;

/// What the task tells the role.
#[derive(Debug)]
pub(crate) enum Discovered {
    /// A stream is open.
    Connected,
    /// It is gone.
    Disconnected,
    /// Resources changed.
    Update(Delivery),
}

/// A change of resources.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Which kind.
    pub(crate) kind: Kind,
    /// What changed.
    pub(crate) update: Update,
    /// Policies among the rejected: with no good one of that name they have to deny.
    pub(crate) unreadable: Vec<Received>,
    /// Length of the response.
    pub(crate) bytes: u64,
    /// To be told when the change is in force.
    pub(crate) in_force: oneshot::Sender<()>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the control plane did not open the discovery stream within {OPEN_TIME:?}")]
    OpenTimeout,
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    #[error("the control plane ended the stream")]
    Ended,
}

impl From<tonic::Status> for StreamError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// The subscriptions and what they need.
#[derive(Debug)]
pub(crate) struct Discovery {
    access: Arc<Access>,
    channel: Channel,
    node: Node,
    trust_domain: Arc<str>,
    addresses: Client,
    policies: Client,
    events: mpsc::Sender<Discovered>,
}

/// An answer that waits until what it is about is in force.
struct Answer {
    kind: Kind,
    nonce: String,
    rejected: Vec<Rejection>,
}

impl Discovery {
    /// Subscriptions that hold what `kept` holds.
    pub(crate) fn new(
        (access, channel): (Arc<Access>, Channel),
        node: Node,
        kept: &Model,
        trust_domain: Arc<str>,
        events: mpsc::Sender<Discovered>,
    ) -> Self {
        let client = |kind, type_url: &str| {
            let mut client = Client::new(type_url);
            for (name, held) in kept.of(kind) {
                client.restore(Arc::clone(name), Arc::clone(&held.version));
            }
            client
        };
        Self {
            addresses: client(Kind::Address, ADDRESS_TYPE),
            policies: client(Kind::Policy, AUTHORIZATION_TYPE),
            access,
            channel,
            node,
            trust_domain,
            events,
        }
    }

    /// Keeps a stream open until the role ends.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.stream(&mut backoff).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if self.events.send(Discovered::Disconnected).await.is_err() {
                return;
            }
            let wait = backoff.next_wait();
            tracing::warn!(%error, ?wait, "no discovery stream; what is known stays in force");
            tokio::time::sleep(wait).await;
        }
    }

    /// One stream, to its end; `Ok` if the role has ended.
    async fn stream(&mut self, backoff: &mut Backoff) -> Result<(), StreamError> {
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        // Both fit: the channel is new.
        for client in [&self.policies, &self.addresses] {
            requests.try_send(client.connect(self.node.clone())).ok();
        }
        let call = self.access.request(ReceiverStream::new(outgoing))?;
        let mut service = AggregatedDiscoveryServiceClient::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_RESPONSE);
        let mut responses =
            tokio::time::timeout(OPEN_TIME, service.delta_aggregated_resources(call))
                .await
                .map_err(|_elapsed| StreamError::OpenTimeout)??
                .into_inner();
        if self.events.send(Discovered::Connected).await.is_err() {
            return Ok(());
        }
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                response = responses.message() => {
                    let response = response?.ok_or(StreamError::Ended)?;
                    backoff.reset();
                    let Some((delivery, answer, in_force)) = self.take(response) else { continue };
                    if self.events.send(Discovered::Update(delivery)).await.is_err() {
                        return Ok(());
                    }
                    answers.push(async move {
                        // An error means that the role gave up waiting, or ends.
                        in_force.await.ok();
                        answer
                    });
                }
                Some(answer) = answers.next() => {
                    if requests.send(self.answer(&answer)).await.is_err() {
                        return Err(StreamError::Ended);
                    }
                }
            }
        }
    }

    /// Checks a response; `None` if it is of a type nobody asked for.
    fn take(
        &mut self,
        response: DeltaDiscoveryResponse,
    ) -> Option<(Delivery, Answer, oneshot::Receiver<()>)> {
        let bytes = response.encoded_len() as u64;
        let mut unreadable = Vec::new();
        let trust_domain = &self.trust_domain;
        let (kind, update) = if response.type_url == ADDRESS_TYPE {
            let readable = |received: &Received| {
                let read = decode::address_from_bytes(&received.body, trust_domain);
                read.map(drop).map_err(|error| error.to_string())
            };
            (Kind::Address, self.addresses.receive(response, readable))
        } else if response.type_url == AUTHORIZATION_TYPE {
            let readable = |received: &Received| {
                decode::policy_from_bytes(&received.body)
                    .map(drop)
                    .map_err(|error| {
                        unreadable.push(received.clone());
                        error.to_string()
                    })
            };
            (Kind::Policy, self.policies.receive(response, readable))
        } else {
            tracing::warn!("a response of a type that was not asked for is ignored");
            return None;
        };
        for Rejection { name, reason } in &update.rejected {
            tracing::error!(%name, %reason, "a resource is rejected; its last good state stays");
        }
        let answer = Answer {
            kind,
            nonce: update.nonce.clone(),
            rejected: update.rejected.clone(),
        };
        let (in_force, forced) = oneshot::channel();
        Some((
            Delivery {
                kind,
                update,
                unreadable,
                bytes,
                in_force,
            },
            answer,
            forced,
        ))
    }

    fn answer(&self, answer: &Answer) -> DeltaDiscoveryRequest {
        let client = match answer.kind {
            Kind::Address => &self.addresses,
            Kind::Policy => &self.policies,
        };
        client.answer(&answer.nonce, &answer.rejected)
    }
}

/// Who asks: the node's agent, in the form that Istio's control plane expects of a node proxy.
pub(crate) fn node_of(node: &str, address: &str, cluster: &str) -> Node {
    const NAMESPACE: &str = "ambit-system";
    let text = |value: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(value.to_owned())),
    };
    let yes = prost_types::Value {
        kind: Some(prost_types::value::Kind::BoolValue(true)),
    };
    let fields = [
        ("NAME".to_owned(), text(node)),
        ("NAMESPACE".to_owned(), text(NAMESPACE)),
        ("NODE_NAME".to_owned(), text(node)),
        ("INSTANCE_IPS".to_owned(), text(address)),
        ("CLUSTER_ID".to_owned(), text(cluster)),
        (ANNOUNCE_CHUNKS.to_owned(), yes),
    ];
    Node {
        id: format!("ztunnel~{address}~{node}.{NAMESPACE}~{NAMESPACE}.svc.cluster.local"),
        cluster: cluster.to_owned(),
        metadata: Some(prost_types::Struct {
            fields: fields.into(),
        }),
    }
}
