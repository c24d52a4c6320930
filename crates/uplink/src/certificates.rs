//! One certificate from the certificate service: a fresh key, a request, an answer that is checked.

use std::time::{Duration, SystemTime};

use ambit_identity::{Credential, CredentialError};
use ambit_model::SpiffeId;
use ambit_wire::ca::IstioCertificateRequest;
use ambit_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use ambit_wire::node::Certificate;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tonic::transport::Channel;

use crate::connection::{Access, AccessError};

/// Life that is asked for; the authority may give less.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the service may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// By this name the service is told whose certificate is wanted.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// A certificate that passed the checks.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain with its key.
    pub certificate: Certificate,
    /// The roots that came with it, DER.
    pub roots: Vec<Vec<u8>>,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The key or the request could not be made.
    #[error("cannot make a key and a signing request for {0}: {1}")]
    Request(SpiffeId, rcgen::Error),
    /// We cannot say who we are.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The service refused or could not be reached.
    #[error("the certificate service gave no certificate for {identity}: {source}")]
    Refused {
        /// Whose.
        identity: SpiffeId,
        /// What it said.
        source: Box<tonic::Status>,
    },
    /// No answer in time.
    #[error("the certificate service did not answer for {0} within {1:?}")]
    Timeout(SpiffeId, Duration),
    /// The answer has no certificate in it.
    #[error("the answer for {identity} is not a certificate chain: {what}")]
    Answer {
        /// Whose.
        identity: SpiffeId,
        /// What is wrong.
        what: String,
    },
    /// Chain and key do not make a credential.
    #[error("the certificate for {identity} cannot be used: {source}")]
    Credential {
        /// Whose.
        identity: SpiffeId,
        /// Why not.
        source: CredentialError,
    },
    /// It is somebody else's.
    #[error("asked for a certificate of {wanted}, got one of {got}")]
    Identity {
        /// Whose was asked for.
        wanted: SpiffeId,
        /// Whose came.
        got: SpiffeId,
    },
}

/// Fetches a certificate for an identity of this node.
pub async fn fetch(
    access: &Access,
    channel: Channel,
    identity: &SpiffeId,
) -> Result<Issued, FetchError> {
    let (key, csr) =
        signing_request(identity).map_err(|error| FetchError::Request(identity.clone(), error))?;
    let request = access.request(IstioCertificateRequest {
        csr,
        validity_duration: i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX),
        metadata: Some(metadata(identity)),
    })?;
    let mut client = IstioCertificateServiceClient::new(channel);
    let answer = tokio::time::timeout(ANSWER_TIME, client.create_certificate(request))
        .await
        .map_err(|_elapsed| FetchError::Timeout(identity.clone(), ANSWER_TIME))?
        .map_err(|status| FetchError::Refused {
            identity: identity.clone(),
            source: Box::new(status),
        })?;
    check(identity, &key, &answer.into_inner().cert_chain)
}

/// A fresh key and the request for it, PEM.
fn signing_request(identity: &SpiffeId) -> Result<(KeyPair, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.as_str().try_into()?)];
    let csr = params.serialize_request(&key)?.pem()?;
    Ok((key, csr))
}

fn metadata(identity: &SpiffeId) -> prost_types::Struct {
    let text = prost_types::value::Kind::StringValue(identity.to_string());
    let value = prost_types::Value { kind: Some(text) };
    prost_types::Struct {
        fields: [(IMPERSONATED.to_owned(), value)].into(),
    }
}

/// Takes an answer apart: leaf first, the last element holds the roots.
fn check(identity: &SpiffeId, key: &KeyPair, answer: &[String]) -> Result<Issued, FetchError> {
    let wrong = |what: String| FetchError::Answer {
        identity: identity.clone(),
        what,
    };
    let ders = |pem: &String| {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(error.to_string()))
    };
    let Some((last, chain)) = answer.split_last().filter(|(_, chain)| !chain.is_empty()) else {
        return Err(wrong(format!(
            "{} elements, a leaf and roots expected",
            answer.len()
        )));
    };
    let chain: Vec<Vec<u8>> = chain
        .iter()
        .map(ders)
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let key = key.serialize_der();
    let credential = Credential::from_der(chain.clone(), key.clone()).map_err(|source| {
        FetchError::Credential {
            identity: identity.clone(),
            source,
        }
    })?;
    if credential.id() != identity {
        let got = credential.id().clone();
        return Err(FetchError::Identity {
            wanted: identity.clone(),
            got,
        });
    }
    Ok(Issued {
        certificate: Certificate {
            identity: identity.to_string(),
            chain: chain.into_iter().map(Into::into).collect(),
            key: key.into(),
        },
        roots: ders(last)?,
        not_before: credential.not_before(),
        not_after: credential.not_after(),
    })
}

#[cfg(test)]
mod tests;
