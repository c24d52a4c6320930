//! A histogram of atomics: counting takes no lock, reading may find a value in the sum that is not
//! in a bucket yet.
//!
//! Bounds are Envoy's defaults, which Istio's histograms have, of times as of sizes. Values are
//! counted in whole parts of the exported unit, so that sums stay exact.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of all buckets but the last, which has none.
pub(crate) const BOUNDS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5,
    1.8e6, 3.6e6,
];

/// Counts of values by size; a value is exported as so many `PARTS` of one.
#[derive(Debug, Default)]
pub(crate) struct Histogram<const PARTS: u64> {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Bounds, and how many values are in the bucket below; not cumulative.
    pub(crate) buckets: [(f64, u64); BOUNDS.len() + 1],
    /// How many values there are in all buckets.
    pub(crate) count: u64,
    /// Sum of the values.
    pub(crate) sum: f64,
}

impl<const PARTS: u64> Histogram<PARTS> {
    /// Counts a value of so many parts.
    pub(crate) fn observe(&self, parts: u64) {
        let value = Self::exported(parts);
        let bucket = BOUNDS.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(parts, Ordering::Relaxed);
    }

    /// What has been counted until now.
    pub(crate) fn read(&self) -> Reading {
        let mut buckets = [(f64::INFINITY, 0); BOUNDS.len() + 1];
        for ((bucket, _), bound) in buckets.iter_mut().zip(BOUNDS) {
            *bucket = bound;
        }
        for ((_, count), counted) in buckets.iter_mut().zip(&self.buckets) {
            *count = counted.load(Ordering::Relaxed);
        }
        Reading {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum: Self::exported(self.sum.load(Ordering::Relaxed)),
        }
    }

    fn exported(parts: u64) -> f64 {
        parts as f64 / PARTS as f64
    }
}

#[cfg(test)]
mod tests;
