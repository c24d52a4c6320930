//! Hosts outside of the mesh: their names and addresses.
//!
//! An endpoint that has a host name in place of addresses stands for all that the name leads to:
//! [`names`] resolves it in the background, and the view has an endpoint for each address
//! (`view/named.rs`), so that they are balanced, tried again and ejected like all others.
//!
//! A service whose name has a `*` stands for hosts that clients name: [`asked`].
//! Where a DestinationRule says so, [`tls`] is begun with them.
//!
//! Whoever writes the records of a name would decide where the waypoint connects to. So [`address`] says
//! where no name leads.

pub(crate) mod address;
pub(crate) mod asked;
mod host;
pub(crate) mod names;
pub(crate) mod tls;
