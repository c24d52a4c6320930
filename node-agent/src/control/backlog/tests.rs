//! What a reader is told, and what not.

use ambit_wire::delta::Received;
use bytes::Bytes;

use super::*;

fn received(name: &str, version: &str) -> Received {
    Received {
        name: name.into(),
        version: version.into(),
        body: Bytes::from(version.to_owned()),
    }
}

fn model(policies: &[&str], addresses: &[&str]) -> Model {
    let mut model = Model {
        complete: true,
        ..Model::default()
    };
    for name in policies {
        model.put(Kind::Policy, &received(name, "1"));
    }
    for name in addresses {
        model.put(Kind::Address, &received(name, "1"));
    }
    model
}

fn names(resources: &[ambit_wire::node::NamedResource]) -> Vec<&str> {
    resources.iter().map(|r| r.name.as_str()).collect()
}

#[test]
fn a_new_reader_is_told_everything_policies_first_and_completeness_last() {
    let models = ArcSwap::from_pointee(model(&["p1", "p2"], &["a1", "a2", "a3"]));
    let backlog = Backlog::all_of(&models.load(), 7);
    let first = backlog.take(3, &models);
    assert_eq!(names(&first.resources.policies), ["p1", "p2"]);
    assert_eq!(names(&first.resources.addresses), ["a1"]);
    assert!(first.more && !first.is_caught_up());
    let second = backlog.take(3, &models);
    assert_eq!(names(&second.resources.addresses), ["a2", "a3"]);
    assert!(!second.more && second.complete);
    assert_eq!(second.through, 7);
}

#[test]
fn a_slow_reader_gets_the_newest_state_once() {
    let models = ArcSwap::from_pointee(Model::default());
    let backlog = Backlog::default();
    for (through, version) in [(1, "1"), (2, "2"), (3, "3")] {
        let mut next = (**models.load()).clone();
        next.put(Kind::Address, &received("a", version));
        models.store(Arc::new(next));
        backlog.mark(through, [Mark::Resource(Kind::Address, "a".into())]);
    }
    let batch = backlog.take(10, &models);
    assert_eq!(batch.resources.addresses.len(), 1);
    assert_eq!(batch.resources.addresses[0].version, "3");
    assert_eq!(batch.through, 3);
    assert!(!backlog.take(10, &models).needs_answer(), "nothing is left");
}

#[test]
fn what_is_gone_by_now_is_told_as_removed() {
    let models = ArcSwap::from_pointee(model(&[], &[]));
    let backlog = Backlog::default();
    backlog.mark(1, [Mark::Resource(Kind::Policy, "p".into())]);
    backlog.mark(2, [Mark::Resource(Kind::Address, "a".into())]);
    let batch = backlog.take(10, &models);
    assert_eq!(batch.resources.removed_policies, ["p"]);
    assert_eq!(batch.resources.removed_addresses, ["a"]);
}

#[test]
fn an_identity_that_left_and_came_back_is_not_forgotten() {
    let id = SpiffeId::from_parts("cluster.local", "shop", "web");
    let mut known = model(&[], &[]);
    known.certificates.insert(id.clone(), Arc::default());
    let models = ArcSwap::from_pointee(known);
    let backlog = Backlog::default();
    backlog.mark(1, [Mark::Forget(id.clone())]);
    backlog.mark(2, [Mark::Certificate(id)]);
    let batch = backlog.take(10, &models);
    assert_eq!((batch.forget.len(), batch.certificates.len()), (0, 1));
}

#[tokio::test]
async fn a_mark_made_before_the_wait_is_not_missed() {
    let backlog = Backlog::default();
    backlog.mark(1, [Mark::Status]);
    backlog.wait().await;
}
