//! A two-node mesh on one machine: nodes and pods are network namespaces, the links between them
//! veth pairs and bridges, the programs real ones.
//!
//! [`lab`] builds the wires, [`mesh`] runs the control plane and the node agents on them,
//! [`world`] is both with one namespace of pods, which is what most scenarios want. [`cluster`] is
//! apart from these: ambit on a real Kubernetes.
//! Everything made here is named `ambit-PID-…` and goes away when its owner is dropped; what a
//! killed run left behind is swept by the next one.

pub mod bench;
pub mod capture;
pub mod clients;
pub mod cluster;
pub mod envoy;
pub mod forge;
pub mod interrupt;
pub mod keepalive;
pub mod lab;
pub mod mesh;
pub mod peer;
pub mod process;
pub mod programs;
pub mod queries;
pub mod scripted;
pub mod servers;
pub mod shell;
pub mod stream;
pub mod team;
pub mod wait;
pub mod websocket;
pub mod world;
pub mod yaml;
