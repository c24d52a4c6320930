//! Scenarios on whole machines made of network namespaces; they need root.

mod lab;
mod programs;
