use super::*;
use crate::config::objects::Kind;
use crate::config::statuses::{Condition, Reason};

fn said(reason: Reason, message: &str) -> Said {
    Said::Policy(Condition {
        reason,
        message: message.to_owned(),
        generation: 3,
    })
}

fn report(shown: &Shown, said: &Said) -> Report {
    let key = ObjectKey::new(Kind::AuthorizationPolicy, "a", "one");
    Report {
        statuses: vec![(key, shown.clone(), said.clone())],
        ..Report::default()
    }
}

/// What the watch shows after a write.
fn after(shown: &Shown, said: &Said, now: &str) -> Shown {
    let patch = patch_of(shown, said, now);
    Shown {
        conditions: patch["status"]["conditions"].as_array().unwrap().clone(),
        ..shown.clone()
    }
}

fn writes(written: &mut Written, shown: &Shown, said: &Said, now: Instant) -> usize {
    let report = report(shown, said);
    let due = written.due(&report, now);
    let count = due.len();
    for (key, shown, said) in due {
        written.note(key, shown, said, now);
    }
    count
}

#[test]
fn a_status_is_written_once_however_late_the_watch_is() {
    let mut written = Written::default();
    let (shown, good) = (Shown::default(), said(Reason::Accepted, "fine"));
    let start = clock::now();
    assert_eq!(writes(&mut written, &shown, &good, start), 1);
    assert_eq!(
        writes(&mut written, &shown, &good, start),
        0,
        "the watch is late"
    );
    let shown = after(&shown, &good, "now");
    assert_eq!(
        writes(&mut written, &shown, &good, start + SELDOM),
        0,
        "it is there"
    );
    let bad = said(Reason::ScopeRefused, "not fine");
    assert_eq!(writes(&mut written, &shown, &bad, start), 1, "at once");
    let late = start + SELDOM;
    assert_eq!(writes(&mut written, &shown, &bad, late), 1, "it was lost");
}

#[test]
fn an_object_that_was_deleted_and_made_again_has_its_status_at_once() {
    let mut written = Written::default();
    let (good, now) = (said(Reason::Accepted, "fine"), clock::now());
    let of = |uid: &str| Shown {
        uid: uid.into(),
        ..Shown::default()
    };
    assert_eq!(writes(&mut written, &of("first"), &good, now), 1);
    assert_eq!(writes(&mut written, &of("second"), &good, now), 1);
    assert_eq!(writes(&mut written, &of("second"), &good, now), 0);
}

#[test]
fn the_number_of_pods_alone_is_written_seldom() {
    let mut written = Written::default();
    let start = clock::now();
    let one = said(Reason::Accepted, "Fine. It applies to 1 pod");
    let two = said(Reason::Accepted, "Fine. It applies to 2 pods");
    assert_eq!(writes(&mut written, &Shown::default(), &one, start), 1);
    let shown = after(&Shown::default(), &one, "now");
    assert_eq!(writes(&mut written, &shown, &two, start), 0);
    assert_eq!(writes(&mut written, &shown, &two, start + SELDOM), 1);
}

#[test]
fn others_conditions_stay_and_a_verdict_that_stays_keeps_its_time() {
    let shown = Shown {
        version: "7".into(),
        conditions: vec![json!({"type": "Other", "status": "True"})],
        ..Shown::default()
    };
    let first = after(&shown, &said(Reason::Accepted, "a"), "early");
    let same = after(&first, &said(Reason::AcceptedWithWarnings, "b"), "later");
    let time = |shown: &Shown| shown.accepted().unwrap()["lastTransitionTime"].clone();
    assert_eq!(
        (time(&first), time(&same)),
        (json!("early"), json!("early"))
    );
    let turned = after(&same, &said(Reason::ScopeRefused, "c"), "late");
    assert_eq!(time(&turned), json!("late"));
    assert_eq!(turned.conditions.len(), 2, "{:?}", turned.conditions);
    let patch = patch_of(&shown, &said(Reason::Accepted, "a"), "now");
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
}
