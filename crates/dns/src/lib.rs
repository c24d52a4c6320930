//! DNS as far as a mesh speaks it: what a pod asks, whether the mesh itself answers that, and what a
//! resolver says. Pure: bytes in, bytes out, no sockets and no clock.
//!
//! - [`question`]: a pod's packet is read; of one that cannot be, what is sent back
//! - [`answer`]: addresses of services, by the names that the client may see; all else is forwarded
//!   as it came
//! - [`reply`]: what a resolver answered: whether it is the answer to what was asked, and which
//!   addresses it gives
//! - [`wire`]: numbers and names in a packet
//!
//! Nothing of a packet is believed: it comes from an application, or from whoever can send to a
//! socket. Whatever is not understood is forwarded or refused, never guessed at.
//!
//! The messages that the mesh itself makes are few and small, and most bytes pass untouched; so there
//! is no library here, but four files.

pub mod answer;
#[cfg(test)]
mod fixtures;
pub mod question;
pub mod reply;
pub mod wire;

pub use answer::{Answer, Families, TTL, Transport};
pub use question::{Query, Unreadable};
pub use reply::{Reply, ask};

/// An address of IPv4.
pub const A: u16 = 1;
/// An address of IPv6.
pub const AAAA: u16 = 28;
/// Another name of the same.
pub(crate) const CNAME: u16 = 5;
/// How to connect (RFC 9460).
pub(crate) const SVCB: u16 = 64;
/// The same for HTTP.
pub(crate) const HTTPS: u16 = 65;
/// What a client says of itself beside its question (RFC 6891).
pub(crate) const OPT: u16 = 41;
/// The Internet.
pub(crate) const IN: u16 = 1;

/// The resolver cannot answer now.
pub const SERVFAIL: u8 = 2;
/// The question cannot be read.
pub const FORMERR: u8 = 1;
