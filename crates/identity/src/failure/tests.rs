use super::*;

#[test]
fn an_io_error_is_looked_into() {
    let wrapped = io::Error::new(
        io::ErrorKind::InvalidData,
        Error::AlertReceived(AlertDescription::UnknownCA),
    );
    let failure = HandshakeFailure::from_io(wrapped);
    assert!(matches!(
        failure,
        HandshakeFailure::ByPeer(PeerRefusal::UnknownAuthority)
    ));
    assert_eq!(failure.word(), "unknown_authority");
    let broken = HandshakeFailure::from_io(io::ErrorKind::ConnectionReset.into());
    assert!(matches!(broken, HandshakeFailure::Io(_)));
}

#[test]
fn every_alert_about_identity_has_its_word() {
    let cases = [
        (AlertDescription::UnknownCA, "unknown_authority"),
        (AlertDescription::CertificateExpired, "certificate_expired"),
        (
            AlertDescription::CertificateRequired,
            "no_client_certificate",
        ),
        (AlertDescription::ProtocolVersion, "tls_version"),
        (AlertDescription::NoApplicationProtocol, "tls_failure"),
        (AlertDescription::CertificateUnknown, "wrong_identity"),
        (AlertDescription::InternalError, "tls_failure"),
    ];
    for (alert, word) in cases {
        let failure = HandshakeFailure::from_rustls(&Error::AlertReceived(alert));
        assert_eq!(failure.word(), word, "{alert:?}");
    }
}
