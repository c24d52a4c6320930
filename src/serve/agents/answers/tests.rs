use super::*;
use crate::serve::caller::Reason;

fn owner() -> Arc<TokenOwner> {
    Arc::new(TokenOwner {
        namespace: "ambit-system".into(),
        service_account: "ambit-node-agent".into(),
        pod: None,
        node: None,
    })
}

fn refusal() -> Refusal {
    Refusal::new(Reason::UnknownToken, "no")
}

fn hash(n: usize) -> Hash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn answers_count_for_their_time() {
    let start = Instant::now();
    let mut answers = Answers::default();
    answers.confirmed(hash(1), &owner(), start);
    answers.refused(hash(2), &refusal(), start);
    assert!(matches!(
        answers.find(&hash(1), start + seconds(59)),
        Found::Owner(_)
    ));
    assert!(matches!(
        answers.find(&hash(1), start + seconds(60)),
        Found::Nothing
    ));
    assert!(matches!(
        answers.find(&hash(2), start + seconds(1)),
        Found::Refused(_)
    ));
    assert!(matches!(
        answers.find(&hash(2), start + seconds(2)),
        Found::Nothing
    ));
    assert!(matches!(answers.find(&hash(3), start), Found::Nothing));
}

#[test]
fn a_confirmed_token_counts_ten_minutes_longer_while_nobody_answers() {
    let start = Instant::now();
    let mut answers = Answers::default();
    answers.confirmed(hash(1), &owner(), start);
    let mut now = start + seconds(60);
    while now < start + seconds(660) {
        assert!(answers.unanswered(&hash(1), now).is_some());
        assert!(matches!(answers.find(&hash(1), now), Found::Owner(_)));
        now += seconds(5);
        assert!(
            matches!(answers.find(&hash(1), now), Found::Nothing),
            "it asks again"
        );
    }
    assert!(answers.unanswered(&hash(1), now).is_none());
    assert!(matches!(answers.find(&hash(1), now), Found::Nothing));
    assert!(answers.unanswered(&hash(2), now).is_none());
}

#[test]
fn a_token_refused_later_is_not_let_in_by_what_was_said_before() {
    let start = Instant::now();
    let mut answers = Answers::default();
    answers.confirmed(hash(1), &owner(), start);
    answers.refused(hash(1), &refusal(), start + seconds(60));
    let now = start + seconds(61);
    assert!(matches!(answers.find(&hash(1), now), Found::Refused(_)));
    assert!(answers.unanswered(&hash(1), now).is_none());
}

#[test]
fn strangers_push_no_agent_out_and_nothing_grows_without_bound() {
    let start = Instant::now();
    let mut answers = Answers::default();
    answers.confirmed(hash(0), &owner(), start);
    for n in 1..3 * REFUSALS {
        answers.refused(hash(n), &refusal(), start);
        assert!(answers.refusals.len() <= REFUSALS);
    }
    assert!(matches!(answers.find(&hash(0), start), Found::Owner(_)));
    for n in 1..OWNERS + 10 {
        answers.confirmed(hash(n), &owner(), start + seconds(1));
        assert!(answers.owners.len() <= OWNERS);
    }
    let now = start + seconds(2);
    assert!(
        matches!(answers.find(&hash(0), now), Found::Nothing),
        "the oldest goes first"
    );
    assert!(matches!(
        answers.find(&hash(OWNERS + 9), now),
        Found::Owner(_)
    ));
}
