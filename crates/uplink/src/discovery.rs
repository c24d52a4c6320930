//! The discovery stream: one task that subscribes to some types of resources, hands what comes to
//! its owner, and acknowledges it once the owner says that it is in force.
//!
//! The task ends with its owner. Being cancelled at any await is safe: what was not acknowledged is
//! told by its old version on the next stream, and sent again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ambit_wire::delta::{ANNOUNCE_CHUNKS, Client, Received, Rejection, Update};
use ambit_wire::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::backoff::Backoff;
use crate::connection::{Access, AccessError};

/// How long the control plane may take to open the stream.
const OPEN_TIME: Duration = Duration::from_secs(15);
/// Requests in the way to the control plane: an answer per kind under way, and the two first ones.
const REQUESTS: usize = 8;
/// Largest response; a whole first state of a foreign control plane comes in one.
const LARGEST_RESPONSE: usize = 200 << 20;

/// Says whether a resource can be read, and why not.
pub type Check = Box<dyn Fn(&Received) -> Result<(), String> + Send + Sync>;

/// One type of resources that is asked for.
pub struct Subscription<K> {
    /// What the owner calls it.
    pub kind: K,
    /// What is held of it.
    pub client: Client,
    /// How it is read.
    pub check: Check,
}

impl<K: fmt::Debug> fmt::Debug for Subscription<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("kind", &self.kind)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Resources that are asked for by name, beside all that the control plane tells of by itself.
#[derive(Clone, Debug)]
pub struct Want<K> {
    /// Which kind.
    pub kind: K,
    /// These too.
    pub ask: Vec<Arc<str>>,
    /// These no longer.
    pub leave: Vec<Arc<str>>,
}

/// What the task tells its owner.
#[derive(Debug)]
pub enum Discovered<K> {
    /// A stream is open.
    Connected,
    /// It is gone.
    Disconnected,
    /// Resources changed.
    Update(Delivery<K>),
}

/// A change of resources.
#[derive(Debug)]
pub struct Delivery<K> {
    /// Which kind.
    pub kind: K,
    /// What changed.
    pub update: Update,
    /// The rejected ones as they came.
    pub unreadable: Vec<Received>,
    /// Length of the response.
    pub bytes: u64,
    /// To be told when the change is in force.
    pub in_force: oneshot::Sender<()>,
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
pub struct Discovery<K> {
    access: Arc<Access>,
    channel: Channel,
    node: Node,
    subscriptions: Vec<Subscription<K>>,
    wants: mpsc::Receiver<Want<K>>,
    events: mpsc::Sender<Discovered<K>>,
}

/// An answer that waits until what it is about is in force.
struct Answer<K> {
    kind: K,
    nonce: String,
    rejected: Vec<Rejection>,
}

impl<K: Copy + PartialEq + fmt::Debug> Discovery<K> {
    /// Subscribes, in this order, on every stream.
    pub fn new(
        (access, channel): (Arc<Access>, Channel),
        node: Node,
        subscriptions: Vec<Subscription<K>>,
        wants: mpsc::Receiver<Want<K>>,
        events: mpsc::Sender<Discovered<K>>,
    ) -> Self {
        Self {
            access,
            channel,
            node,
            subscriptions,
            wants,
            events,
        }
    }

    /// Keeps a stream open until nobody listens to the events.
    pub async fn run(mut self) {
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

    /// One stream, to its end; `Ok` if nobody listens any more.
    async fn stream(&mut self, backoff: &mut Backoff) -> Result<(), StreamError> {
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        // They fit: the channel is new, and there are few types.
        for subscription in &self.subscriptions {
            let first = subscription.client.connect(self.node.clone());
            requests.try_send(first).ok();
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
                        // An error means that the owner gave up waiting, or ends.
                        in_force.await.ok();
                        answer
                    });
                }
                Some(answer) = answers.next() => {
                    let Some(answer) = self.answer(&answer) else { continue };
                    if requests.send(answer).await.is_err() {
                        return Err(StreamError::Ended);
                    }
                }
                Some(want) = self.wants.recv() => {
                    let Some(request) = self.want(&want) else { continue };
                    if requests.send(request).await.is_err() {
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
    ) -> Option<(Delivery<K>, Answer<K>, oneshot::Receiver<()>)> {
        let bytes = response.encoded_len() as u64;
        let mut of_type = self.subscriptions.iter_mut();
        let Some(subscription) = of_type.find(|s| s.client.type_url() == response.type_url) else {
            tracing::warn!("a response of a type that was not asked for is ignored");
            return None;
        };
        let mut unreadable = Vec::new();
        let check = &subscription.check;
        let update = subscription.client.receive(response, |received| {
            check(received).inspect_err(|_why| unreadable.push(received.clone()))
        });
        for Rejection { name, reason } in &update.rejected {
            tracing::error!(%name, %reason, "a resource is rejected; its last good state stays");
        }
        let kind = subscription.kind;
        let answer = Answer {
            kind,
            nonce: update.nonce.clone(),
            rejected: update.rejected.clone(),
        };
        let (in_force, forced) = oneshot::channel();
        let delivery = Delivery {
            kind,
            update,
            unreadable,
            bytes,
            in_force,
        };
        Some((delivery, answer, forced))
    }

    fn answer(&self, answer: &Answer<K>) -> Option<DeltaDiscoveryRequest> {
        let mut subscriptions = self.subscriptions.iter();
        let subscription = subscriptions.find(|s| s.kind == answer.kind)?;
        Some(subscription.client.answer(&answer.nonce, &answer.rejected))
    }

    fn want(&mut self, want: &Want<K>) -> Option<DeltaDiscoveryRequest> {
        let mut subscriptions = self.subscriptions.iter_mut();
        let subscription = subscriptions.find(|s| s.kind == want.kind)?;
        Some(subscription.client.want(&want.ask, &want.leave))
    }
}

/// Who asks: the node's agent, in the form that Istio's control plane expects of a node proxy.
pub fn node_of(node: &str, address: &str, cluster: &str) -> Node {
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
