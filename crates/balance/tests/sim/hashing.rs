//! Sessions by hash, as endpoints come and go.

use std::collections::BTreeSet;

use ambit_balance::{Algorithm, Change, Hashing, stable_hash};

use crate::traffic::{Traffic, by, server};

const BOTH: [Hashing; 2] = [Hashing::RING, Hashing::MAGLEV];
const SESSIONS: usize = 10_000;

fn servers(hashing: Hashing, count: u32) -> Traffic {
    let servers = (0..count).map(|key| server(key, 1)).collect();
    Traffic::new(by(Algorithm::Hash(hashing)), servers)
}

/// Where each session goes.
fn sessions(traffic: &mut Traffic) -> Vec<u32> {
    let hashes = (0..SESSIONS).map(|session| stable_hash(&session));
    hashes
        .map(|hash| traffic.pick(Some(hash), &[]).endpoint().key)
        .collect()
}

/// How many went from, or to, this endpoint, and how many moved among the others.
fn moved(before: &[u32], after: &[u32], endpoint: u32) -> (usize, usize) {
    let moves = before.iter().zip(after).filter(|(from, to)| from != to);
    let (its, others): (Vec<_>, Vec<_>) =
        moves.partition(|(from, to)| **from == endpoint || **to == endpoint);
    (its.len(), others.len())
}

#[test]
fn only_the_sessions_of_an_endpoint_that_goes_move() {
    for hashing in BOTH {
        // Powers of two among them: where tables that grow by doubling lead half of all elsewhere.
        for count in [4, 8, 10, 16, 50, 64, 128, 200] {
            let mut traffic = servers(hashing, count);
            let before = sessions(&mut traffic);
            traffic.apply(vec![Change::Remove(3)]);
            let after = sessions(&mut traffic);
            let (its, others) = moved(&before, &after, 3);
            let fair = SESSIONS / usize::try_from(count).unwrap();
            assert!(its < 2 * fair, "{its} of {count} with {hashing:?}");
            assert!(
                others < SESSIONS / 50,
                "{others} of {count} with {hashing:?}"
            );
            assert!(!after.contains(&3));

            traffic.apply(vec![Change::Put(server(3, 1))]);
            assert_eq!(sessions(&mut traffic), before, "all come back");
        }
    }
}

#[test]
fn an_endpoint_that_comes_takes_its_share_only() {
    for hashing in BOTH {
        let mut traffic = servers(hashing, 50);
        let before = sessions(&mut traffic);
        traffic.apply(vec![Change::Put(server(50, 1))]);
        let (its, others) = moved(&before, &sessions(&mut traffic), 50);
        assert!(
            (1..2 * SESSIONS / 51).contains(&its),
            "{its} with {hashing:?}"
        );
        assert!(others < SESSIONS / 50, "{others} with {hashing:?}");
    }
}

#[test]
fn a_session_that_fails_has_one_endpoint_to_go_to_next() {
    for hashing in BOTH {
        let mut traffic = servers(hashing, 10);
        let first = traffic.pick(Some(77), &[]).endpoint().key;
        let again: BTreeSet<_> = (0..100)
            .map(|_| traffic.pick(Some(77), &[first]).endpoint().key)
            .collect();
        assert_eq!(again.len(), 1);
        assert!(!again.contains(&first));
    }
}

#[test]
fn a_session_that_fails_goes_where_it_would_go_were_its_endpoint_gone() {
    let mut traffic = servers(Hashing::RING, 10);
    let before = sessions(&mut traffic);
    let hashes = (0..SESSIONS).map(|session| stable_hash(&session));
    let next: Vec<_> = hashes
        .zip(&before)
        .map(|(hash, first)| traffic.pick(Some(hash), &[*first]).endpoint().key)
        .collect();
    for gone in 0..10 {
        traffic.apply(vec![Change::Remove(gone)]);
        let after = sessions(&mut traffic);
        for session in (0..SESSIONS).filter(|session| before[*session] == gone) {
            assert_eq!(next[session], after[session]);
        }
        traffic.apply(vec![Change::Put(server(gone, 1))]);
    }
}

#[test]
fn requests_without_a_session_are_spread() {
    for hashing in BOTH {
        let shares = servers(hashing, 10).one_by_one(SESSIONS);
        assert_eq!(shares.len(), 10);
    }
}
