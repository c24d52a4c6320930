//! One of several by weight.

/// One of some items, each with the probability of its share of all weights. `None` if no weight is
/// above 0. `random` is any number, evenly distributed.
pub fn choose<T>(items: &[T], weight: impl Fn(&T) -> u32, random: u64) -> Option<&T> {
    let total: u64 = items.iter().map(|item| u64::from(weight(item))).sum();
    let mut lot = below(total, random);
    items.iter().find(|item| {
        let weight = u64::from(weight(item));
        let hit = lot < weight;
        lot = lot.saturating_sub(weight);
        hit
    })
}

/// A number from 0 up to `bound`, without it; 0 if `bound` is 0.
pub(crate) fn below(bound: u64, random: u64) -> u64 {
    let scaled = (u128::from(random) * u128::from(bound)) >> 64;
    u64::try_from(scaled).unwrap_or_default()
}

#[cfg(test)]
mod tests;
