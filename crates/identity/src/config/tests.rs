//! Whole handshakes in memory, between our configurations and good, bad and odd peers.

use std::io;
use std::sync::Arc;

use ambit_model::TrustDomain;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, NamedGroup, ServerConnection};

use super::*;
use crate::testing::{Authority, Leaf};
use crate::verify::ServerVerifier;
use crate::{PeerRefusal, peer_identity};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const DB: &str = "spiffe://cluster.local/ns/shop/sa/db";

fn ids(ids: &[&str]) -> Arc<[SpiffeId]> {
    ids.iter()
        .map(|id| id.parse::<SpiffeId>().unwrap())
        .collect()
}

/// How each side sees the end of the handshake.
#[derive(Debug)]
struct Outcome {
    client: Result<(), HandshakeFailure>,
    server: Result<(), HandshakeFailure>,
    client_sees: Option<SpiffeId>,
    server_sees: Option<SpiffeId>,
    group: Option<NamedGroup>,
    suite: Option<rustls::CipherSuite>,
}

fn pump(from: &mut dyn FnMut(&mut dyn io::Write), to: &mut dyn FnMut(&mut dyn io::Read)) -> bool {
    let mut wire = Vec::new();
    from(&mut wire);
    if wire.is_empty() {
        return false;
    }
    to(&mut wire.as_slice());
    true
}

/// Lets both ends talk until neither has anything to say.
fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Outcome {
    let name = ServerName::try_from("ignored.example").unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let (mut at_client, mut at_server) = (Ok(()), Ok(()));
    loop {
        let to_server = pump(
            &mut |wire| while client.write_tls(&mut *wire).unwrap() > 0 {},
            &mut |wire| {
                while at_server.is_ok() && server.read_tls(wire).unwrap() > 0 {
                    at_server = server.process_new_packets().map(drop);
                }
            },
        );
        let to_client = pump(
            &mut |wire| while server.write_tls(&mut *wire).unwrap() > 0 {},
            &mut |wire| {
                while at_client.is_ok() && client.read_tls(wire).unwrap() > 0 {
                    at_client = client.process_new_packets().map(drop);
                }
            },
        );
        if !to_server && !to_client {
            break;
        }
    }
    let classify = |end: Result<(), rustls::Error>, alpn: Option<&[u8]>| match end {
        Err(error) => Err(HandshakeFailure::from_rustls(&error)),
        Ok(()) => confirm_alpn(alpn),
    };
    let seen = |certs: Option<&[CertificateDer<'_>]>| certs.and_then(|c| peer_identity(c).ok());
    Outcome {
        client: classify(at_client, client.alpn_protocol()),
        server: classify(at_server, server.alpn_protocol()),
        client_sees: seen(client.peer_certificates()),
        server_sees: seen(server.peer_certificates()),
        group: client
            .negotiated_key_exchange_group()
            .map(|group| group.name()),
        suite: client.negotiated_cipher_suite().map(|suite| suite.suite()),
    }
}

/// A client of `web` meets a server with this leaf, where `db` is expected.
fn meet_server(authority: &Authority, leaf: &Leaf) -> Outcome {
    let trust = authority.trust();
    let client = client_config(&authority.workload("web"), &trust, ids(&[DB])).unwrap();
    shake(client, odd_server(authority, leaf, &trust))
}

/// A server whose certificate may be one that [`Credential`] would not take.
fn odd_server(authority: &Authority, leaf: &Leaf, trust: &Trust) -> Arc<ServerConfig> {
    let (chain, key) = authority.sign(leaf);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(ClientVerifier {
            trust: trust.clone(),
        }))
        .with_single_cert(
            chain.into_iter().map(CertificateDer::from).collect(),
            PrivateKeyDer::try_from(key).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Arc::new(config)
}

/// A client whose certificate may be one that [`Credential`] would not take, or missing.
fn odd_client(signed: Option<(Vec<Vec<u8>>, Vec<u8>)>, trust: &Trust) -> ClientConfig {
    let verifier = ServerVerifier {
        trust: trust.clone(),
        expected: ids(&[DB]),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match signed {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(
                chain.into_iter().map(CertificateDer::from).collect(),
                PrivateKeyDer::try_from(key).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config
}

/// A client with this leaf meets our server.
fn meet_client(authority: &Authority, client: ClientConfig) -> Outcome {
    let server = server_config(&authority.workload("db"), &authority.trust()).unwrap();
    shake(Arc::new(client), server)
}

#[test]
fn two_workloads_meet_and_know_each_other() {
    let ca = Authority::new("ca");
    let client = client_config(&ca.workload("web"), &ca.trust(), ids(&[WEB, DB])).unwrap();
    let server = server_config(&ca.workload("db"), &ca.trust()).unwrap();
    let outcome = shake(client, server);
    assert!(
        outcome.client.is_ok() && outcome.server.is_ok(),
        "{outcome:?}"
    );
    assert_eq!(outcome.client_sees.unwrap().as_str(), DB);
    assert_eq!(outcome.server_sees.unwrap().as_str(), WEB);
    assert_eq!(outcome.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(
        outcome.suite,
        Some(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256)
    );
}

#[test]
fn a_peer_without_post_quantum_groups_is_still_met() {
    let ca = Authority::new("ca");
    let classical = CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
        ..provider().as_ref().clone()
    };
    let client = client_config(&ca.workload("web"), &ca.trust(), ids(&[DB])).unwrap();
    let mut server = ServerConfig::builder_with_provider(Arc::new(classical))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(ClientVerifier { trust: ca.trust() }))
        .with_cert_resolver(ca.workload("db").resolver());
    server.alpn_protocols = vec![ALPN_H2.to_vec()];
    let outcome = shake(client, Arc::new(server));
    assert!(
        outcome.client.is_ok() && outcome.server.is_ok(),
        "{outcome:?}"
    );
    assert_eq!(outcome.group, Some(NamedGroup::X25519));
}

#[test]
fn a_client_refuses_servers_that_are_not_whom_it_wants() {
    let ca = Authority::new("ca");
    let cases: [(&str, Leaf, &str); 7] = [
        ("another workload", Leaf::of(WEB), "wrong_identity"),
        (
            "trust domain",
            Leaf::of("spiffe://other.org/ns/shop/sa/db"),
            "wrong_trust_domain",
        ),
        ("expired", Leaf::of(DB).expired(), "certificate_expired"),
        (
            "not yet valid",
            Leaf::of(DB).not_yet_valid(),
            "certificate_expired",
        ),
        ("two names", Leaf::of(DB).uris(&[DB, WEB]), "wrong_identity"),
        ("no name", Leaf::of(DB).uris(&[]), "wrong_identity"),
        (
            "no SPIFFE id",
            Leaf::of(DB).uris(&["spiffe://cluster.local/db"]),
            "wrong_identity",
        ),
    ];
    for (case, leaf, word) in cases {
        let outcome = meet_server(&ca, &leaf);
        assert_eq!(
            outcome.client.as_ref().unwrap_err().word(),
            word,
            "{case}: {outcome:?}"
        );
        // The server learns why from the alert, in the client's words as far as TLS has them.
        assert!(
            matches!(outcome.server, Err(HandshakeFailure::ByPeer(_))),
            "{case}: {outcome:?}"
        );
    }
}

#[test]
fn each_failure_keeps_its_details() {
    let ca = Authority::new("ca");
    match meet_server(&ca, &Leaf::of(WEB)).client.unwrap_err() {
        HandshakeFailure::WrongIdentity {
            presented,
            expected,
        } => {
            assert_eq!(presented.as_str(), WEB);
            assert_eq!(expected, ids(&[DB]));
        }
        other => panic!("{other:?}"),
    }
    let failure = meet_server(&ca, &Leaf::of(DB).not_yet_valid())
        .client
        .unwrap_err();
    assert!(
        matches!(failure, HandshakeFailure::NotYetValid),
        "{failure:?}"
    );
    let failure = meet_server(&ca, &Leaf::of(DB).uris(&[]))
        .client
        .unwrap_err();
    assert!(
        matches!(failure, HandshakeFailure::NotSpiffe(_)),
        "{failure:?}"
    );
}

#[test]
fn a_server_refuses_clients_that_are_not_of_the_mesh() {
    let ca = Authority::new("ca");
    let sign = |leaf: &Leaf| Some(ca.sign(leaf));
    let cases = [
        (
            "nobody",
            None,
            "no_client_certificate",
            PeerRefusal::NoCertificate,
        ),
        (
            "trust domain",
            sign(&Leaf::of("spiffe://other.org/ns/shop/sa/web")),
            "wrong_trust_domain",
            PeerRefusal::Identity,
        ),
        (
            "expired",
            sign(&Leaf::of(WEB).expired()),
            "certificate_expired",
            PeerRefusal::Expired,
        ),
        (
            "two names",
            sign(&Leaf::of(WEB).uris(&[WEB, DB])),
            "wrong_identity",
            PeerRefusal::Identity,
        ),
        (
            "no name",
            sign(&Leaf::of(WEB).uris(&[])),
            "wrong_identity",
            PeerRefusal::Identity,
        ),
        (
            "wrong authority",
            Some(Authority::new("ca").sign(&Leaf::of(WEB))),
            "unknown_authority",
            PeerRefusal::UnknownAuthority,
        ),
    ];
    for (case, signed, word, refusal) in cases {
        let outcome = meet_client(&ca, odd_client(signed, &ca.trust()));
        assert_eq!(
            outcome.server.as_ref().unwrap_err().word(),
            word,
            "{case}: {outcome:?}"
        );
        match outcome.client {
            Err(HandshakeFailure::ByPeer(said)) => assert_eq!(said, refusal, "{case}"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn a_client_refuses_a_server_of_another_authority() {
    let (ours, theirs) = (Authority::new("ca"), Authority::new("ca"));
    let client = client_config(&ours.workload("web"), &ours.trust(), ids(&[DB])).unwrap();
    let server = server_config(&theirs.workload("db"), &theirs.trust()).unwrap();
    let outcome = shake(client, server);
    assert!(
        matches!(outcome.client, Err(HandshakeFailure::UnknownAuthority)),
        "{outcome:?}"
    );
}

#[test]
fn while_two_roots_overlap_leaves_of_both_are_good() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let domain = TrustDomain::new("cluster.local").unwrap();
    let both = Trust::new(domain, &[old.root(), new.root()]).unwrap();
    for (a, b) in [(&old, &new), (&new, &old), (&new, &new)] {
        let client = client_config(&a.workload("web"), &both, ids(&[DB])).unwrap();
        let server = server_config(&b.workload("db"), &both).unwrap();
        let outcome = shake(client, server);
        assert!(
            outcome.client.is_ok() && outcome.server.is_ok(),
            "{outcome:?}"
        );
    }
    let client = client_config(&old.workload("web"), &both, ids(&[DB])).unwrap();
    let server = server_config(&new.workload("db"), &new.trust()).unwrap();
    let outcome = shake(client, server);
    assert!(
        matches!(outcome.server, Err(HandshakeFailure::UnknownAuthority)),
        "{outcome:?}"
    );
}

#[test]
fn both_ends_insist_on_h2() {
    let ca = Authority::new("ca");
    for (offer, what) in [(vec![], "none"), (vec![b"http/1.1".to_vec()], "another")] {
        let mut client = odd_client(Some(ca.sign(&Leaf::of(WEB))), &ca.trust());
        client.alpn_protocols = offer.clone();
        let outcome = meet_client(&ca, client);
        assert!(
            matches!(outcome.server, Err(HandshakeFailure::Alpn)),
            "{what}: {outcome:?}"
        );
    }
    let client = client_config(&ca.workload("web"), &ca.trust(), ids(&[DB])).unwrap();
    let mut server = odd_server(&ca, &Leaf::of(DB), &ca.trust()).as_ref().clone();
    server.alpn_protocols = vec![];
    let outcome = shake(client, Arc::new(server));
    assert!(
        matches!(outcome.client, Err(HandshakeFailure::Alpn)),
        "{outcome:?}"
    );
}

/// A TLS 1.2 ClientHello as an old client sends it: no `supported_versions` extension.
fn tls12_client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    // ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; no compression.
    body.extend([0, 2, 0xc0, 0x2b, 1, 0]);
    // supported_groups: x25519; signature_algorithms: ecdsa_secp256r1_sha256.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, 16]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    hello
}

#[test]
fn a_tls_1_2_client_is_refused_as_such() {
    let ca = Authority::new("ca");
    let config = server_config(&ca.workload("db"), &ca.trust()).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    server
        .read_tls(&mut tls12_client_hello().as_slice())
        .unwrap();
    let failure = HandshakeFailure::from_rustls(&server.process_new_packets().unwrap_err());
    assert!(
        matches!(failure, HandshakeFailure::TlsVersion),
        "{failure:?}"
    );
    let mut alert = Vec::new();
    server.write_tls(&mut alert).unwrap();
    // RFC 8446 section 6: fatal (2), protocol_version (70).
    assert_eq!(alert.get(5..), Some([2, 70].as_slice()));
}

#[test]
fn a_client_sends_no_server_name_and_gets_no_ticket() {
    let ca = Authority::new("ca");
    let config = client_config(&ca.workload("web"), &ca.trust(), ids(&[DB])).unwrap();
    let name = ServerName::try_from("secret-name.example").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    assert!(!hello.windows(11).any(|bytes| bytes == b"secret-name"));
    let server = server_config(&ca.workload("db"), &ca.trust()).unwrap();
    assert_eq!(server.send_tls13_tickets, 0);
    assert!(!server.ticketer.enabled());
    assert!(!server.session_storage.can_cache());
}
