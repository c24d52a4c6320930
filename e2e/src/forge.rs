//! Certificates that nobody should have: signed with the mesh's own stolen key or with a root made
//! here, for any name and any time. What hostile peers in scenarios show.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(3600);

/// Somebody who signs.
#[derive(Debug)]
pub struct Forger {
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, to be shown in a handshake.
#[derive(Debug)]
pub struct Leaf {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// As PEM.
    pub certificate_pem: String,
    /// The key as PEM.
    pub key_pem: String,
    key: Vec<u8>,
}

/// When a forged certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Since an hour ago, for another hour.
    Now,
    /// Until an hour ago.
    Over,
}

impl Forger {
    /// Signs with the mesh's root, read from the control plane's state as a thief would.
    pub fn with_the_meshs_key(control_plane_state: &Path) -> Result<Self> {
        let file = control_plane_state.join("ca/authority.json");
        let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let kept: Value = serde_json::from_slice(&text).context("reading the authority's state")?;
        let root = kept
            .pointer("/roots/0")
            .context("an authority without a root")?;
        let field = |name: &str| {
            root.get(name)
                .and_then(Value::as_str)
                .context("a root lacks a part")
        };
        let key = KeyPair::from_pem(field("key")?).context("reading the root's key")?;
        let issuer = Issuer::from_ca_cert_pem(field("certificate")?, key)
            .context("reading the root's certificate")?;
        Ok(Self { issuer })
    }

    /// Signs with a root of its own that calls itself what the mesh's does.
    pub fn with_a_root_of_its_own() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names = vec![uri("spiffe://cluster.local")?];
        let key = KeyPair::generate().context("making a key")?;
        Ok(Self {
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a certificate for a SPIFFE id.
    pub fn sign(&self, id: &str, life: Life) -> Result<Leaf> {
        let now = SystemTime::now();
        let (from, until) = match life {
            Life::Now => (now - HOUR, now + HOUR),
            Life::Over => (now - 2 * HOUR, now - HOUR),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = from.into();
        params.not_after = until.into();
        params.subject_alt_names = vec![uri(id)?];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("signing")?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
        })
    }
}

impl Leaf {
    /// The key, for rustls.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

fn uri(id: &str) -> Result<SanType> {
    Ok(SanType::URI(
        Ia5String::try_from(id).context("a SPIFFE id is ASCII")?,
    ))
}
