//! Scenarios on whole machines made of network namespaces; they need root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail a test as tests do"
)]

mod bad_input;
mod calls;
mod demo;
mod enrolment;
mod failures;
mod firewalls;
mod interop;
mod lab;
mod leaks;
mod load;
mod policy;
mod programs;
mod refusals;
mod rotation;
mod stray_packets;
mod support;
