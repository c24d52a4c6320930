//! Maglev's table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer",
//! section 3.4): every endpoint prefers the entries in an order of its own, and in turns each takes
//! the first of its order that is free, or several by its weight. Making it costs O(entries).

use super::Entrant;
use crate::random::Random;
use crate::settings::Hashing;

/// Slots by hash.
#[derive(Debug)]
pub(crate) struct Maglev {
    pub(super) entries: Vec<usize>,
}

/// An endpoint at its turns.
struct Taker {
    slot: usize,
    weight: u64,
    /// Weight that it has not taken an entry for yet.
    owed: u64,
    /// Where it looks next, and how far on from there.
    next: usize,
    skip: usize,
}

impl Maglev {
    /// A table of so many entries, raised to a prime number.
    pub(super) fn new(size: usize, entrants: &[Entrant]) -> Self {
        if entrants.is_empty() {
            return Self {
                entries: Vec::new(),
            };
        }
        let size = prime_from(size);
        let mut takers: Vec<_> = entrants.iter().map(|e| Taker::new(e, size)).collect();
        let portion = portion(entrants);
        let mut entries = vec![None; size];
        let mut free = size;
        while free > 0 {
            for taker in &mut takers {
                let due = taker.due(portion).min(free);
                (0..due).for_each(|_| taker.take(&mut entries));
                free -= due;
            }
        }
        Self {
            entries: entries.into_iter().flatten().collect(),
        }
    }

    /// The entry that a hash leads to.
    pub(super) fn position(&self, hash: u64) -> usize {
        let entry = u64::try_from(self.entries.len())
            .ok()
            .and_then(|size| hash.checked_rem(size));
        entry
            .and_then(|entry| usize::try_from(entry).ok())
            .unwrap_or_default()
    }
}

impl Taker {
    fn new(entrant: &Entrant, size: usize) -> Self {
        let mut numbers = Random::new(entrant.hash);
        let mut below = |bound: usize| {
            let number = numbers.below(u64::try_from(bound).unwrap_or(u64::MAX));
            usize::try_from(number).unwrap_or_default()
        };
        Self {
            slot: entrant.slot,
            weight: entrant.weight,
            owed: 0,
            next: below(size),
            skip: below(size - 1) + 1,
        }
    }

    /// How many entries it takes in this turn.
    fn due(&mut self, portion: u64) -> usize {
        self.owed += self.weight;
        let due = self.owed / portion;
        self.owed -= due * portion;
        usize::try_from(due).unwrap_or(usize::MAX)
    }

    /// Takes the first entry of its order that is free; there must be one.
    fn take(&mut self, entries: &mut [Option<usize>]) {
        let size = entries.len();
        loop {
            let entry = entries.get_mut(self.next);
            self.next = (self.next + self.skip) % size;
            match entry {
                Some(Some(_)) => {}
                Some(free) => {
                    *free = Some(self.slot);
                    return;
                }
                None => return,
            }
        }
    }
}

/// The weight that an entry is taken for in a turn: the mean, so that turns are few however unequal
/// the weights are; as a power of two, which seldom changes as endpoints come and go.
fn portion(entrants: &[Entrant]) -> u64 {
    let total: u64 = entrants.iter().map(|entrant| entrant.weight).sum();
    let mean = u64::try_from(entrants.len()).map_or(1, |count| total / count.max(1));
    1 << mean.checked_ilog2().unwrap_or_default()
}

/// The first prime number from here on, of the sizes that a table may have. With a prime number of
/// entries every step width leads through all of them.
fn prime_from(size: usize) -> usize {
    let size = size.clamp(2, Hashing::LARGEST_TABLE);
    let mut primes = (size..=Hashing::LARGEST_TABLE).filter(|number| is_prime(*number));
    primes.next().unwrap_or(Hashing::LARGEST_TABLE)
}

fn is_prime(number: usize) -> bool {
    let roots = (2..).take_while(|root| root * root <= number);
    number > 1 && roots.into_iter().all(|root| !number.is_multiple_of(root))
}
