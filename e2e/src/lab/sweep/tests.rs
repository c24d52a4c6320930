use super::{is_stale, owner};

#[test]
fn only_our_own_names_have_an_owner() {
    assert_eq!(owner("ambit-123-1"), Some(123));
    assert_eq!(owner("ambit-123-1-node-1"), Some(123));
    for foreign in [
        "ambit",
        "ambit-x-1",
        "ambit-123",
        "ambit-123-x",
        "default",
        "cni-123-1",
    ] {
        assert_eq!(owner(foreign), None, "{foreign}");
    }
}

#[test]
fn what_a_living_process_owns_is_not_stale() {
    assert!(!is_stale(&format!("ambit-{}-1", std::process::id())));
    // Above the kernel's largest pid.
    assert!(is_stale("ambit-4194999-1"));
}
