//! The authority as the rest of the control plane sees it: one handle that signs, tells the trust
//! bundle, and turns the root over.
//!
//! Everything that changes is under one short lock, and a change is written to disk before it is
//! visible: a bundle that an agent has seen survives any crash. Task: [`Authority::run`], one,
//! which takes due steps of a rotation; being cancelled between steps loses nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_kit::clock;
use ambit_model::{SpiffeId, TrustDomain};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::bundle::{Bundle, Status};
use super::leaf::{self, LeafError, ServerCertificate, SignedLeaf};
use super::root::{Root, RootError};
use super::rotation::{Phase, Rotation, Step};
use super::store::{Kept, Store, StoreError};

/// How often a rotation looks whether it may go on, beside being woken by agents.
const LOOK: Duration = Duration::from_secs(1);

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
    /// Its root.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// Why a rotation did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// One is under way.
    #[error("a rotation is under way already; see /ca for what it waits for")]
    UnderWay,
    /// Its state could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new root could not be made.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// The authority.
#[derive(Debug)]
pub struct Authority {
    settings: Settings,
    store: Store,
    state: Mutex<State>,
    bundle: watch::Sender<Arc<Bundle>>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    rotation: Rotation,
    /// End of the life of the last leaf of the root that signs, as far as known.
    last_leaf: SystemTime,
    /// Generation of the bundle in `root.pem`.
    published: u64,
}

impl Authority {
    /// Loads the authority below a state directory, or makes its first root.
    pub fn open(state: &Path, settings: Settings, now: SystemTime) -> Result<Self, AuthorityError> {
        let store = Store::open(state)?;
        let kept = match store.load(&settings.trust_domain)? {
            Some(kept) => kept,
            None => {
                let first = Arc::new(Root::make(&settings.trust_domain, now)?);
                tracing::info!(root = first.serial(), "made the first root of the mesh");
                let kept = Kept {
                    generation: 1,
                    phase: Phase::Steady,
                    leaves_until: now,
                    agents: BTreeSet::new(),
                    first,
                    next: None,
                };
                store.keep(&kept)?;
                kept
            }
        };
        let bundle = kept.bundle();
        store.publish(&bundle.pem)?;
        let state = State {
            rotation: Rotation::resumed(kept.phase.clone(), &kept.agents),
            last_leaf: kept.leaves_until,
            published: kept.generation,
            kept,
        };
        let (bundle, _) = watch::channel(Arc::new(bundle));
        Ok(Self {
            settings,
            store,
            state: Mutex::new(state),
            bundle,
            wake: Notify::new(),
        })
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
        let longest = self.settings.certificate_life;
        let life = if life.is_zero() {
            longest
        } else {
            life.min(longest)
        };
        let root = Arc::clone(self.state.lock().kept.signing());
        let leaf = leaf::sign_workload(&root, request_pem, identity, life, now)?;
        self.note_leaf(&root, leaf.not_after);
        Ok(leaf)
    }

    /// Makes a certificate for the control plane's own port. The *oldest* trusted root signs it,
    /// so that an agent that slept through a rotation can still come and get the new one.
    pub fn server_certificate(
        &self,
        dns_names: &[String],
        now: SystemTime,
    ) -> Result<ServerCertificate, LeafError> {
        let root = Arc::clone(&self.state.lock().kept.first);
        let life = self.settings.certificate_life;
        leaf::make_server(&root, dns_names, life, now)
    }

    /// Begins a rotation: a new root joins the bundle, whose generation is returned.
    pub fn rotate(&self, now: SystemTime) -> Result<u64, RotateError> {
        let mut state = self.state.lock();
        let generation = state.kept.generation + 1;
        let phase = state
            .rotation
            .requested(generation, now, self.settings.patience);
        let phase = phase.ok_or(RotateError::UnderWay)?;
        let next = Arc::new(Root::make(&self.settings.trust_domain, now)?);
        tracing::info!(
            root = next.serial(),
            generation,
            "a new root joins the trust bundle"
        );
        let kept = Kept {
            generation,
            phase,
            next: Some(next),
            ..state.kept.clone()
        };
        self.change(&mut state, kept)?;
        drop(state);
        self.wake.notify_one();
        Ok(generation)
    }

    /// Notes that an agent is connected, for as long as the answer lives.
    pub fn connected(self: &Arc<Self>, node: &str) -> AgentPresence {
        let mut state = self.state.lock();
        state.rotation.connected(node);
        if !state.kept.agents.contains(node) {
            let mut kept = state.kept.clone();
            kept.agents.insert(node.to_owned());
            self.keep(&mut state, kept);
        }
        drop(state);
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

    /// Where it stands.
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status::of(&state.kept, &state.rotation)
    }

    /// Takes the steps of a rotation as they fall due, until asked to stop.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.advance(clock::wall()) {
                tracing::error!(%error, "the root's rotation cannot go on; it is tried again");
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes the step that is due, if one is, and begins a rotation when the root grows old.
    fn advance(&self, now: SystemTime) -> Result<(), RotateError> {
        let mut state = self.state.lock();
        if state.published != state.kept.generation {
            self.publish(&mut state)?;
        }
        let step = state.rotation.due(now);
        let old = step.is_none() && state.kept.first.is_old(now);
        let kept = state.kept.clone();
        match (step, kept.next.clone()) {
            (Some(Step::SignWithNext), Some(next)) => {
                let until = state.last_leaf;
                tracing::info!(root = next.serial(), "the new root signs from now on");
                let phase = Phase::Retiring { until };
                self.change(
                    &mut state,
                    Kept {
                        phase,
                        leaves_until: now,
                        ..kept
                    },
                )?;
                state.last_leaf = now;
            }
            (Some(Step::DropOld), Some(next)) => {
                tracing::info!(
                    root = kept.first.serial(),
                    "the old root is trusted no more"
                );
                let generation = kept.generation + 1;
                let kept = Kept {
                    phase: Phase::Steady,
                    generation,
                    agents: state.rotation.heard_of(),
                    first: next,
                    next: None,
                    ..kept
                };
                self.change(&mut state, kept)?;
            }
            _ if old && matches!(kept.phase, Phase::Steady) => {
                drop(state);
                self.rotate(now)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps a new state, and only then lets it be seen.
    fn change(&self, state: &mut State, kept: Kept) -> Result<(), StoreError> {
        self.store.keep(&kept)?;
        state.rotation.performed(kept.phase.clone());
        state.kept = kept;
        self.publish(state)
    }

    fn publish(&self, state: &mut State) -> Result<(), StoreError> {
        let bundle = state.kept.bundle();
        self.bundle.send_replace(Arc::new(bundle.clone()));
        self.store.publish(&bundle.pem)?;
        state.published = bundle.generation;
        Ok(())
    }

    /// Remembers how long leaves of a root live. On disk stands a time far enough ahead that it
    /// is written once in a certificate's life and not with every certificate.
    fn note_leaf(&self, root: &Arc<Root>, not_after: SystemTime) {
        let mut state = self.state.lock();
        if !Arc::ptr_eq(state.kept.signing(), root) {
            // Signed just before the next root took over: the old one has to wait for it.
            let extended = match &state.kept.phase {
                Phase::Retiring { until } if not_after > *until => Kept {
                    phase: Phase::Retiring { until: not_after },
                    ..state.kept.clone()
                },
                _ => return,
            };
            if let Err(error) = self.change(&mut state, extended) {
                tracing::error!(%error, "the life of the old root could not be extended");
            }
            return;
        }
        state.last_leaf = state.last_leaf.max(not_after);
        if not_after > state.kept.leaves_until {
            let leaves_until = not_after + self.settings.certificate_life;
            let kept = Kept {
                leaves_until,
                ..state.kept.clone()
            };
            self.keep(&mut state, kept);
        }
    }

    /// Keeps what agents cannot see. Where that fails it is tried again with the next such note.
    fn keep(&self, state: &mut State, kept: Kept) {
        match self.store.keep(&kept) {
            Ok(()) => state.kept = kept,
            Err(error) => tracing::error!(%error, "the authority's state was not kept"),
        }
    }
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
