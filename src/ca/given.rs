//! Authorities that users give: an intermediate of their own, with its key, the certificates
//! between it and their root, and the root.
//!
//! They are checked hard before they are used: a leaf is signed on trial and verified as an agent
//! would verify it, so that whatever an agent would not accept (path lengths, name constraints,
//! weak keys) is found here and not in the mesh.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_kit::clock;
use ambit_model::{SpiffeId, TrustDomain};
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::prelude::X509Certificate;

use super::leaf::{self, LeafError};
use super::signer::{Shown, Signer, SignerError, instant};

/// Most certificates taken from one text.
const MOST: usize = 16;
/// Life of the certificate that is signed on trial.
const TRIAL: Duration = Duration::from_secs(60);
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// An authority as users give it, all of it PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The certificate that signs; others may follow it.
    pub certificate: String,
    /// Its key: PKCS#8, PKCS#1 or SEC1.
    pub key: String,
    /// The certificates between it and the roots; may begin with itself, may be empty.
    pub chain: String,
    /// The roots to trust.
    pub roots: String,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").finish_non_exhaustive()
    }
}

/// Why an authority that a user gave cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    /// A text is not the certificates that it should be.
    #[error("the {what} cannot be read: {why}")]
    Certificates {
        /// Which text.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The key is no key.
    #[error(
        "the key cannot be read ({0}): RSA, ECDSA P-256 or P-384 is expected, as unencrypted PKCS#8, PKCS#1 or SEC1 in PEM"
    )]
    Key(String),
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate: give both of the same authority")]
    Mismatch,
    /// The certificate may not sign others.
    #[error(
        "the certificate is not that of an authority (basicConstraints CA:TRUE, keyUsage keyCertSign)"
    )]
    NotAnAuthority,
    /// A certificate does not count now.
    #[error("the {what} is valid from {from} to {to}, so not now: renew it")]
    NotNow {
        /// Which one.
        what: &'static str,
        /// Begin of its life.
        from: String,
        /// End of its life.
        to: String,
    },
    /// Its name cannot be written as the issuer's without changing it.
    #[error(
        "the subject of the certificate has a form that cannot be copied into what it signs (an attribute type that occurs twice, such as two OU or DC): issue it with a simpler subject"
    )]
    Subject,
    /// What it signs is not verified by its own roots.
    #[error(
        "what it signs is not verified by the roots given: {0}; the chain has to lead from the certificate to one of the roots"
    )]
    Chain(String),
    /// It signs nothing.
    #[error("nothing could be signed with it: {0}")]
    Sign(String),
}

impl Signer {
    /// Checks what a user gave, for a trust domain.
    pub fn given(
        given: &Given,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, SignerError> {
        let signer = Self::load_given(given)?;
        for (what, shown) in signer.named_certificates() {
            is_now(what, &shown.der, now)?;
        }
        signer.is_verified_by_its_anchors(trust_domain, now)?;
        Ok(signer)
    }

    /// Loads what was checked before; its life may be over meanwhile.
    pub(crate) fn load_given(given: &Given) -> Result<Self, SignerError> {
        let anchors = certificates("roots", &given.roots)?;
        let mut own = certificates("certificate", &given.certificate)?;
        own.extend(certificates("chain", &given.chain).or_else(|error| {
            let is_empty = given.chain.trim().is_empty();
            is_empty.then(Vec::new).ok_or(error)
        })?);
        let first = own.first().cloned();
        let certificate = first.ok_or(GivenError::NotAnAuthority)?;
        let mut chain: Vec<Shown> = Vec::new();
        for shown in own {
            if !chain.contains(&shown) && !anchors.iter().any(|a| a.der == shown.der) {
                chain.push(shown);
            }
        }
        let key = key(&given.key)?;
        let parsed = parse("certificate", &certificate.der)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(GivenError::Mismatch.into());
        }
        if !may_sign(&parsed) {
            return Err(GivenError::NotAnAuthority.into());
        }
        let (serial, (not_before, mut not_after)) =
            (parsed.raw_serial_as_string(), life_of(&parsed));
        for shown in &chain {
            not_after = not_after.min(life_of(&parse("chain", &shown.der)?).1);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key)?;
        Ok(Self {
            certificate,
            key_pem: given.key.clone(),
            issuer,
            serial,
            not_before,
            not_after,
            chain,
            anchors,
            is_given: true,
        })
    }

    /// Itself as a user would give it.
    pub(crate) fn as_given(&self) -> Given {
        let text = |shown: &[Shown]| shown.iter().map(|s| s.pem.as_str()).collect();
        Given {
            certificate: self.certificate.pem.clone(),
            key: self.key_pem.clone(),
            chain: text(&self.chain),
            roots: text(&self.anchors),
        }
    }

    fn named_certificates(&self) -> impl Iterator<Item = (&'static str, &Shown)> {
        let chain = self.chain.iter().map(|shown| ("chain", shown));
        let anchors = self.anchors.iter().map(|shown| ("root", shown));
        std::iter::once(("certificate", &self.certificate))
            .chain(chain)
            .chain(anchors)
    }

    /// Signs as for the control plane and as for a workload, and verifies both as agents do.
    fn is_verified_by_its_anchors(
        &self,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<(), GivenError> {
        let failed = |error: LeafError| GivenError::Sign(error.to_string());
        let names = ["ambit-control-plane".to_owned()];
        let server = leaf::make_server(self, &names, TRIAL, now).map_err(failed)?;
        self.verify(&server.chain, now)?;
        let identity = format!("spiffe://{trust_domain}/ns/trial/sa/trial").parse::<SpiffeId>();
        let identity = identity.map_err(|error| GivenError::Sign(error.to_string()))?;
        let request = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .and_then(|key| CertificateParams::default().serialize_request(&key))
            .and_then(|request| request.pem())
            .map_err(|error| GivenError::Sign(error.to_string()))?;
        let signed = leaf::sign_workload(self, &request, &identity, TRIAL, now).map_err(failed)?;
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes());
        let der = der.map_err(|error| GivenError::Sign(error.to_string()))?;
        let chain = self.chain.iter().map(|shown| shown.der.clone());
        self.verify(&std::iter::once(der).chain(chain).collect::<Vec<_>>(), now)
    }

    fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), GivenError> {
        let failed = |error: rustls::Error| GivenError::Chain(error.to_string());
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(GivenError::Sign("no certificate".to_owned()));
        };
        let issuer_is_ours = parse("leaf", leaf)?.issuer().as_raw()
            == parse("certificate", &self.certificate.der)?
                .subject()
                .as_raw();
        if !issuer_is_ours {
            return Err(GivenError::Subject);
        }
        let mut roots = RootCertStore::empty();
        for anchor in &self.anchors {
            roots.add(anchor.der.clone()).map_err(failed)?;
        }
        let leaf = ParsedCertificate::try_from(leaf).map_err(failed)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let algorithms = algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms)
            .map_err(failed)
    }
}

/// The certificates of a text, each with its own part of it; at least one.
fn certificates(what: &'static str, text: &str) -> Result<Vec<Shown>, GivenError> {
    let bad = |why: String| GivenError::Certificates { what, why };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let Some((body, after)) = after.split_once(END) else {
            return Err(bad("a certificate in it does not end".to_owned()));
        };
        let pem = format!("{BEGIN}{body}{END}\n");
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|error| bad(error.to_string()))?;
        parse(what, &der)?;
        found.push(Shown { der, pem });
        if found.len() > MOST {
            return Err(bad(format!("more than {MOST} certificates")));
        }
        rest = after;
    }
    if found.is_empty() {
        return Err(bad("there is no PEM certificate in it".to_owned()));
    }
    Ok(found)
}

fn parse<'a>(
    what: &'static str,
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, GivenError> {
    x509_parser::parse_x509_certificate(der)
        .map(|(_rest, parsed)| parsed)
        .map_err(|error| GivenError::Certificates {
            what,
            why: error.to_string(),
        })
}

fn key(pem: &str) -> Result<KeyPair, GivenError> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|error| GivenError::Key(error.to_string()))?;
    let key = KeyPair::try_from(&der).map_err(|error| GivenError::Key(error.to_string()))?;
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_RSA_SHA256,
    ];
    if kinds.contains(&key.algorithm()) {
        Ok(key)
    } else {
        Err(GivenError::Key("it is of another kind".to_owned()))
    }
}

fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

fn life_of(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    (
        instant(validity.not_before.timestamp()),
        instant(validity.not_after.timestamp()),
    )
}

fn is_now(what: &'static str, der: &CertificateDer<'_>, now: SystemTime) -> Result<(), GivenError> {
    let (from, to) = life_of(&parse(what, der)?);
    if from <= now && now < to {
        return Ok(());
    }
    let (from, to) = (clock::rfc3339(from), clock::rfc3339(to));
    Err(GivenError::NotNow { what, from, to })
}

#[cfg(test)]
pub(crate) mod tests;
