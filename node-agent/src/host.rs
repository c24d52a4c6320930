//! The host role: the only part of the mesh with power over a node, and the smallest.
//!
//! It enters pods' network namespaces to redirect their traffic, owns every listening socket,
//! makes every socket that must live in a pod, and starts the other two roles. In the order in
//! which a pod meets it:
//! - `cni_config`, `cni_list`: the container runtime asks for it, by the plugin in the node's
//!   network configuration and the list that the plugin goes by
//! - `agent_socket`, `api`, `names`, `cni_requests`: a request arrives and is checked
//! - `roster`, `find`, `reconcile`: or the control plane says which pods are to be captured
//! - `enrol`, `pods`: the pod is admitted to the table
//! - `listeners`, `proxies`, `generations`: it gets listeners, a proxy accepts on them
//! - `rules`, `firewall`, `written`: its new connections are redirected
//! - `capture_dns`, `resolvers`: its questions about names are, too
//! - `filters`: by one of the packet filters that this kernel has
//! - `older`: connections that are older are counted
//! - `sockets`, `allowance`: its proxy gets outgoing sockets
//! - `probes`: its proxy learns which flows are the kubelet's
//! - `release`, `vanished`: its traffic is direct again, or it is gone
//! - `leave`: the mesh leaves the node
//! - `kept`, `restore`, `handover`: how pods outlive this process
//! - `args`, `role`, `ready`: how the role itself begins and ends
//!
//! Invariants: no byte of a workload is read here, nothing here decides about a connection, and
//! the role's own threads stay in the node's namespace but for short work on threads that end.

mod addresses;
mod agent_socket;
mod allowance;
pub mod api;
mod args;
mod capture_dns;
mod child;
pub mod client;
mod cni_config;
mod cni_list;
mod cni_requests;
mod control;
mod counters;
mod enrol;
mod filters;
mod find;
mod firewall;
mod generations;
mod handover;
mod kept;
mod leave;
mod listeners;
pub mod names;
mod older;
mod pods;
mod probes;
mod proxies;
pub mod ready;
mod reconcile;
mod release;
mod resolvers;
mod restarts;
mod restore;
mod role;
mod roster;
mod rules;
mod sockets;
mod state;
#[cfg(test)]
mod testing;
mod vanished;
mod watch;
mod written;

pub use args::HostArgs;
pub use role::run;
