use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

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
        first: Arc::new(Root::make(&domain(), now()).unwrap()),
        next: rotating.then(|| Arc::new(Root::make(&domain(), now()).unwrap())),
    }
}

#[test]
fn what_was_kept_comes_back_and_only_we_can_read_it() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path()).unwrap();
    assert!(store.load(&domain()).unwrap().is_none());
    for rotating in [false, true] {
        let kept = kept(rotating);
        store.keep(&kept).unwrap();
        let loaded = store.load(&domain()).unwrap().unwrap();
        assert_eq!(loaded.generation, 7);
        assert_eq!(loaded.phase, kept.phase);
        assert_eq!(loaded.leaves_until, kept.leaves_until);
        assert_eq!(loaded.agents, kept.agents);
        assert_eq!(loaded.first.serial(), kept.first.serial());
        assert_eq!(loaded.next.is_some(), rotating);
    }
    for (path, mode) in [("ca", 0o700), ("ca/authority.json", 0o600)] {
        let found = fs::metadata(state.path().join(path))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}

#[test]
fn a_directory_open_to_others_is_refused() {
    let state = tempfile::tempdir().unwrap();
    Store::open(state.path()).unwrap();
    fs::set_permissions(state.path().join("ca"), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Store::open(state.path()).unwrap_err();
    assert!(refused.to_string().contains("open to others"), "{refused}");
}

#[test]
fn damaged_state_is_an_error_with_the_file_and_never_a_new_root() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path()).unwrap();
    store.keep(&kept(true)).unwrap();
    let path = state.path().join("ca/authority.json");
    let whole = fs::read_to_string(&path).unwrap();
    let half = whole.split_at(whole.len() / 2).0;
    let future = whole.replace("\"format\": 1", "\"format\": 9");
    let steady = {
        let mut value: serde_json::Value = serde_json::from_str(&whole).unwrap();
        value["phase"] = "steady".into();
        value.to_string()
    };
    for damaged in [half, "", "{}", &future, &steady] {
        fs::write(&path, damaged).unwrap();
        let error = store.load(&domain()).unwrap_err();
        assert!(error.to_string().contains("authority.json"), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    let foreign = store
        .load(&TrustDomain::new("other.example").unwrap())
        .unwrap_err();
    assert!(matches!(foreign, StoreError::Root { .. }), "{foreign}");
}
