use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::{Node, Weights};

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Pop,
    Set(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let weight = || prop_oneof![1..5_u64, 1..=u64::from(u32::MAX)];
    prop_oneof![
        3 => weight().prop_map(Step::Push),
        1 => Just(Step::Pop),
        2 => (any::<usize>(), weight()).prop_map(|(slot, weight)| Step::Set(slot, weight)),
    ]
}

fn take(step: &Step, weights: &mut Weights, plain: &mut Vec<u64>) {
    match *step {
        Step::Push(weight) => {
            weights.push(weight);
            plain.push(weight);
        }
        Step::Pop => {
            weights.pop();
            plain.pop();
        }
        Step::Set(slot, weight) if !plain.is_empty() => {
            let slot = slot % plain.len();
            weights.set(slot, weight);
            plain[slot] = weight;
        }
        Step::Set(..) => {}
    }
}

proptest! {
    /// Around the sizes at which the tree becomes higher, and some more.
    #[test]
    fn every_position_is_found(
        first in select(vec![0, 1, 30, 100, 1020, 1500]),
        steps in vec(step(), 0..60),
    ) {
        let (mut weights, mut plain) = (Weights::default(), Vec::new());
        for weight in 1..=first {
            take(&Step::Push(weight), &mut weights, &mut plain);
        }
        for step in &steps {
            take(step, &mut weights, &mut plain);
        }
        let mut start = 0;
        for (slot, weight) in plain.iter().enumerate() {
            assert_eq!(weights.find(start), Some(slot));
            assert_eq!(weights.find(start + weight - 1), Some(slot));
            start += weight;
        }
        assert_eq!((weights.total(), weights.find(start)), (start, None));
    }
}

/// Nodes of one tree that are not in the other.
fn own(node: &Arc<Node>, other: Option<&Arc<Node>>) -> usize {
    if other.is_some_and(|other| Arc::ptr_eq(node, other)) {
        return 0;
    }
    let children = node.children.iter().enumerate();
    let beneath =
        children.map(|(digit, child)| own(child, other.and_then(|o| o.children.get(digit))));
    1 + beneath.sum::<usize>()
}

#[test]
fn a_change_of_ten_thousand_copies_three_nodes() {
    let mut weights = Weights::default();
    (0..10_000).for_each(|_| weights.push(1));
    for slot in (0..10_000).step_by(777) {
        let mut next = weights.clone();
        next.set(slot, 5);
        assert_eq!(own(&next.root, Some(&weights.root)), 3);
        assert_eq!((next.total(), weights.total()), (10_004, 10_000));
    }
}
