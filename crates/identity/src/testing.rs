//! Certificate authorities for tests: real P-256 chains, made on the spot.
//!
//! Only there with feature `testing`, which only dev-dependencies turn on.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot make its certificates has failed"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::{OutsideCredential, TrustDomain};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::{Credential, Trust};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a leaf says.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// URI names, in order.
    pub uris: Vec<String>,
    /// Names of hosts.
    pub hosts: Vec<String>,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
}

impl Leaf {
    /// A leaf with one URI name, valid from yesterday to tomorrow.
    pub fn of(uri: &str) -> Self {
        let now = SystemTime::now();
        Self {
            uris: vec![uri.to_owned()],
            hosts: Vec::new(),
            not_before: now - DAY,
            not_after: now + DAY,
        }
    }

    /// A leaf of hosts, as servers outside of the mesh have them.
    pub fn of_hosts(hosts: &[&str]) -> Self {
        Self {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            ..Self::of("").uris(&[])
        }
    }

    /// The same with other URI names.
    pub fn uris(mut self, uris: &[&str]) -> Self {
        self.uris = uris.iter().map(|&uri| uri.to_owned()).collect();
        self
    }

    /// The same, but its time was over an hour ago.
    pub fn expired(mut self) -> Self {
        self.not_after = SystemTime::now() - DAY / 24;
        self
    }

    /// The same, but its time begins in an hour.
    pub fn not_yet_valid(mut self) -> Self {
        self.not_before = SystemTime::now() + DAY / 24;
        self
    }
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
    root_pem: String,
}

impl Authority {
    /// An authority of this name, with a key of its own.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            root: root.der().to_vec(),
            root_pem: root.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its root certificate, DER.
    pub fn root(&self) -> Vec<u8> {
        self.root.clone()
    }

    /// Trust in this authority alone, for `cluster.local`.
    pub fn trust(&self) -> Trust {
        Trust::new(TrustDomain::new("cluster.local").unwrap(), &[self.root()]).unwrap()
    }

    /// Chain (leaf only) and key, DER, with whatever the leaf says.
    pub fn sign(&self, leaf: &Leaf) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (certificate, key) = self.signed(leaf);
        (vec![certificate.der().to_vec()], key.serialize_der())
    }

    fn signed(&self, leaf: &Leaf) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        let hosts = leaf.hosts.iter();
        let hosts = hosts.map(|host| SanType::DnsName(host.as_str().try_into().unwrap()));
        params.subject_alt_names = leaf
            .uris
            .iter()
            .map(|uri| SanType::URI(uri.as_str().try_into().unwrap()))
            .chain(hosts)
            .collect();
        params.not_before = leaf.not_before.into();
        params.not_after = leaf.not_after.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// What a server outside of the mesh answers TLS with, by this leaf and these protocols.
    pub fn outside(
        &self,
        leaf: &Leaf,
        protocols: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let (chain, key) = self.sign(leaf);
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
        Arc::new(config)
    }

    /// What a user's Secret has who shows this leaf to servers of this authority.
    pub fn papers(&self, leaf: &Leaf) -> OutsideCredential {
        let (certificate, key) = self.signed(leaf);
        OutsideCredential {
            chain: certificate.pem().into(),
            key: key.serialize_pem().into(),
            roots: self.root_pem.as_str().into(),
        }
    }

    /// What a server outside of the mesh answers TLS with that asks for a certificate of this authority.
    pub fn demanding(&self, leaf: &Leaf) -> Arc<ServerConfig> {
        let (chain, key) = self.sign(leaf);
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root())).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }

    /// A credential for this leaf.
    pub fn issue(&self, leaf: &Leaf) -> Credential {
        let (chain, key) = self.sign(leaf);
        Credential::from_der(chain, key).unwrap()
    }

    /// A good credential of `cluster.local` for a service account of namespace `shop`.
    pub fn workload(&self, service_account: &str) -> Credential {
        self.issue(&Leaf::of(&format!(
            "spiffe://cluster.local/ns/shop/sa/{service_account}"
        )))
    }
}
