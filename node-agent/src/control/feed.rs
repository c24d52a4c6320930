//! The feed of one proxy generation: one task that writes what the proxy has not been told yet and
//! waits for its answer before it writes more.
//!
//! The task ends when the proxy closes its end or the role ends. One frame of changes is under way
//! at a time; what changes meanwhile waits in the [`Backlog`], as names. A proxy that does not
//! answer holds up nobody but itself.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ambit_model::SpiffeId;
use ambit_wire::node::{Feed, FeedAnswer, Resources, feed, feed_answer};
use arc_swap::ArcSwap;
use prost::Message;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::backlog::{Backlog, Batch};
use super::model::Model;
use crate::frames;

/// Resources in one frame: a proxy applies one within milliseconds.
const FRAME_RESOURCES: usize = 1000;

/// Largest answer of a proxy, which may have been taken over: a few words.
const LARGEST_ANSWER: usize = 64 << 10;
/// Rejections of one answer that are logged.
const LOGGED: usize = 10;
/// Letters of one rejection that are logged.
const MAX_LOGGED: usize = 300;

/// What a feed tells the role.
#[derive(Debug)]
pub(crate) enum Fed {
    /// The proxy has applied every change up to this number.
    Applied(u64),
    /// The proxy needs this certificate.
    Wanted(SpiffeId),
    /// It is gone.
    Closed,
}

/// One proxy's feed.
#[derive(Debug)]
pub(crate) struct FeedTask {
    generation: u64,
    backlog: Backlog,
    models: Arc<ArcSwap<Model>>,
    events: mpsc::Sender<Fed>,
    sequence: u64,
    synced: bool,
}

impl FeedTask {
    /// A feed of which nothing has been told yet.
    pub(crate) fn new(
        generation: u64,
        backlog: Backlog,
        models: Arc<ArcSwap<Model>>,
        events: mpsc::Sender<Fed>,
    ) -> Self {
        Self {
            generation,
            backlog,
            models,
            events,
            sequence: 0,
            synced: false,
        }
    }

    /// Feeds the proxy until it closes its end.
    pub(crate) async fn run(mut self, socket: OwnedFd) {
        match self.feed(socket).await {
            Ok(()) => tracing::info!(generation = self.generation, "a proxy closed its feed"),
            Err(error) => tracing::warn!(generation = self.generation, %error, "a feed broke"),
        }
        self.events.send(Fed::Closed).await.ok();
    }

    async fn feed(&mut self, socket: OwnedFd) -> std::io::Result<()> {
        let stream = UnixStream::from_std(socket.into())?;
        let (from, mut to) = stream.into_split();
        let (answers, mut answered) = mpsc::channel(16);
        // Reading goes on beside writing, in a future of its own: half a frame is never dropped.
        let reading = read_answers(from, answers);
        tokio::pin!(reading);
        loop {
            let writing = self.round(&mut to, &mut answered);
            tokio::select! {
                done = &mut reading => return done,
                done = writing => done?,
            }
        }
    }

    /// One batch: written, and answered if it needs to be.
    async fn round(
        &mut self,
        to: &mut OwnedWriteHalf,
        answered: &mut mpsc::Receiver<FeedAnswer>,
    ) -> std::io::Result<()> {
        loop {
            tokio::select! {
                () = self.backlog.wait() => break,
                Some(answer) = answered.recv() => self.take(answer).await,
            }
        }
        let batch = self.backlog.take(FRAME_RESOURCES, &self.models);
        let (through, caught_up) = (batch.through, batch.is_caught_up());
        let awaited = self.write(to, batch).await?;
        while let Some(sequence) = awaited {
            let Some(answer) = answered.recv().await else {
                return Ok(());
            };
            if matches!(answer.kind, Some(feed_answer::Kind::Applied(s)) if s >= sequence) {
                break;
            }
            self.take(answer).await;
        }
        if caught_up {
            self.events.send(Fed::Applied(through)).await.ok();
        }
        Ok(())
    }

    /// Writes a batch; the sequence number that its answer will have, if it gets one.
    async fn write(
        &mut self,
        to: &mut OwnedWriteHalf,
        batch: Batch,
    ) -> std::io::Result<Option<u64>> {
        let mut frames = Vec::new();
        let needs_answer = batch.needs_answer();
        let mut add = |kind| {
            let frame = Feed { kind: Some(kind) };
            // Encoding into a vector cannot run out of room.
            frame.encode_length_delimited(&mut frames).ok();
        };
        if let Some(bundle) = batch
            .trust
            .as_ref()
            .and_then(|update| update.bundle.clone())
        {
            add(feed::Kind::Trust(bundle));
        }
        for identity in &batch.forget {
            add(feed::Kind::ForgetIdentity(identity.to_string()));
        }
        for certificate in &batch.certificates {
            add(feed::Kind::Certificate((**certificate).clone()));
        }
        if let Some(status) = batch.status {
            add(feed::Kind::Status(status));
        }
        if needs_answer {
            self.sequence += 1;
            let synced = batch.complete && !self.synced;
            self.synced |= synced;
            let sequence = self.sequence;
            add(feed::Kind::Resources(Resources {
                sequence,
                synced,
                ..batch.resources
            }));
        }
        to.write_all(&frames).await?;
        Ok(needs_answer.then_some(self.sequence))
    }

    async fn take(&self, answer: FeedAnswer) {
        match answer.kind {
            Some(feed_answer::Kind::WantIdentity(text)) => match text.parse() {
                Ok(identity) => {
                    self.events.send(Fed::Wanted(identity)).await.ok();
                }
                Err(error) => {
                    tracing::warn!(generation = self.generation, %error, "a proxy wants no identity");
                }
            },
            Some(feed_answer::Kind::Rejected(rejected)) => {
                let errors = rejected.errors.len();
                for error in rejected.errors.iter().take(LOGGED) {
                    let error: String = error.chars().take(MAX_LOGGED).collect();
                    tracing::error!(generation = self.generation, ?error, "a proxy rejects");
                }
                if errors > LOGGED {
                    tracing::error!(generation = self.generation, errors, "a proxy rejects more");
                }
            }
            Some(feed_answer::Kind::Applied(_)) | None => {}
        }
    }
}

async fn read_answers(
    from: OwnedReadHalf,
    answers: mpsc::Sender<FeedAnswer>,
) -> std::io::Result<()> {
    let mut from = BufReader::with_capacity(4096, from);
    while let Some(answer) = frames::read_up_to(&mut from, LARGEST_ANSWER).await? {
        if answers.send(answer).await.is_err() {
            break;
        }
    }
    Ok(())
}
