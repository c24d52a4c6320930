//! The authority as the rest of the control plane sees it: one handle that signs, tells the trust
//! bundle, and turns the root over.
//!
//! What is kept is held in memory under one short lock, so that signing waits for nothing. A
//! change is computed from it, written to the store over the very version that it was computed
//! from, and only then visible: a bundle that an agent has seen survives any crash. Where somebody
//! else was faster, the newer state is read, taken over, and the change computed anew.
//!
//! A leaf may not live longer than what is kept allows, so signing goes on for most of a
//! certificate's life while nothing can be kept.

mod driver;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::{SpiffeId, TrustDomain};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::bundle::{Bundle, Status};
use super::kept::{ContentError, Kept};
use super::leaf::{self, LeafError, ServerCertificate, SignedLeaf};
use super::replica::{Offer, PeersError};
use super::rotation::{Phase, Report, Rotation};
use super::signer::{Signer, SignerError};
use super::steps;
use super::store::{Folder, KeepError, Revision, Store, StoreError, Stored};

/// How often a change is computed anew because somebody else was faster.
const ATTEMPTS: usize = 8;

/// What an operator can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The trust domain that the root stands for.
    pub trust_domain: TrustDomain,
    /// Longest life of a certificate, and what one gets that asks for nothing.
    pub certificate_life: Duration,
    /// How long a rotation waits for agents that are away.
    pub patience: Duration,
}

/// Why the authority could not start.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What signs.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// One is under way.
    #[error("a rotation is under way already; see /ca for what it waits for")]
    UnderWay,
    /// It is not for us to replace.
    #[error("the authority is the user's own: replace its Secret, and the rotation begins")]
    Given,
    /// Its state could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new root could not be made.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The other replicas could not be asked.
    #[error(transparent)]
    Peers(#[from] PeersError),
}

/// This process has not seen a bundle that an agent holds already.
#[derive(Debug, thiserror::Error)]
#[error(
    "this replica serves trust bundle {ours} and cannot read a newer one now, the agent holds {held}; it keeps what it holds"
)]
pub struct Behind {
    /// The bundle that is served here.
    pub ours: u64,
    /// The one that the agent holds.
    pub held: u64,
}

/// The authority.
#[derive(Debug)]
pub struct Authority {
    settings: Settings,
    store: Arc<dyn Store>,
    state: Mutex<State>,
    /// Held by whoever writes to the store.
    writing: tokio::sync::Mutex<()>,
    bundle: watch::Sender<Arc<Bundle>>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    /// Version of it in the store; none if it is gone from there.
    revision: Option<Revision>,
    rotation: Rotation,
    /// Generation of the bundle that the store was told to publish.
    published: u64,
    /// What the other replicas said last.
    others: Vec<Report>,
}

impl Authority {
    /// Loads the authority below a state directory, or makes its first root.
    pub fn open(state: &Path, settings: Settings, now: SystemTime) -> Result<Self, AuthorityError> {
        let folder = Folder::open(state)?;
        let place = folder.place();
        let (kept, revision) = match folder.read()? {
            Some(stored) => (read(&place, &stored, &settings)?, stored.revision),
            None => {
                let kept = steps::first(&settings, &Offer::Unknown, now)?;
                tracing::info!(place, root = kept.first.serial(), "made the first root");
                let revision = folder.write(&content(&place, &kept)?)?;
                (kept, revision)
            }
        };
        let authority = Self::new(settings, Arc::new(folder), kept, revision);
        authority.publish()?;
        Ok(authority)
    }

    /// Loads the authority that several processes share, or makes it; of several that make one at
    /// once, one wins and the others take its.
    pub async fn open_shared(
        store: Arc<dyn Store>,
        settings: Settings,
        offer: &Offer,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let place = store.place();
        for _ in 0..ATTEMPTS {
            if let Some(stored) = store.load().await? {
                let kept = read(&place, &stored, &settings)?;
                return Ok(Self::new(settings, store, kept, stored.revision));
            }
            let kept = steps::first(&settings, offer, now)?;
            match store.keep(content(&place, &kept)?, None).await {
                Ok(revision) => {
                    tracing::info!(place, signer = kept.first.serial(), "made the authority");
                    return Ok(Self::new(settings, store, kept, revision));
                }
                Err(KeepError::Conflict) => {}
                Err(KeepError::Failed(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy { place }.into())
    }

    fn new(settings: Settings, store: Arc<dyn Store>, kept: Kept, revision: Revision) -> Self {
        let (bundle, _) = watch::channel(Arc::new(Bundle::of(&kept)));
        let state = State {
            rotation: Rotation::resumed(kept.phase.clone(), &kept.agents),
            revision: Some(revision),
            published: 0,
            others: Vec::new(),
            kept,
        };
        Self {
            settings,
            store,
            state: Mutex::new(state),
            writing: tokio::sync::Mutex::default(),
            bundle,
            wake: Notify::new(),
        }
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.settings.trust_domain
    }

    /// The trust bundle and its changes.
    pub fn bundle(&self) -> watch::Receiver<Arc<Bundle>> {
        self.bundle.subscribe()
    }

    /// Signs a request for an identity that the caller has authorised. A life of zero asks for
    /// the usual one.
    pub fn sign(
        &self,
        request_pem: &str,
        identity: &SpiffeId,
        life: Duration,
        now: SystemTime,
    ) -> Result<SignedLeaf, LeafError> {
        let (signer, life) = {
            let state = self.state.lock();
            if steps::is_short(&self.settings, &state.kept, now) {
                self.wake.notify_one();
            }
            let life = steps::life(&self.settings, &state.kept, life, now);
            let life = life.ok_or(LeafError::NotKept)?;
            (Arc::clone(state.kept.signing()), life)
        };
        leaf::sign_workload(&signer, request_pem, identity, life, now)
    }

    /// Makes a certificate for the control plane's own port. What is trusted the *longest* signs
    /// it, so that an agent that slept through a rotation can still come and get the new root.
    pub fn server_certificate(
        &self,
        dns_names: &[String],
        now: SystemTime,
    ) -> Result<ServerCertificate, LeafError> {
        let signer = Arc::clone(&self.state.lock().kept.first);
        let life = self.settings.certificate_life;
        leaf::make_server(&signer, dns_names, life, now)
    }

    /// Begins a rotation: a new root joins the bundle, whose generation is returned.
    pub async fn rotate(&self, now: SystemTime) -> Result<u64, RotateError> {
        let next = Arc::new(Signer::make(&self.settings.trust_domain, now)?);
        let begun = self.change(|state| {
            if state.kept.phase != Phase::Steady {
                return Err(RotateError::UnderWay);
            }
            if state.kept.first.is_given() {
                return Err(RotateError::Given);
            }
            let (kept, next) = (&state.kept, Arc::clone(&next));
            let kept = steps::rotated(&self.settings, kept, &state.rotation, next, now);
            Ok(Some(kept))
        });
        begun.await?;
        self.wake.notify_one();
        Ok(self.bundle.borrow().generation)
    }

    /// Notes that an agent is connected, for as long as the answer lives.
    pub fn connected(self: &Arc<Self>, node: &str) -> AgentPresence {
        self.state.lock().rotation.connected(node);
        AgentPresence {
            authority: Arc::clone(self),
            node: node.to_owned(),
        }
    }

    /// Notes that an agent and its proxies hold the bundle of this generation.
    pub fn held(&self, node: &str, generation: u64) {
        self.state.lock().rotation.held(node, generation);
        self.wake.notify_one();
    }

    /// Makes sure that an agent is not sent an older bundle than it holds: another replica may
    /// have been faster.
    pub async fn catch_up(&self, held: u64) -> Result<(), Behind> {
        let ours = self.bundle.borrow().generation;
        if held <= ours || !self.store.is_shared() {
            return Ok(());
        }
        // What is read now is the newest; an agent that holds more has it from another mesh.
        if let Err(error) = self.reload().await {
            tracing::warn!(%error, "this replica is behind");
            return Err(Behind { ours, held });
        }
        Ok(())
    }

    /// What the other replicas have to know.
    pub fn report(&self) -> Report {
        let state = self.state.lock();
        state.rotation.report(state.kept.generation)
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status::of(&state.kept, &state.rotation, &state.others)
    }

    fn publish(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.published != state.kept.generation {
            self.store.publish(&Bundle::of(&state.kept).pem)?;
            state.published = state.kept.generation;
        }
        Ok(())
    }
}

fn read(place: &str, stored: &Stored, settings: &Settings) -> Result<Kept, StoreError> {
    Kept::read(&stored.content, &settings.trust_domain).map_err(|source| bad(place, source))
}

fn content(place: &str, kept: &Kept) -> Result<Vec<u8>, StoreError> {
    kept.written().map_err(|source| bad(place, source))
}

fn bad(place: &str, source: ContentError) -> StoreError {
    let place = place.to_owned();
    StoreError::Content { place, source }
}

/// An agent is connected for as long as this lives.
#[derive(Debug)]
pub struct AgentPresence {
    authority: Arc<Authority>,
    node: String,
}

impl Drop for AgentPresence {
    fn drop(&mut self) {
        self.authority.state.lock().rotation.gone(&self.node);
        self.authority.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
