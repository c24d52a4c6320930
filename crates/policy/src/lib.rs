//! Authorization of requests: whether a policy matches one, and by which of its rules. What that means for the
//! request, beside all other policies of its destination, is decided in `ambit_decide::before_routing` and
//! `ambit_decide::at_waypoint`.
//!
//! What a policy matches is said in [`ambit_model::RequestPolicy`]. What is not there has no value: no
//! positive value of a field holds for it, hence every `not…` list does. A client in plaintext has no
//! identity, a request without a token no claims, and an empty text is no value for `*`.
//!
//! **Paths** come in the waypoint's normal form (`ambit_route::normalize`) and without the query.
//! `%2F` is in them as it was sent, and no slash. The templates `{*}` and `{**}` stand for any
//! characters, also those that a template itself must not have.
//!
//! **Hosts** are compared without regard to case. A host with a port also meets values that its name
//! alone meets; a value with a port is met by no host without one. A dot at the end is part of the name for what allows, and
//! is none for what refuses.
//!
//! **Headers** have names in any case and values with it. Of several lines of one name nobody knows which the
//! application takes: a value that allows must be met by each of them, one that refuses is met by any of them,
//! and by all of them joined by commas; in `notValues` it is the other way round. `host` is the host that was asked for, in HTTP/2 too. Pseudo-headers such as
//! `:path` are out of reach: what a rule with one means to judge is not what is routed.
//!
//! **Connections that are not HTTP** are judged by the same policies. A rule of ALLOW that asks anything
//! about a request (hosts, methods, paths, headers, tokens) does not match; in DENY and AUDIT such
//! fields are taken to hold, and the others decide.
//!
//! **What cannot be evaluated** never opens a door: a rule that has it (marked as
//! [unsupported](ambit_model::RequestRule::unsupported), an entry that names nothing, a condition
//! without values, a header that cannot be) never matches within ALLOW and always does within DENY and
//! AUDIT.
//!
//! Everything here is a pure function of plain values. A [`Policy`] is compiled once; asking it allocates
//! nothing, unless a header has several lines or a host a dot at its end.

mod attributes;
mod claims;
mod index;
mod policy;
mod rule;
mod template;
mod test;
mod text;

pub use attributes::{Attributes, Headers, Request, joined};
pub use claims::Claims;
pub use policy::Policy;

#[cfg(test)]
mod tests;
