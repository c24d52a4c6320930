mod shared;

use std::time::UNIX_EPOCH;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::ca::Replica;

const LIFE: Duration = Duration::from_secs(100);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn settings() -> Settings {
    Settings {
        trust_domain: TrustDomain::new("cluster.local").unwrap(),
        certificate_life: LIFE,
        patience: Duration::from_secs(600),
    }
}

fn open(state: &Path, seconds: u64) -> Arc<Authority> {
    Arc::new(Authority::open(state, settings(), at(seconds)).unwrap())
}

async fn advance(authority: &Authority, seconds: u64) {
    let alone = Replica::alone();
    authority.advance(&alone, at(seconds)).await.unwrap();
}

fn sign(authority: &Authority, life: u64, seconds: u64) -> Result<SignedLeaf, LeafError> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap()
        .pem()
        .unwrap();
    let identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    authority.sign(&request, &identity, Duration::from_secs(life), at(seconds))
}

fn signer(authority: &Authority) -> String {
    authority.status().signing
}

fn roots(authority: &Authority) -> usize {
    authority.bundle().borrow().roots.len()
}

#[test]
fn lives_asked_for_are_held_to_the_limit() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    for (asked, given) in [(0, 100), (10, 10), (100_000, 100)] {
        let leaf = sign(&authority, asked, 0).unwrap();
        assert_eq!(leaf.not_after, at(given));
    }
}

#[tokio::test]
async fn a_rotation_under_way_survives_restarts_at_every_step() {
    let state = tempfile::tempdir().unwrap();
    let public = || std::fs::read_to_string(state.path().join("root.pem")).unwrap();
    let authority = open(state.path(), 0);
    let old = signer(&authority);
    let presence = authority.connected("n1");
    authority.held("n1", 1);
    assert_eq!(authority.rotate(at(1)).await.unwrap(), 2);
    assert!(matches!(
        authority.rotate(at(1)).await,
        Err(RotateError::UnderWay)
    ));
    advance(&authority, 2).await;
    assert_eq!(
        (signer(&authority), public().matches("BEGIN CERT").count()),
        (old.clone(), 2)
    );
    drop(presence);

    let authority = open(state.path(), 3);
    advance(&authority, 3).await;
    assert_eq!(signer(&authority), old, "n1 is still waited for");
    let _presence = authority.connected("n1");
    authority.held("n1", 2);
    advance(&authority, 4).await;
    let new = signer(&authority);
    assert_ne!(new, old);
    assert_eq!(roots(&authority), 2);

    let authority = open(state.path(), 5);
    assert_eq!(signer(&authority), new);
    // A life and a half from the start is what was kept as the most that a leaf could live.
    advance(&authority, 149).await;
    assert_eq!(roots(&authority), 2);
    advance(&authority, 150).await;
    assert_eq!(authority.bundle().borrow().generation, 3);
    assert_eq!(
        (signer(&authority), public().matches("BEGIN CERT").count()),
        (new, 1)
    );
}

#[tokio::test]
async fn the_old_root_is_trusted_for_as_long_as_a_leaf_of_it_can_live() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    advance(&authority, 30).await;
    authority.rotate(at(40)).await.unwrap();
    let last = sign(&authority, 0, 40).unwrap();
    advance(&authority, 40).await;
    let Phase::Retiring { until } = authority.status().phase else {
        panic!("the next root does not sign");
    };
    assert!(until >= last.not_after && until <= at(30) + LIFE * 3 / 2);
    sign(&authority, 100, 41).unwrap();
    advance(&authority, 179).await;
    assert_eq!(roots(&authority), 2);
    advance(&authority, 180).await;
    assert_eq!(roots(&authority), 1);
    assert_eq!(authority.status().phase, Phase::Steady);
}

#[tokio::test]
async fn the_control_planes_own_certificate_stays_with_the_oldest_trusted_root() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    let names = ["ambit-control-plane".to_owned()];
    let issuer = |seconds| {
        let made = authority.server_certificate(&names, at(seconds)).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&made.chain[0]).unwrap();
        parsed.issuer().to_string()
    };
    let before = issuer(0);
    authority.rotate(at(1)).await.unwrap();
    advance(&authority, 1).await;
    assert!(matches!(authority.status().phase, Phase::Retiring { .. }));
    let told = serde_json::to_value(authority.status()).unwrap();
    assert_eq!(told["phase"], "retiring");
    assert!(told["phase_until"].is_string(), "{told}");
    assert_eq!(issuer(2), before);
    advance(&authority, 151).await;
    assert_ne!(issuer(151), before);
}

#[tokio::test]
async fn a_root_grown_old_is_rotated_unasked() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    advance(&authority, 9 * 365 * 24 * 3600).await;
    assert!(matches!(
        authority.status().phase,
        Phase::Distributing { .. }
    ));
}

#[tokio::test]
async fn a_state_that_cannot_be_written_stops_a_rotation_before_it_is_seen() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    std::fs::remove_dir_all(state.path().join("ca")).unwrap();
    assert!(matches!(
        authority.rotate(at(1)).await,
        Err(RotateError::Store(_))
    ));
    assert_eq!(authority.status().phase, Phase::Steady);
    assert_eq!(authority.bundle().borrow().generation, 1);
    // It signs on within what was kept, and not beyond.
    assert_eq!(sign(&authority, 0, 50).unwrap().not_after, at(150));
    assert_eq!(sign(&authority, 0, 120).unwrap().not_after, at(150));
    assert!(matches!(sign(&authority, 0, 149), Err(LeafError::NotKept)));
}

#[tokio::test]
async fn a_rotation_right_after_a_restart_waits_for_agents_that_are_not_back_yet() {
    let state = tempfile::tempdir().unwrap();
    let authority = open(state.path(), 0);
    let presence = authority.connected("n1");
    advance(&authority, 0).await;
    drop(presence);
    let authority = open(state.path(), 1);
    let old = signer(&authority);
    authority.rotate(at(1)).await.unwrap();
    advance(&authority, 1).await;
    assert_eq!(signer(&authority), old);
    assert_eq!(authority.status().waiting_for_away, ["n1"]);
    let _presence = authority.connected("n1");
    authority.held("n1", 2);
    advance(&authority, 1).await;
    assert_ne!(signer(&authority), old);
}

#[test]
fn damaged_state_is_an_error_with_the_file_and_never_a_new_root() {
    let state = tempfile::tempdir().unwrap();
    drop(open(state.path(), 0));
    std::fs::write(state.path().join("ca/authority.json"), "{}").unwrap();
    let error = Authority::open(state.path(), settings(), at(1)).unwrap_err();
    assert!(error.to_string().contains("authority.json"), "{error}");
}
