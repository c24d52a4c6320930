//! Simulations: by a clock that moves only when told, and by numbers from fixed seeds.
#![expect(clippy::unwrap_used, reason = "tests")]

mod retries;
