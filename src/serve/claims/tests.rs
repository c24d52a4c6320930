use super::*;

fn node(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn claims_come_back_after_a_restart_and_a_damaged_file_costs_one_node() {
    let state = tempfile::tempdir().unwrap();
    let files = ClaimFiles::open(state.path()).unwrap();
    let mut claims = Claims::default();
    assert_eq!(claims.add(&node("n1"), "u1", "shop/web-0"), Ok(true));
    assert_eq!(claims.add(&node("n1"), "u1", "shop/web-0"), Ok(false));
    assert_eq!(claims.add(&node("n2.example"), "u2", "shop/db-0"), Ok(true));
    for name in ["n1", "n2.example"] {
        files.keep(name, &claims.of(name)).unwrap();
    }
    let loaded = files.load();
    assert!(loaded.holds("n1", "u1") && loaded.holds("n2.example", "u2"));
    assert!(!loaded.holds("n2.example", "u1"), "each node for itself");
    fs::write(state.path().join("captured/n1.json"), b"{ half").unwrap();
    let loaded = files.load();
    assert!(!loaded.holds("n1", "u1") && loaded.holds("n2.example", "u2"));
}

#[test]
fn a_node_gives_up_only_its_own_claims() {
    let mut claims = Claims::default();
    claims.add(&node("n1"), "u1", "shop/web-0").unwrap();
    assert!(!claims.remove("n2", "u1"));
    assert!(claims.remove("n1", "u1"));
    assert!(!claims.remove("n1", "u1"));
    assert_eq!(claims.iter().count(), 0);
}

#[test]
fn an_agent_cannot_fill_the_memory() {
    let mut claims = Claims::default();
    for index in 0..MAX_PER_NODE {
        claims.add(&node("n1"), &index.to_string(), "a/b").unwrap();
    }
    assert_eq!(
        claims.add(&node("n1"), "more", "a/b"),
        Err(ClaimError::TooMany)
    );
    assert_eq!(claims.add(&node("n1"), "7", "a/b"), Ok(false));
    assert_eq!(claims.add(&node("n2"), "more", "a/b"), Ok(true));
    for uid in ["", &"u".repeat(MAX_UID + 1)] {
        assert_eq!(claims.add(&node("n2"), uid, "a/b"), Err(ClaimError::Uid));
    }
}
