//! The certificate authority: signs for workloads under a root of its own or one that the user
//! gave, and replaces that root without anybody noticing.
//!
//! | file | what |
//! |---|---|
//! | `signer.rs`, `given.rs` | what signs: self-made roots, authorities that users give |
//! | `leaf.rs` | checks a request, signs a certificate for an *authorised* identity |
//! | `rotation.rs` | when the next root may sign and the old one may go: a machine without I/O |
//! | `steps.rs` | what follows from it for what is kept: pure functions |
//! | `kept.rs` | what outlives the process, as one document |
//! | `store.rs` | where that lies: a folder, or an object of the cluster |
//! | `replica.rs` | one process among several: who leads, what the others know |
//! | `bundle.rs` | what is shown of all that: the trust bundle, and the state for people |
//! | `authority.rs` | the parts together, behind one handle |
//!
//! Invariants: what is signed is what the server authorised, never what a request says; every
//! step of a rotation is kept before it takes effect; nothing is signed that outlives what is
//! kept; no key leaves the store.

mod authority;
mod bundle;
mod given;
mod kept;
mod leaf;
mod replica;
mod rotation;
mod signer;
mod steps;
mod store;

pub use authority::{AgentPresence, Authority, AuthorityError, Behind, RotateError, Settings};
pub use bundle::{Bundle, Status};
pub use given::{Given, GivenError};
pub use kept::ContentError;
pub use leaf::{LeafError, ServerCertificate, SignedLeaf};
pub use replica::{Offer, Peers, PeersError, Replica};
pub use rotation::{Phase, Report};
pub use signer::{Signer, SignerError};
pub use store::{KeepError, Revision, Store, StoreError, Stored};

/// An authority that a user could give.
#[cfg(test)]
pub(crate) fn given_for_tests() -> Given {
    given::tests::Issued::under_a_root(ambit_kit::clock::wall()).given()
}
