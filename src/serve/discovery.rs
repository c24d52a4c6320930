//! The discovery service: one task per stream that feeds the stream's [`Subscription`].
//!
//! Tasks: "discovery stream", one per stream, ended by its client, by a write that takes too long
//! or by the stop token. A stream holds at most two responses, one per type: whatever else changes
//! meanwhile is one name in the subscription, not a queue.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_wire::delta::Outcome;
use ambit_wire::discovery::aggregated_discovery_service_server::AggregatedDiscoveryService;
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::caller::{Caller, WaypointCaller, Who};
use super::gate;
use super::metrics::{Counted, Metrics};
use super::progress::{Place, Progress};
use super::publication::Publication;
use super::scope::Scope;
use super::subscription::{Kind, Subscription};

/// Responses between a stream's task and its connection: one per type.
const RESPONSES: usize = 2;
/// A client that takes no response for this long has gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// What a client receives.
type Responses = mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Discovery {
    /// What is served.
    pub(crate) publications: watch::Receiver<Option<Arc<Publication>>>,
    /// How far the agents have come.
    pub(crate) progress: Progress,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Where the streams' tasks run.
    pub(crate) tasks: Tasks,
    /// Namespaces whose policies hold for the whole mesh.
    pub(crate) root_namespaces: Arc<[Arc<str>]>,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type DeltaAggregatedResourcesStream =
        Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let caller = gate::caller_of(&request)?;
        let place = self.progress.enter(&caller.name).ok_or_else(|| {
            let node = &caller.name;
            Status::resource_exhausted(format!("node {node} has too many streams open"))
        })?;
        let (responses, receiver) = mpsc::channel(RESPONSES);
        let stream = DiscoveryStream {
            place,
            _counted: Counted::one(&self.metrics.agents),
            node: Arc::clone(&caller.name),
            waypoint: match &caller.who {
                Who::Agent => None,
                Who::Waypoint(waypoint) => Some(Arc::clone(waypoint)),
            },
            root_namespaces: Arc::clone(&self.root_namespaces),
            requests: request.into_inner(),
            responses,
            publications: self.publications.clone(),
            metrics: self.metrics.clone(),
            unanswered: None,
        };
        let stop = self.tasks.token();
        self.tasks
            .spawn("discovery stream", stream.run(caller, stop));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One stream.
struct DiscoveryStream {
    node: Arc<str>,
    /// Who it is, if it is no agent.
    waypoint: Option<Arc<WaypointCaller>>,
    root_namespaces: Arc<[Arc<str>]>,
    place: Place,
    _counted: Counted,
    requests: Streaming<DeltaDiscoveryRequest>,
    responses: Responses,
    publications: watch::Receiver<Option<Arc<Publication>>>,
    metrics: Metrics,
    /// The oldest publication that the client has not answered, and when it was made.
    unanswered: Option<(u64, Instant)>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the agent closed it")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(Status),
    #[error("the agent takes no responses")]
    Stuck,
    #[error("its node is not let in any more")]
    Dismissed,
    #[error("the control plane stops")]
    Stopping,
}

/// Waits until then; for ever if there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

impl DiscoveryStream {
    async fn run(mut self, mut caller: Caller, stop: CancellationToken) {
        tracing::info!(node = %self.node, "an agent asks for discovery");
        let end = tokio::select! {
            end = self.serve() => end,
            () = caller.dismissed() => End::Dismissed,
            () = stop.cancelled() => End::Stopping,
        };
        tracing::info!(node = %self.node, "an agent's discovery stream has ended: {end}");
    }

    async fn serve(&mut self) -> End {
        let mut now = match self.first_publication().await {
            Ok(publication) => publication,
            Err(end) => return end,
        };
        let scope = self.waypoint.as_ref().map(|waypoint| {
            let roots = Arc::clone(&self.root_namespaces);
            Scope::new(waypoint.service.clone(), roots, &now.mesh)
        });
        let mut subscription = Subscription::new(&now, scope);
        loop {
            tokio::select! {
                request = self.requests.message() => match request {
                    Ok(Some(request)) => self.take_request(request, &mut subscription, &now),
                    Ok(None) => return End::Closed,
                    Err(status) => return End::Broken(status),
                },
                changed = self.publications.changed() => {
                    if changed.is_err() {
                        return End::Stopping;
                    }
                    if let Some(newer) = self.publications.borrow_and_update().clone() {
                        now = newer;
                        subscription.published(&now, clock::now());
                        self.unanswered.get_or_insert((now.sequence, now.at));
                    }
                }
                () = until(subscription.due()) => {
                    subscription.look_at_scope(&now, clock::now());
                }
                () = self.responses.closed() => return End::Closed,
            }
            while let Some((kind, response)) = subscription.poll(&now) {
                self.count(kind, &response);
                if self
                    .responses
                    .send_timeout(Ok(response), WRITE_PATIENCE)
                    .await
                    .is_err()
                {
                    return End::Stuck;
                }
            }
            self.note_progress(subscription.acknowledged());
        }
    }

    /// Nothing is served before everything was read once.
    async fn first_publication(&mut self) -> Result<Arc<Publication>, End> {
        tokio::select! {
            found = self.publications.wait_for(Option::is_some) => match found {
                Ok(found) => found.clone().ok_or(End::Stopping),
                Err(_gone) => Err(End::Stopping),
            },
            () = self.responses.closed() => Err(End::Closed),
        }
    }

    fn take_request(
        &self,
        request: DeltaDiscoveryRequest,
        subscription: &mut Subscription,
        now: &Publication,
    ) {
        let type_url = request.type_url.clone();
        match subscription.request(request, now) {
            None => {
                tracing::debug!(node = %self.node, type_url, "asked for a type that is not served");
            }
            Some((kind, Outcome::Nacked(message))) => {
                self.metrics.rejected();
                self.place.rejected(&message);
                let what = kind.word();
                tracing::warn!(node = %self.node, "an agent refused a response ({what}): {message}");
            }
            Some((_, Outcome::Subscribed | Outcome::Acked | Outcome::Stale)) => {}
        }
    }

    fn count(&self, kind: Kind, response: &DeltaDiscoveryResponse) {
        let bodies = response
            .resources
            .iter()
            .filter_map(|r| r.resource.as_ref());
        let bytes = bodies.map(|body| body.value.len()).sum();
        let (resources, removals) = (response.resources.len(), response.removed_resources.len());
        self.metrics.pushed(kind, resources, removals, bytes);
    }

    fn note_progress(&mut self, acknowledged: u64) {
        self.place.acknowledged(acknowledged);
        if let Some((sequence, at)) = self.unanswered
            && acknowledged >= sequence
        {
            self.metrics
                .convergence
                .observe(clock::now().duration_since(at).as_secs_f64());
            self.unanswered = None;
        }
    }
}
