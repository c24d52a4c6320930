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
    let telling = tokio::spawn(tell(
        near,
        old.clone(),
        Connections::default(),
        ended.clone(),
    ));
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
