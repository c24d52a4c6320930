use std::time::Duration;

use super::*;
use crate::testing::{Authority, Leaf};

const HOUR: Duration = Duration::from_secs(3600);

fn leaf() -> Leaf {
    Leaf::of_hosts(&["client.example.com"])
}

fn asked(certificate: bool) -> CredentialUse {
    CredentialUse {
        name: "shop/c".into(),
        certificate,
    }
}

#[test]
fn what_can_be_used_is_read_and_shows_no_key() {
    let authority = Authority::new("ours");
    let given = authority.papers(&leaf());
    let papers = OutsidePapers::read(&given).unwrap();
    let now = SystemTime::now();
    for certificate in [true, false] {
        papers.will_do(&asked(certificate), false, now).unwrap();
    }
    let shown = format!("{papers:?} {given:?}");
    let secret = given.key.lines().nth(1).unwrap();
    assert!(
        !shown.contains(secret) && !shown.contains("PRIVATE"),
        "{shown}"
    );
    assert!(shown.contains("not_after"), "{shown}");
}

#[test]
fn what_cannot_be_used_is_told_apart() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let good = authority.papers(&leaf());
    let why = |given: OutsideCredential| OutsidePapers::read(&given).unwrap_err();
    let with = |chain: &str, key: &str, roots: &str| OutsideCredential {
        chain: chain.into(),
        key: key.into(),
        roots: roots.into(),
    };
    let (chain, key, roots) = (&*good.chain, &*good.key, &*good.roots);
    assert_eq!(why(OutsideCredential::default()), PapersError::Empty);
    assert_eq!(why(with("x", key, roots)), PapersError::Certificate);
    assert_eq!(
        why(with(chain.get(..60).unwrap(), key, roots)),
        PapersError::Certificate
    );
    assert_eq!(why(with(chain, "", roots)), PapersError::Key);
    assert_eq!(why(with(chain, "x", roots)), PapersError::Key);
    assert_eq!(why(with("", key, roots)), PapersError::NoCertificate);
    assert_eq!(why(with(chain, key, "x")), PapersError::Roots);
    assert_eq!(why(with(chain, key, key)), PapersError::Roots);
    let foreign = other.papers(&leaf());
    assert_eq!(why(with(chain, &foreign.key, roots)), PapersError::Mismatch);
    let long = "x".repeat(OutsidePapers::LONGEST - 1);
    assert_eq!(why(with("", "", &long)), PapersError::Roots);
    assert_eq!(why(with("x", "x", &long)), PapersError::Long);
    assert_eq!(OutsidePapers::LONGEST, 262_144);
    // A reason has nothing of what it is about.
    assert!(
        !why(with(chain, "secret", roots))
            .to_string()
            .contains("secret")
    );
}

#[test]
fn what_is_asked_for_has_to_be_there_and_in_its_time() {
    let authority = Authority::new("ours");
    let good = authority.papers(&leaf());
    let only_roots = OutsideCredential {
        chain: "".into(),
        key: "".into(),
        ..good.clone()
    };
    let only_own = OutsideCredential {
        roots: "".into(),
        ..good.clone()
    };
    let now = SystemTime::now();
    let verdict = |given: &OutsideCredential, certificate, unverified, now| {
        let papers = OutsidePapers::read(given).unwrap();
        papers.will_do(&asked(certificate), unverified, now)
    };
    assert_eq!(verdict(&only_roots, false, false, now), Ok(()));
    assert_eq!(
        verdict(&only_roots, true, false, now),
        Err(PapersError::Unproved)
    );
    assert_eq!(
        verdict(&only_own, true, false, now),
        Err(PapersError::Unrooted)
    );
    assert_eq!(verdict(&only_own, true, true, now), Ok(()));
    let later = now + 48 * HOUR;
    assert_eq!(
        verdict(&good, true, false, later),
        Err(PapersError::Expired)
    );
    assert_eq!(
        verdict(&good, true, false, now - 48 * HOUR),
        Err(PapersError::NotYet)
    );
    // Whoever shows no certificate needs none that is valid.
    assert_eq!(verdict(&good, false, false, later), Ok(()));
}
