//! Why a handshake failed: the one place that classifies what rustls and the socket say.

use std::io;
use std::sync::Arc;

use ambit_model::SpiffeId;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::verify::WrongPeer;

/// Why a handshake failed. Cheap to clone, because several waiters may share one handshake.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HandshakeFailure {
    /// The peer's chain ends in no root of ours.
    #[error("the peer's certificate is signed by no authority of the trust bundle")]
    UnknownAuthority,
    /// The chain is good, the trust domain is another.
    #[error("the peer is {presented}, which is not of the trust domain {own}")]
    WrongTrustDomain {
        /// Who the peer is.
        presented: SpiffeId,
        /// Our trust domain.
        own: String,
    },
    /// The chain is good, the peer is somebody else.
    #[error("the peer is {presented}, expected was {}", list(expected))]
    WrongIdentity {
        /// Who the peer is.
        presented: SpiffeId,
        /// Whom we wanted to meet.
        expected: Arc<[SpiffeId]>,
    },
    /// The peer's chain is no longer valid.
    #[error("the peer's certificate has expired")]
    Expired,
    /// The peer's chain is not valid yet: check the clocks.
    #[error("the peer's certificate is not valid yet; check the clocks of both nodes")]
    NotYetValid,
    /// The peer presented no certificate.
    #[error("the peer presented no certificate")]
    NoClientCertificate,
    /// The peer's certificate names no workload.
    #[error("the peer's certificate names no workload: {0}")]
    NotSpiffe(String),
    /// The peer does not speak TLS 1.3.
    #[error("the peer does not speak TLS 1.3")]
    TlsVersion,
    /// The peer does not speak HTTP/2.
    #[error("the peer did not agree to ALPN h2")]
    Alpn,
    /// The peer ended the handshake with an alert: it is our side that it does not like.
    #[error("the peer refused us: {0}")]
    ByPeer(PeerRefusal),
    /// TLS was agreed, but what followed is not HTTP/2.
    #[error("the peer does not speak HTTP/2: {0}")]
    NotHttp2(String),
    /// Anything else that rustls complains about.
    #[error("TLS failure: {0}")]
    Other(String),
    /// The connection broke.
    #[error("connection broke during the handshake: {0}")]
    Io(Arc<io::Error>),
    /// The peer took too long.
    #[error("the handshake took too long")]
    Timeout,
}

/// What a peer's alert says about us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// RFC 8446 `unknown_ca`.
    #[error("it does not know the authority that signed our certificate")]
    UnknownAuthority,
    /// RFC 8446 `certificate_expired`.
    #[error("our certificate has expired or is not valid yet by its clock")]
    Expired,
    /// RFC 8446 `certificate_required`.
    #[error("it requires a certificate and got none")]
    NoCertificate,
    /// RFC 8446 `protocol_version`.
    #[error("it does not speak TLS 1.3")]
    TlsVersion,
    /// RFC 7301 `no_application_protocol`.
    #[error("it does not speak HTTP/2")]
    Alpn,
    /// RFC 8446 `access_denied`, `certificate_unknown`, `bad_certificate` and their like.
    #[error("it does not accept our identity")]
    Identity,
    /// Any other alert, by its number.
    #[error("alert {0}")]
    Other(u8),
}

fn list(expected: &[SpiffeId]) -> String {
    expected
        .iter()
        .map(SpiffeId::as_str)
        .collect::<Vec<_>>()
        .join(" or ")
}

impl HandshakeFailure {
    /// The reason word of logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongTrustDomain { .. } => "wrong_trust_domain",
            Self::WrongIdentity { .. } | Self::NotSpiffe(_) => "wrong_identity",
            Self::Expired | Self::NotYetValid => "certificate_expired",
            Self::NoClientCertificate => "no_client_certificate",
            Self::TlsVersion => "tls_version",
            Self::NotHttp2(_) => "bad_request",
            Self::ByPeer(refusal) => refusal.word(),
            Self::Alpn | Self::Other(_) | Self::Io(_) | Self::Timeout => "tls_failure",
        }
    }

    /// Classifies what rustls reports.
    pub fn from_rustls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoClientCertificate,
            Error::NoApplicationProtocol => Self::Alpn,
            Error::InvalidCertificate(bad) => Self::from_certificate(bad),
            Error::PeerIncompatible(missing) if lacks_tls13(missing) => Self::TlsVersion,
            Error::AlertReceived(alert) => Self::ByPeer(PeerRefusal::from_alert(*alert)),
            other => Self::Other(other.to_string()),
        }
    }

    /// Classifies an I/O error, which may carry a rustls error inside.
    pub fn from_io(error: io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(tls) => Self::from_rustls(tls),
            None => Self::Io(Arc::new(error)),
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<WrongPeer>() {
                Some(wrong) => Self::from_wrong_peer(wrong.clone()),
                None => Self::Other(other.0.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }

    fn from_wrong_peer(wrong: WrongPeer) -> Self {
        match wrong {
            WrongPeer::Identity(error) => Self::NotSpiffe(error.to_string()),
            WrongPeer::TrustDomain { presented, own } => Self::WrongTrustDomain { presented, own },
            WrongPeer::Unexpected {
                presented,
                expected,
            } => Self::WrongIdentity {
                presented,
                expected,
            },
        }
    }
}

impl PeerRefusal {
    fn word(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "unknown_authority",
            Self::Expired => "certificate_expired",
            Self::NoCertificate => "no_client_certificate",
            Self::TlsVersion => "tls_version",
            Self::Identity => "wrong_identity",
            Self::Alpn | Self::Other(_) => "tls_failure",
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA => Self::UnknownAuthority,
            AlertDescription::CertificateExpired => Self::Expired,
            AlertDescription::CertificateRequired => Self::NoCertificate,
            AlertDescription::ProtocolVersion => Self::TlsVersion,
            AlertDescription::NoApplicationProtocol => Self::Alpn,
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate => Self::Identity,
            other => Self::Other(other.into()),
        }
    }
}

/// True if the peer could not agree on TLS 1.3, in any of the ways in which that shows.
fn lacks_tls13(missing: &PeerIncompatible) -> bool {
    matches!(
        missing,
        PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
    )
}

#[cfg(test)]
mod tests;
