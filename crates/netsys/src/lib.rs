//! What the agent asks of the kernel: network namespaces, marked and transparent sockets,
//! descriptors passed between processes, limits, and the confinement of the agent's roles.
//!
//! The only crate of the workspace that may say `unsafe`; every other crate gets safe functions
//! from here. It knows nothing of pods, policies or tunnels, depends on no other ambit crate and
//! on no async runtime: descriptors come and go as `OwnedFd`, non-blocking where they are sockets.
#![expect(
    unsafe_code,
    reason = "system calls that no safe crate wraps; each block says why"
)]

pub mod confine;
pub mod conntrack;
pub mod limits;
pub mod namespace;
mod netlink;
pub mod passing;
pub mod process;
mod seccomp;
pub mod sock_diag;
pub mod sockets;

pub use namespace::NetNs;
