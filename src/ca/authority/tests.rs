use std::time::UNIX_EPOCH;

use rcgen::{CertificateParams, KeyPair};

use super::*;

const LIFE: Duration = Duration::from_secs(100);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn open(state: &Path, seconds: u64) -> Arc<Authority> {
    let settings = Settings {
        trust_domain: TrustDomain::new("cluster.local").unwrap(),
        certificate_life: LIFE,
        patience: Duration::from_secs(600),
    };
    Arc::new(Authority::open(state, settings, at(seconds)).unwrap())
}

fn sign(authority: &Authority, life: u64, seconds: u64) -> SignedLeaf {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap()
        .pem()
        .unwrap();
    let identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    authority
        .sign(&request, &identity, Duration::from_secs(life), at(seconds))
        .unwrap()
}

fn signer(authority: &Authority) -> String {
    authority.status().signing
}

#[test]
fn lives_asked_for_are_held_to_the_limit() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    for (asked, given) in [(0, 100), (10, 10), (100_000, 100)] {
        assert_eq!(sign(&authority, asked, 0).not_after, at(given));
    }
}

#[test]
fn a_rotation_under_way_survives_restarts_at_every_step() {
    let state = tempfile::tempdir().unwrap();
    let public = || std::fs::read_to_string(state.path().join("root.pem")).unwrap();
    let authority = open(state.path(), 0);
    let old = signer(&authority);
    let presence = authority.connected("n1");
    authority.held("n1", 1);
    sign(&authority, 50, 0);
    assert_eq!(authority.rotate(at(1)).unwrap(), 2);
    assert!(matches!(
        authority.rotate(at(1)),
        Err(RotateError::UnderWay)
    ));
    authority.advance(at(2)).unwrap();
    assert_eq!(
        (signer(&authority), public().matches("BEGIN CERT").count()),
        (old.clone(), 2)
    );
    drop(presence);

    let authority = open(state.path(), 3);
    authority.advance(at(3)).unwrap();
    assert_eq!(signer(&authority), old, "n1 is still waited for");
    let _presence = authority.connected("n1");
    authority.held("n1", 2);
    authority.advance(at(4)).unwrap();
    let new = signer(&authority);
    assert_ne!(new, old);
    assert_eq!(authority.bundle().borrow().roots.len(), 2);

    let authority = open(state.path(), 5);
    assert_eq!(signer(&authority), new);
    // What was on disk is the latest that a leaf could have lived: 50 s and a life on top.
    authority.advance(at(149)).unwrap();
    assert_eq!(authority.bundle().borrow().roots.len(), 2);
    authority.advance(at(150)).unwrap();
    assert_eq!(authority.bundle().borrow().generation, 3);
    assert_eq!(
        (signer(&authority), public().matches("BEGIN CERT").count()),
        (new, 1)
    );
}

#[test]
fn without_a_restart_the_old_root_goes_with_its_last_leaf() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    sign(&authority, 50, 10);
    authority.rotate(at(20)).unwrap();
    authority.advance(at(20)).unwrap();
    sign(&authority, 100, 20);
    authority.advance(at(59)).unwrap();
    assert_eq!(authority.bundle().borrow().roots.len(), 2);
    authority.advance(at(60)).unwrap();
    assert_eq!(authority.bundle().borrow().roots.len(), 1);
    assert_eq!(authority.status().phase, Phase::Steady);
}

#[test]
fn the_control_planes_own_certificate_stays_with_the_oldest_trusted_root() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    let names = ["ambit-control-plane".to_owned()];
    let issuer = |seconds| {
        let made = authority.server_certificate(&names, at(seconds)).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&made.certificate).unwrap();
        parsed.issuer().to_string()
    };
    sign(&authority, 50, 0);
    let before = issuer(0);
    authority.rotate(at(1)).unwrap();
    authority.advance(at(1)).unwrap();
    assert!(matches!(authority.status().phase, Phase::Retiring { .. }));
    assert_eq!(issuer(2), before);
    authority.advance(at(51)).unwrap();
    assert_ne!(issuer(51), before);
}

#[test]
fn a_root_grown_old_is_rotated_unasked() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    let nine_years = 9 * 365 * 24 * 3600;
    authority.advance(at(nine_years)).unwrap();
    assert!(matches!(
        authority.status().phase,
        Phase::Distributing { .. }
    ));
}

#[test]
fn a_state_that_cannot_be_written_stops_a_rotation_before_it_is_seen() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    std::fs::remove_dir_all(state.path().join("ca")).unwrap();
    assert!(matches!(
        authority.rotate(at(1)),
        Err(RotateError::Store(_))
    ));
    assert_eq!(authority.status().phase, Phase::Steady);
    assert_eq!(authority.bundle().borrow().generation, 1);
}

#[test]
fn a_rotation_right_after_a_restart_waits_for_agents_that_are_not_back_yet() {
    let state = tempfile::tempdir().unwrap();
    drop(open(state.path(), 0).connected("n1"));
    let authority = open(state.path(), 1);
    let old = signer(&authority);
    authority.rotate(at(1)).unwrap();
    authority.advance(at(1)).unwrap();
    assert_eq!(signer(&authority), old);
    assert_eq!(authority.status().waiting_for_away, ["n1"]);
    let _presence = authority.connected("n1");
    authority.held("n1", 2);
    authority.advance(at(1)).unwrap();
    assert_ne!(signer(&authority), old);
}
