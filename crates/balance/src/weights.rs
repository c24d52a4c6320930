//! Weights in numbered slots, with the sums that it takes to find a slot by weight: a persistent tree
//! with the weights in its leaves and the sums of its children in every other node.
//!
//! The digits of a slot's number, to the base of [`WIDTH`], are the way to it. A change copies the
//! nodes on the way, if others share them, and a look-up reads as many: three of 10,000 slots.

use std::sync::Arc;

/// Children of a node. As many sums lie in four cache lines and are quickly gone through.
const WIDTH: usize = 32;

/// Weights by slot. None is 0, but for slots that were taken away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights {
    root: Arc<Node>,
    /// Of the root above the leaves.
    height: u32,
    len: usize,
    total: u64,
}

#[derive(Clone, Debug, Default)]
struct Node {
    sums: [u64; WIDTH],
    /// None in a leaf.
    children: Vec<Arc<Self>>,
}

impl Weights {
    /// The sum of all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Adds a slot at the end.
    pub(crate) fn push(&mut self, weight: u64) {
        if self.len == WIDTH.pow(self.height + 1) {
            let mut above = Node::default();
            above.put(0, self.total);
            above.children.push(Arc::clone(&self.root));
            (self.root, self.height) = (Arc::new(above), self.height + 1);
        }
        self.len += 1;
        self.set(self.len - 1, weight);
    }

    /// Takes the last slot away.
    pub(crate) fn pop(&mut self) {
        if let Some(last) = self.len.checked_sub(1) {
            self.set(last, 0);
            self.len = last;
        }
    }

    /// Changes the weight of a slot.
    pub(crate) fn set(&mut self, slot: usize, weight: u64) {
        self.total = Arc::make_mut(&mut self.root).set(self.height, slot, weight);
    }

    /// The slot that a position from 0 up to [`total`](Self::total) falls into if the weights are
    /// laid end to end.
    pub(crate) fn find(&self, position: u64) -> Option<usize> {
        let (mut node, mut slot, mut rest) = (&self.root, 0, position);
        loop {
            let (digit, inside) = node.find(rest)?;
            (slot, rest) = (slot * WIDTH + digit, inside);
            match node.children.get(digit) {
                Some(child) => node = child,
                None => return Some(slot),
            }
        }
    }
}

impl Node {
    /// Changes the weight of a slot beneath; says the sum of all that are.
    fn set(&mut self, height: u32, slot: usize, weight: u64) -> u64 {
        let digit = slot / WIDTH.pow(height) % WIDTH;
        let sum = match height.checked_sub(1) {
            None => weight,
            Some(below) => {
                if digit == self.children.len() {
                    self.children.push(Arc::default());
                }
                let child = self.children.get_mut(digit);
                child.map_or(0, |child| Arc::make_mut(child).set(below, slot, weight))
            }
        };
        self.put(digit, sum);
        self.sums.iter().sum()
    }

    fn put(&mut self, digit: usize, sum: u64) {
        if let Some(old) = self.sums.get_mut(digit) {
            *old = sum;
        }
    }

    /// Which child a position falls into, and where inside.
    fn find(&self, position: u64) -> Option<(usize, u64)> {
        let mut rest = position;
        for (digit, sum) in self.sums.iter().enumerate() {
            if rest < *sum {
                return Some((digit, rest));
            }
            rest -= sum;
        }
        None
    }
}

#[cfg(test)]
mod tests;
