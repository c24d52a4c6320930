//! What TLS with hosts outside of the mesh is spoken by: certificates and a private key of a user's.
//!
//! It is no part of the mesh, so that no page of that shows it; it has no serialized form but the one that
//! travels to waypoints, and its debug output tells which parts there are.

use std::fmt;
use std::sync::Arc;

/// A certificate with its key, and authorities, in PEM. What is absent is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OutsideCredential {
    /// The chain, the certificate itself first.
    pub chain: Arc<str>,
    /// Its private key.
    pub key: Arc<str>,
    /// Authorities that are believed about servers.
    pub roots: Arc<str>,
}

impl fmt::Debug for OutsideCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideCredential")
            .field("has_certificate", &!self.chain.is_empty())
            .field("has_key", &!self.key.is_empty())
            .field("has_roots", &!self.roots.is_empty())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_a_key_in_a_log() {
        let given = OutsideCredential {
            chain: "chain".into(),
            key: "secret".into(),
            roots: "".into(),
        };
        let shown = format!("{given:?} {given:#?}");
        assert!(
            shown.contains("has_key: true") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
