//! What outlives the process, as one document: what signs, with its keys, and where a rotation
//! stands. The format is the same wherever it is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::TrustDomain;
use serde::{Deserialize, Serialize};

use super::given::Given;
use super::rotation::Phase;
use super::signer::{Signer, SignerError};

/// Version of the document's layout.
const FORMAT: u32 = 1;

/// Why a document is not what we wrote.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Its form.
    #[error("{0}")]
    Form(String),
    /// What signs in it is not usable.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Everything that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Number of the bundle as it is; grows with every change.
    pub(crate) generation: u64,
    /// Where a rotation stands.
    pub(crate) phase: Phase,
    /// No leaf of what signs lives longer than this: nobody signs beyond it.
    pub(crate) leaves_until: SystemTime,
    /// Nodes whose agents are known: a rotation waits for them, connected or not.
    pub(crate) agents: BTreeSet<String>,
    /// What signed last (or the only one there is).
    pub(crate) first: Arc<Signer>,
    /// What signs next, during a rotation.
    pub(crate) next: Option<Arc<Signer>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    generation: u64,
    phase: Phase,
    leaves_until: SystemTime,
    agents: BTreeSet<String>,
    roots: Vec<WrittenSigner>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSigner {
    certificate: String,
    key: String,
    /// Empty for a self-made root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    chain: String,
    /// Empty for a self-made root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    anchors: String,
}

impl WrittenSigner {
    fn of(signer: &Arc<Signer>) -> Self {
        if signer.is_given() {
            let given = signer.as_given();
            return Self {
                certificate: given.certificate,
                key: given.key,
                chain: given.chain,
                anchors: given.roots,
            };
        }
        Self {
            certificate: signer.pem().to_owned(),
            key: signer.key_pem().to_owned(),
            chain: String::new(),
            anchors: String::new(),
        }
    }

    fn load(self, trust_domain: &TrustDomain) -> Result<Arc<Signer>, SignerError> {
        if self.anchors.is_empty() {
            return Signer::load(&self.certificate, &self.key, trust_domain).map(Arc::new);
        }
        let given = Given {
            certificate: self.certificate,
            key: self.key,
            chain: self.chain,
            roots: self.anchors,
        };
        Signer::load_given(&given).map(Arc::new)
    }
}

impl Kept {
    /// Reads the document.
    pub(crate) fn read(content: &[u8], trust_domain: &TrustDomain) -> Result<Self, ContentError> {
        let bad = |why: &str| ContentError::Form(why.to_owned());
        let written: Written = serde_json::from_slice(content)
            .map_err(|error| ContentError::Form(error.to_string()))?;
        if written.format != FORMAT {
            let format = written.format;
            return Err(bad(&format!("format {format} is not {FORMAT}")));
        }
        let mut signers = Vec::new();
        for signer in written.roots {
            signers.push(signer.load(trust_domain)?);
        }
        let mut signers = signers.into_iter();
        let (Some(first), next, None) = (signers.next(), signers.next(), signers.next()) else {
            return Err(bad("one or two roots expected"));
        };
        if next.is_some() == matches!(written.phase, Phase::Steady) {
            return Err(bad("the number of roots does not fit the phase"));
        }
        Ok(Self {
            generation: written.generation,
            phase: written.phase,
            leaves_until: written.leaves_until,
            agents: written.agents,
            first,
            next,
        })
    }

    /// The document.
    pub(crate) fn written(&self) -> Result<Vec<u8>, ContentError> {
        let written = Written {
            format: FORMAT,
            generation: self.generation,
            phase: self.phase.clone(),
            leaves_until: self.leaves_until,
            agents: self.agents.clone(),
            roots: self.signers().map(WrittenSigner::of).collect(),
        };
        serde_json::to_vec_pretty(&written).map_err(|error| ContentError::Form(error.to_string()))
    }

    /// What signs.
    pub(crate) fn signing(&self) -> &Arc<Signer> {
        match (&self.phase, &self.next) {
            (Phase::Retiring { .. }, Some(next)) => next,
            _ => &self.first,
        }
    }

    /// What signs at the end of the rotation under way.
    pub(crate) fn last(&self) -> &Arc<Signer> {
        self.next.as_ref().unwrap_or(&self.first)
    }

    /// Whatever is trusted, the oldest first.
    pub(crate) fn signers(&self) -> impl Iterator<Item = &Arc<Signer>> {
        std::iter::once(&self.first).chain(&self.next)
    }
}

#[cfg(test)]
mod tests;
