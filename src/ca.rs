//! The certificate authority: signs for workloads under a root of its own, and replaces that root
//! without anybody noticing.
//!
//! | file | what |
//! |---|---|
//! | `root.rs` | makes and loads a root: certificate and key |
//! | `leaf.rs` | checks a request, signs a certificate for an *authorised* identity |
//! | `rotation.rs` | when the next root may sign and the old one may go: a machine without I/O |
//! | `store.rs` | what outlives the process: `STATE/ca/authority.json`, `STATE/root.pem` |
//! | `bundle.rs` | what is shown of all that: the trust bundle, and the state for people |
//! | `authority.rs` | the parts together, behind one handle |
//!
//! Invariants: what is signed is what the server authorised, never what a request says; every
//! step of a rotation is on disk before it takes effect; no key leaves `STATE/ca`.

mod authority;
mod bundle;
mod leaf;
mod root;
mod rotation;
mod store;

pub use authority::{AgentPresence, Authority, AuthorityError, RotateError, Settings};
pub use bundle::{Bundle, Status};
pub use leaf::{LeafError, ServerCertificate, SignedLeaf};
pub use root::RootError;
pub use rotation::Phase;
pub use store::StoreError;
