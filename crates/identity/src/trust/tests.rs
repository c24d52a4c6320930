use super::*;
use crate::testing::Authority;

fn domain() -> TrustDomain {
    TrustDomain::new("cluster.local").unwrap()
}

#[test]
fn an_empty_bundle_is_refused() {
    assert!(matches!(
        Trust::new(domain(), &[]),
        Err(TrustError::NoRoots(_))
    ));
}

#[test]
fn a_broken_root_is_named() {
    let good = Authority::new("ca").root();
    let error = Trust::new(domain(), &[good, b"garbage".to_vec()]).unwrap_err();
    assert!(
        matches!(error, TrustError::Root { index: 1, .. }),
        "{error}"
    );
}

#[test]
fn several_roots_are_kept() {
    let roots = [Authority::new("old").root(), Authority::new("new").root()];
    let trust = Trust::new(domain(), &roots).unwrap();
    assert_eq!(trust.root_count(), 2);
    assert_eq!(trust.trust_domain(), &domain());
}
