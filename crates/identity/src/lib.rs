//! Identities of workloads: credentials, trust, and the TLS configurations made from them.
//!
//! Whoever opens or accepts a tunnel takes a [`Credential`] (who am I) and a [`Trust`] (whom do I
//! believe) and gets a rustls configuration from [`client_config`] or [`server_config`]; whatever
//! goes wrong in a handshake ends up in one type, [`HandshakeFailure`], whose
//! [`word`](HandshakeFailure::word) goes to logs and metrics.
//!
//! Invariants: TLS 1.3 only, both sides present a certificate, no resumption (a ticket would bring
//! back a chain that nobody verifies again), chains are checked at the time of the handshake, and
//! a peer has exactly one identity.
//!
//! Servers outside of the mesh are none of that: [`outside`] speaks TLS as anybody does.

mod config;
mod credential;
mod failure;
pub mod outside;
mod provider;
pub mod rotation;
mod trust;
mod verify;

pub use config::{TlsError, client_config, confirm_alpn, server_config};
pub use credential::{Credential, CredentialError, PeerIdentityError, peer_expiry, peer_identity};
pub use failure::{HandshakeFailure, PeerRefusal};
pub use provider::{provider, warm_up};
pub use trust::{Trust, TrustError};

#[cfg(any(test, feature = "testing"))]
pub mod testing;
