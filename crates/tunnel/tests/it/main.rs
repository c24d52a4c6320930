//! What only a process of its own can show: memory.
#![expect(clippy::unwrap_used, reason = "a test")]

mod memory;
