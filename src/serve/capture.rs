//! The capture service: agents report what they captured, and learn the trust bundle.
//!
//! Tasks: "capture stream" and "trust stream", one per call, ended by the client or the stop
//! token; waits for acknowledgements ([`reports`]) live inside the stream's task and end with it.

mod leaving;
mod places;
mod reported;
mod reports;
mod roster;
mod trust;

use std::pin::Pin;
use std::sync::Arc;

use ambit_kit::tasks::Tasks;
use ambit_wire::node::capture_server::Capture;
use ambit_wire::node::{
    CaptureAnswer, CaptureReport, RosterRequest, RosterUpdate, TrustAck, TrustAckAnswer,
    TrustRequest, TrustUpdate,
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::configuration::Handle;
use super::gate;
use super::metrics::Metrics;
use super::progress::Progress;
use crate::ca::Authority;

pub(crate) use self::leaving::Leaving;
pub(crate) use self::places::Places;
pub(crate) use self::reported::Reported;
use self::reports::ReportStream;

/// Answers between a stream's task and its connection: a node's pods released at once.
const ANSWERS: usize = 256;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Captures {
    /// Who knows the pods and publishes.
    pub(crate) configuration: Handle,
    /// How far the agents have come.
    pub(crate) progress: Progress,
    /// Who makes the trust bundle.
    pub(crate) authority: Arc<Authority>,
    /// What connected agents have captured.
    pub(crate) reported: Reported,
    /// How many streams each node has open.
    pub(crate) places: Places,
    /// Whether the mesh leaves its nodes, if it can be asked to.
    pub(crate) leaving: Option<Leaving>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Where the streams' tasks run.
    pub(crate) tasks: Tasks,
}

#[tonic::async_trait]
impl Capture for Captures {
    type ReportStream = Pin<Box<dyn Stream<Item = Result<CaptureAnswer, Status>> + Send>>;
    type RosterStream = Pin<Box<dyn Stream<Item = Result<RosterUpdate, Status>> + Send>>;
    type TrustStream = Pin<Box<dyn Stream<Item = Result<TrustUpdate, Status>> + Send>>;

    async fn report(
        &self,
        request: Request<Streaming<CaptureReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let caller = gate::caller_of(&request)?;
        let node = Arc::clone(caller.node()?);
        let place = self.places.enter("report", &node)?;
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let stream = ReportStream::new(self.clone(), place, node, request.into_inner(), answers);
        let stop = self.tasks.token();
        self.tasks.spawn("capture stream", stream.run(caller, stop));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn trust(
        &self,
        request: Request<TrustRequest>,
    ) -> Result<Response<Self::TrustStream>, Status> {
        let mut caller = gate::caller_of(&request)?;
        let place = self.places.enter("trust", &caller.name)?;
        let held = request.into_inner().have_generation;
        let (updates, receiver) = mpsc::channel(1);
        let stream = trust::stream(
            Arc::clone(&self.authority),
            Arc::clone(&caller.name),
            held,
            updates,
        );
        let stop = self.tasks.token();
        self.tasks.spawn("trust stream", async move {
            let _place = place;
            tokio::select! {
                () = stream => {}
                () = caller.dismissed() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn roster(
        &self,
        request: Request<RosterRequest>,
    ) -> Result<Response<Self::RosterStream>, Status> {
        let mut caller = gate::caller_of(&request)?;
        let node = Arc::clone(caller.node()?);
        let place = self.places.enter("roster", &node)?;
        let roster = self.configuration.roster(&node).await;
        let roster = roster.map_err(|error| Status::unavailable(error.to_string()))?;
        let (updates, receiver) = mpsc::channel(1);
        let stop = self.tasks.token();
        let leaving = self.leaving.clone();
        self.tasks.spawn("roster stream", async move {
            let _place = place;
            tokio::select! {
                () = roster::stream(roster, leaving, updates) => {}
                () = caller.dismissed() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn trust_held(
        &self,
        request: Request<TrustAck>,
    ) -> Result<Response<TrustAckAnswer>, Status> {
        let node = gate::caller_of(&request)?.name;
        let generation = request.into_inner().generation;
        tracing::debug!(%node, generation, "an agent holds a trust bundle");
        self.authority.held(&node, generation);
        Ok(Response::new(TrustAckAnswer::default()))
    }
}
