//! Tokens of requests (JSON Web Tokens, RFC 7519), as Istio's `RequestAuthentication` asks for them.
//!
//! [`Verifier::new`] is made once of the rules that apply to a service, and finds all that could be
//! wrong with them. [`Verifier::judge`] looks for tokens where the rules say, and answers with
//! [`Passed`]: whose they are ([`Claims`]) and what is to be changed of the request, or with a
//! [`Refusal`]. Neither does I/O, and the time is given.
//!
//! What is decided here. Most is as in Istio, whose proxy was asked; where it is laxer, this is not:
//!
//! - A request without a token passes, and has no claims. One with a token that is bad is refused,
//!   wherever else a good one stands. (There, a good one in the place of another rule is enough.)
//! - No rule sees two different tokens in one request: that is refused, since what is judged and what
//!   the application reads could differ. Rules that look in different places may each have one; the
//!   first of the rules, by issuer, says who calls, and policies are shown them all. (There, which
//!   of several counts is left open.)
//! - What is looked for in a header begins with the prefix, in whatever case. Something else, such as
//!   `Basic` credentials, is no token. (There, the prefix may stand anywhere, and its case matters.)
//! - A browser's question whether it may send a request (CORS) has no token and no claims, whatever
//!   stands in it.
//! - Headers that are made of claims are taken from every request first, so that nobody forges them.
//! - Keys and algorithms: those of [`KeySet`]. The algorithm must be one of the key; secrets shared
//!   with the issuer (HS256) are none, nor is `none`. What a token says to be critical is not known.
//! - Base64 and JSON are read strictly: there is one text for any bytes, and a name that stands twice
//!   in an object, or an object in too many others, is an error.
//! - 60 seconds of difference between clocks are allowed. A token that does not say when it ends does
//!   not; one that ended in 1970 did.
//!
//! A token that was found good is kept in a [`Cache`] under a keyed hash of it, of the rules that may
//! accept it and of their keys: when any of these changes, it is not found again.

mod algorithm;
mod audience;
mod base64url;
mod cache;
mod claims;
mod head;
mod json;
mod keys;
mod outputs;
mod passed;
mod places;
mod query;
mod refusal;
mod rule;
mod token;
mod verifier;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cache::{Cache, CacheCounts, NoRandomness};
pub use claims::Claims;
pub use head::Head;
pub use keys::{IgnoredKey, KeySet, KeySetError};
pub use passed::{NotRemoved, Passed};
pub use refusal::{Reason, Refusal};
pub use verifier::{KeyProblem, Unusable, Verifier};
