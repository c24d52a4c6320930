//! Simulations: traffic to sets of endpoints by a clock that moves only when told, and by numbers
//! from fixed seeds. What they assert of shares holds within four standard deviations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "tests"
)]

mod churn;
mod hashing;
mod load;
mod localities;
mod outliers;
mod retries;
mod scale;
mod shares;
mod slow_start;
mod traffic;
