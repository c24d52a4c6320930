use std::time::UNIX_EPOCH;

use ambit_model::TrustDomain;

use super::*;
use crate::ca::given::tests::Issued;

const LIFE: Duration = Duration::from_secs(1000);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn settings() -> Settings {
    Settings {
        trust_domain: TrustDomain::new("cluster.local").unwrap(),
        certificate_life: LIFE,
        patience: Duration::from_secs(600),
    }
}

fn made() -> Arc<Signer> {
    Arc::new(Signer::make(&settings().trust_domain, now()).unwrap())
}

fn given(issued: &Issued) -> Arc<Signer> {
    let signer = Signer::given(&issued.given(), &settings().trust_domain, now());
    Arc::new(signer.unwrap())
}

fn kept(first: Arc<Signer>, next: Option<(Phase, Arc<Signer>)>) -> Kept {
    let (phase, next) = next.unzip();
    Kept {
        generation: 1,
        phase: phase.unwrap_or(Phase::Steady),
        leaves_until: now() + LIFE,
        agents: BTreeSet::new(),
        first,
        next,
    }
}

fn distributing() -> Phase {
    Phase::Distributing {
        generation: 1,
        until: now(),
        awaited: Vec::new(),
    }
}

fn word(wish: &Wish) -> &'static str {
    match wish {
        Wish::Granted => "granted",
        Wish::Rotate(Some(_)) => "rotate",
        Wish::Rotate(None) => "make",
        Wish::Replace(_) => "replace",
    }
}

#[test]
fn a_users_wish_is_granted_with_an_overlap() {
    let (one, other) = (Issued::under_a_root(now()), Issued::under_a_root(now()));
    let (one, two, ours) = (given(&one), given(&other), made());
    let retiring = || Phase::Retiring { until: now() };
    let gone = || Offer::Nothing {
        since: now() - ABSENT,
    };
    let just_gone = || Offer::Nothing { since: now() };
    let offer = |signer: &Arc<Signer>| Offer::Given(Arc::clone(signer));
    let steady = |first: &Arc<Signer>| kept(Arc::clone(first), None);
    let rotating = |phase: Phase, first: &Arc<Signer>, next: &Arc<Signer>| {
        kept(Arc::clone(first), Some((phase, Arc::clone(next))))
    };
    let cases = [
        (steady(&ours), Offer::Unknown, "granted"),
        (steady(&ours), gone(), "granted"),
        (steady(&ours), offer(&one), "rotate"),
        (steady(&one), offer(&one), "granted"),
        (steady(&one), offer(&two), "rotate"),
        (steady(&one), Offer::Unknown, "granted"),
        (steady(&one), just_gone(), "granted"),
        (steady(&one), gone(), "make"),
        (
            rotating(distributing(), &ours, &one),
            offer(&one),
            "granted",
        ),
        (rotating(distributing(), &ours, &one), offer(&two), "rotate"),
        (rotating(distributing(), &ours, &one), gone(), "make"),
        (rotating(retiring(), &ours, &one), offer(&one), "granted"),
        (rotating(retiring(), &ours, &one), offer(&two), "granted"),
        (rotating(retiring(), &ours, &one), gone(), "granted"),
    ];
    for (index, (kept, offer, expected)) in cases.into_iter().enumerate() {
        let wish = wished(&kept, &offer, now());
        assert_eq!(word(&wish), expected, "case {index}");
    }
}

#[test]
fn a_renewed_authority_under_the_same_root_signs_at_once() {
    let issued = Issued::under_a_root(now());
    let (old, new) = (given(&issued), given(&issued.renewed(now())));
    assert!(!old.is_same(&new) && old.has_the_anchors_of(&new));
    for kept in [
        kept(Arc::clone(&old), None),
        kept(made(), Some((distributing(), Arc::clone(&old)))),
        kept(
            made(),
            Some((Phase::Retiring { until: now() }, Arc::clone(&old))),
        ),
    ] {
        let wish = wished(&kept, &Offer::Given(Arc::clone(&new)), now());
        assert_eq!(word(&wish), "replace");
        let replaced = replaced(&kept, Arc::clone(&new));
        assert!(replaced.last().is_same(&new));
        assert_eq!(
            (replaced.generation, replaced.phase),
            (kept.generation, kept.phase)
        );
    }
}

#[test]
fn only_a_root_of_our_own_is_replaced_when_it_grows_old() {
    let late = now() + Duration::from_secs(9 * 365 * 86_400);
    let ours = kept(made(), None);
    assert_eq!(word(&wished(&ours, &Offer::Unknown, late)), "make");
    let users = kept(given(&Issued::under_a_root(now())), None);
    assert_eq!(word(&wished(&users, &Offer::Unknown, late)), "granted");
}

#[test]
fn no_leaf_outlives_what_is_kept() {
    let kept = kept(made(), None);
    let seconds = Duration::from_secs;
    let cases = [
        (0, 0, Some(1000)),
        (10, 0, Some(10)),
        (0, 600, Some(400)),
        (10, 600, Some(10)),
        (0, 997, Some(3)),
        (1, 997, Some(2)),
        (0, 999, None),
        (0, 5000, None),
    ];
    for (asked, later, expected) in cases {
        let given = life(&settings(), &kept, seconds(asked), now() + seconds(later));
        assert_eq!(given, expected.map(seconds), "{asked} s after {later} s");
    }
}

#[test]
fn what_is_kept_is_lengthened_long_before_it_cuts_a_leaf_short() {
    let rotation = Rotation::resumed(Phase::Steady, &BTreeSet::new());
    let first = first(&settings(), &Offer::Unknown, now()).unwrap();
    assert!(noted(&settings(), &first, &rotation, now()).is_none());
    let later = now() + LIFE / 4 + Duration::from_secs(1);
    assert_eq!(
        life(&settings(), &first, Duration::ZERO, later),
        Some(LIFE),
        "not cut short yet"
    );
    let noted = noted(&settings(), &first, &rotation, later).unwrap();
    assert_eq!(noted.leaves_until, later + LIFE * 3 / 2);
}

#[test]
fn an_agent_of_another_replica_is_not_forgotten_when_a_rotation_ends() {
    let old = kept(made(), Some((Phase::Retiring { until: now() }, made())));
    let mut rotation = Rotation::resumed(old.phase.clone(), &["gone".to_owned()].into());
    rotation.connected("here");
    let others = [Report {
        generation: 1,
        holding: vec!["there".to_owned()],
        lacking: vec!["late".to_owned()],
    }];
    let done = stepped(&settings(), &old, &rotation, &others, now()).unwrap();
    let known: Vec<&str> = done.agents.iter().map(String::as_str).collect();
    assert_eq!(known, ["here", "late", "there"]);
    assert_eq!((done.generation, done.phase), (2, Phase::Steady));
}
