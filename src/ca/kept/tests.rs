use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::ca::given::tests::Issued;

fn domain() -> TrustDomain {
    TrustDomain::new("cluster.local").unwrap()
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn kept(rotating: bool) -> Kept {
    let phase = if rotating {
        Phase::Distributing {
            generation: 7,
            until: now(),
            awaited: vec!["n1".to_owned()],
        }
    } else {
        Phase::Steady
    };
    Kept {
        generation: 7,
        phase,
        leaves_until: now(),
        agents: std::iter::once("n1".to_owned()).collect(),
        first: Arc::new(Signer::make(&domain(), now()).unwrap()),
        next: rotating.then(|| Arc::new(Signer::make(&domain(), now()).unwrap())),
    }
}

#[test]
fn what_was_written_is_read_again() {
    for rotating in [false, true] {
        let kept = kept(rotating);
        let read = Kept::read(&kept.written().unwrap(), &domain()).unwrap();
        assert_eq!(read.generation, 7);
        assert_eq!(read.phase, kept.phase);
        assert_eq!(read.leaves_until, kept.leaves_until);
        assert_eq!(read.agents, kept.agents);
        assert!(read.first.is_same(&kept.first));
        assert!(read.last().is_same(kept.last()));
    }
}

#[test]
fn an_authority_of_the_users_is_read_again_also_when_its_life_is_over() {
    let given = Issued::under_a_root(now()).given();
    let signer = Signer::given(&given, &domain(), now()).unwrap();
    let kept = Kept {
        first: Arc::new(signer),
        ..kept(false)
    };
    let read = Kept::read(&kept.written().unwrap(), &domain()).unwrap();
    assert!(read.first.is_given() && read.first.is_same(&kept.first));
    assert_eq!(read.first.as_given(), kept.first.as_given());
}

#[test]
fn a_root_of_our_own_is_written_as_it_always_was() {
    let content = String::from_utf8(kept(false).written().unwrap()).unwrap();
    assert!(!content.contains("chain") && !content.contains("anchors"));
}

#[test]
fn what_we_did_not_write_is_an_error_and_never_a_new_root() {
    let whole = String::from_utf8(kept(true).written().unwrap()).unwrap();
    let half = whole.split_at(whole.len() / 2).0;
    let future = whole.replace("\"format\": 1", "\"format\": 9");
    let steady = {
        let mut value: serde_json::Value = serde_json::from_str(&whole).unwrap();
        value["phase"] = "steady".into();
        value.to_string()
    };
    for damaged in [half, "", "{}", &future, &steady] {
        let error = Kept::read(damaged.as_bytes(), &domain()).unwrap_err();
        assert!(matches!(error, ContentError::Form(_)), "{error}");
    }
    let foreign = TrustDomain::new("other.example").unwrap();
    let foreign = Kept::read(whole.as_bytes(), &foreign).unwrap_err();
    assert!(matches!(foreign, ContentError::Signer(_)), "{foreign}");
}
