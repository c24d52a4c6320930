//! Numbers from a number: one random `u64` that is handed in serves every draw of a pick, and a
//! hash is the same in every process, so that all replicas of a waypoint lead a session to one
//! endpoint.

use std::hash::{Hash, Hasher};

/// 2^64 divided by the golden ratio.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream; the same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to `bound`, without it; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        part_of(bound, self.any())
    }
}

/// So much of `whole` as `number` is of 2^64.
pub(crate) fn part_of(whole: u64, number: u64) -> u64 {
    let scaled = (u128::from(number) * u128::from(whole)) >> 64;
    u64::try_from(scaled).unwrap_or_default()
}

/// A hash that is the same in every process: for keys of endpoints, and for what of a request
/// decides where it goes.
pub fn stable_hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    value.hash(&mut hasher);
    hasher.finish()
}

/// FNV-1a, mixed at the end: alone it leaves the high bits of short inputs much alike.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        Random(self.0).any()
    }
}
