//! What the old generation counts until its very end is in the new one's numbers.

use super::super::ledger::Family;
use super::*;

#[tokio::test]
async fn the_heir_has_everything_when_the_ancestor_ends() {
    let (old, new) = (Ledger::default(), Ledger::default());
    let (near, far) = tokio::io::duplex(64);
    let (first, arrived) = oneshot::channel();
    let ended = CancellationToken::new();
    old.count(Family::Opened, &[("reporter", "source")]);
    let telling = tokio::spawn(tell(near, old.clone(), || (), ended.clone()));
    let inheriting = tokio::spawn(inherit(far, new.clone(), first));
    arrived.await.unwrap();
    assert_eq!(new.total(Family::Opened), 1);
    old.count(Family::Opened, &[("reporter", "source")]);
    ended.cancel();
    telling.await.unwrap().unwrap();
    inheriting.await.unwrap().unwrap();
    assert_eq!(new.total(Family::Opened), 2);
}

#[tokio::test]
async fn garbage_from_an_ancestor_is_an_error() {
    let (first, _arrived) = oneshot::channel();
    inherit(&b"{]\n"[..], Ledger::default(), first)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn an_ancestor_that_makes_things_up_spoils_no_page() {
    let (first, _arrived) = oneshot::channel();
    let new = Ledger::default();
    let told = br#"[{"family":"Refusals","labels":[["reason","ok"]],"grown":1},
        {"family":"Refusals","labels":[["le}\n","x"]],"grown":1}]"#;
    let mut line: Vec<u8> = told.iter().copied().filter(|b| *b != b'\n').collect();
    line.push(b'\n');
    inherit(&line[..], new.clone(), first).await.unwrap();
    assert_eq!(new.total(Family::Refusals), 1);
}
