//! The CNI plugin of the mesh, and the code that keeps it in the node's network configuration.
//!
//! A pod is captured by the node agent; the plugin only makes the container runtime wait for it,
//! so that not even the first byte of an init container goes around the mesh. What happens at ADD,
//! in the order of the modules:
//! - [`spec`]: the configuration and the pod are read from stdin and environment
//! - [`namespaces`]: the node's list of enrolled namespaces is read, and [`namespaces::decide`]s
//! - [`agent`]: the node agent is asked to capture the pod
//! - [`plugin`]: all of this in order, and the other commands
//!
//! [`conflist`] and [`keeper`] are for the node agent, [`install`] for the init container that
//! brings the binary. Invariants: no async runtime, no name look-ups (the binary is static), every
//! wait has a limit, and a pod that is not of the mesh starts whether or not there is an agent.

pub mod agent;
pub mod conflist;
pub mod install;
pub mod keeper;
pub mod namespaces;
pub mod plugin;
mod replace;
pub mod spec;
