//! What moves the authority: one task per process, and the way of every change into the store.
//!
//! Task: [`Authority::run`], which takes due steps of a rotation if the process leads, and takes
//! over what others wrote; being cancelled loses nothing, as a change that was kept but not seen
//! is seen when it is read again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_kit::clock;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{ATTEMPTS, Authority, RotateError, State, content, read};
use crate::ca::bundle::Bundle;
use crate::ca::kept::Kept;
use crate::ca::replica::{Offer, Replica};
use crate::ca::rotation::Phase;
use crate::ca::signer::Signer;
use crate::ca::steps::{self, Wish};
use crate::ca::store::{KeepError, Revision, StoreError};

/// How often it is looked whether a rotation may go on, beside being woken by agents.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks however often it is woken: every agent answers a new bundle.
const PAUSE: Duration = Duration::from_millis(50);

impl Authority {
    /// Takes the steps of a rotation as they fall due and takes over what others wrote, until
    /// asked to stop.
    pub async fn run(&self, replica: Replica, stop: CancellationToken) {
        let mut changes = self.store.changes();
        loop {
            let mut rest = PAUSE;
            let advanced = tokio::select! {
                advanced = self.advance(&replica, clock::wall()) => advanced,
                () = stop.cancelled() => return,
            };
            if let Err(error) = advanced {
                tracing::error!(%error, "the authority's state stays as it is; it is tried again");
                rest = LOOK;
            }
            let woken = async {
                tokio::time::sleep(rest).await;
                self.wake.notified().await;
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(revision) = changes.next() => self.take_over(revision).await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes the step that is due, if this process leads, and keeps what is to be noted.
    pub(super) async fn advance(
        &self,
        replica: &Replica,
        now: SystemTime,
    ) -> Result<(), RotateError> {
        self.publish()?;
        let leads = *replica.leads.borrow();
        if leads {
            self.step(replica, now).await?;
            let offer = replica.offer.borrow().clone();
            self.grant(&offer, now).await?;
        }
        self.change(|state| {
            let noted = steps::noted(&self.settings, &state.kept, &state.rotation, now);
            let is_gone = leads && state.revision.is_none();
            Ok::<_, RotateError>(noted.or_else(|| is_gone.then(|| state.kept.clone())))
        })
        .await
    }

    async fn step(&self, replica: &Replica, now: SystemTime) -> Result<(), RotateError> {
        match self.state.lock().kept.phase {
            Phase::Steady => return Ok(()),
            // A day perhaps: nobody needs to be asked before it is over.
            Phase::Retiring { until } if now < until => return Ok(()),
            Phase::Distributing { .. } | Phase::Retiring { .. } => {}
        }
        let others = replica.peers.reports().await?;
        self.state.lock().others.clone_from(&others);
        self.change(|state| {
            let (kept, rotation) = (&state.kept, &state.rotation);
            Ok(steps::stepped(&self.settings, kept, rotation, &others, now))
        })
        .await
    }

    async fn grant(&self, offer: &Offer, now: SystemTime) -> Result<(), RotateError> {
        let wish = steps::wished(&self.state.lock().kept, offer, now);
        let next = match wish {
            Wish::Granted => return Ok(()),
            Wish::Replace(signer) | Wish::Rotate(Some(signer)) => signer,
            Wish::Rotate(None) => Arc::new(Signer::make(&self.settings.trust_domain, now)?),
        };
        self.change(|state| {
            let (settings, next) = (&self.settings, Arc::clone(&next));
            Ok(match steps::wished(&state.kept, offer, now) {
                Wish::Granted => None,
                Wish::Replace(_) => Some(steps::replaced(&state.kept, next)),
                Wish::Rotate(_) => {
                    let (kept, rotation) = (&state.kept, &state.rotation);
                    Some(steps::rotated(settings, kept, rotation, next, now))
                }
            })
        })
        .await
    }

    /// Keeps what the step makes of the newest state, and only then lets it be seen.
    pub(super) async fn change<E: From<StoreError>>(
        &self,
        step: impl Fn(&State) -> Result<Option<Kept>, E>,
    ) -> Result<(), E> {
        let _one_at_a_time = self.writing.lock().await;
        let place = self.store.place();
        for _ in 0..ATTEMPTS {
            let (next, over) = {
                let state = self.state.lock();
                match step(&state)? {
                    Some(next) => (next, state.revision.clone()),
                    None => return Ok(()),
                }
            };
            match self.store.keep(content(&place, &next)?, over).await {
                Ok(revision) => {
                    self.adopt(next, Some(revision));
                    return Ok(self.publish()?);
                }
                Err(KeepError::Conflict) => self.read_again().await?,
                Err(KeepError::Failed(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy { place }.into())
    }

    /// Reads what is kept now. Reads and writes take turns, so that nothing older is taken over
    /// after something newer.
    pub(super) async fn reload(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.writing.lock().await;
        self.read_again().await
    }

    async fn read_again(&self) -> Result<(), StoreError> {
        match self.store.load().await? {
            Some(stored) => {
                let kept = read(&self.store.place(), &stored, &self.settings)?;
                self.adopt(kept, Some(stored.revision));
            }
            None => {
                let place = self.store.place();
                tracing::error!(place, "is gone; the leader writes it again");
                self.state.lock().revision = None;
                self.wake.notify_one();
            }
        }
        Ok(())
    }

    /// Takes over what another process may have written.
    async fn take_over(&self, revision: Option<Revision>) {
        if self.state.lock().revision == revision {
            return;
        }
        if let Err(error) = self.reload().await {
            tracing::error!(%error, "the last good state stays");
        }
    }

    /// Makes a state that is kept the one in force.
    fn adopt(&self, kept: Kept, revision: Option<Revision>) {
        let mut state = self.state.lock();
        tell(&state.kept, &kept);
        let is_seen = state.kept.phase != kept.phase
            || state.kept.generation != kept.generation
            || !state.kept.first.is_same(&kept.first)
            || !state.kept.last().is_same(kept.last());
        if state.kept.phase != kept.phase {
            state.rotation.performed(kept.phase.clone());
        }
        state.rotation.know(&kept.agents);
        state.revision = revision;
        let bundle = Arc::new(Bundle::of(&kept));
        state.kept = kept;
        if is_seen {
            self.bundle.send_replace(bundle);
        }
    }
}

/// Tells what changes.
fn tell(before: &Kept, after: &Kept) {
    let (old, new) = (before.signing(), after.signing());
    if before.generation != after.generation {
        let (generation, roots) = (after.generation, after.signers().count());
        tracing::info!(generation, roots, "the trust bundle changes");
    }
    if !old.is_same(new) {
        tracing::info!(
            before = old.serial(),
            now = new.serial(),
            until = clock::rfc3339(new.not_after()),
            "another authority signs from now on"
        );
    }
    if after.generation < before.generation {
        tracing::warn!("an older state was put back; agents are sent it all the same");
    }
}
