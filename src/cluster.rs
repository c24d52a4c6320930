//! What the control plane does with the API server beside reading the configuration.
//!
//! | file | what |
//! |---|---|
//! | `token_review.rs` | asks whose a token is |
//!
//! Invariants: nothing outside these files and the source of the configuration knows a type of
//! the API client; every question is bounded in time; what must not be wrong is decided elsewhere,
//! by machines without I/O that these files drive.

pub mod token_review;
