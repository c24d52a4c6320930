//! Sessions: requests of one client that go to one endpoint, as GEP-1619 has them.
//!
//! A cookie or header names the endpoint by its [`EndpointTag`], a hash of an id of the endpoint,
//! turned by the session's name. Who reads it looks for the current endpoint that has this tag: a
//! client can choose among the endpoints that it could be given anyway, not an address, and is not
//! told about the cluster; what one session gave out means nothing in another. No key is needed.
//!
//! Where a session has an end, its beginning stands beside the tag, so that a shorter end holds at
//! once for sessions that have begun. A client may lie about that, and gets nothing by it but to
//! stay where it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_model::{SessionCarrier, SessionPersistence};
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};

use crate::cookie_path::sendable;
use crate::headers::{add, changeable, set};
use crate::problem::Problem;

/// How far the clocks of two waypoints may differ: a session that began later than this is none.
const SKEW: Duration = Duration::from_secs(60);

/// A checked session.
#[derive(Clone, Debug)]
pub struct Session {
    name: Arc<str>,
    header: HeaderName,
    by: SessionCarrier,
    absolute_timeout: Option<Duration>,
    /// Turns tags into values and back.
    turn: u128,
}

/// Stands for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointTag(u128);

impl EndpointTag {
    /// The tag of an endpoint. `id` is one that no other endpoint ever has, such as a pod's uid: an
    /// address comes back with another pod behind it.
    pub fn of(id: &str) -> Self {
        Self(hash(id))
    }
}

impl Session {
    /// Checks a session.
    ///
    /// # Errors
    ///
    /// If its name is not one of a cookie or header, or a cookie that is kept has no end.
    pub fn new(session: &SessionPersistence) -> Result<Self, Problem> {
        let endless = session.absolute_timeout.is_none();
        if session.by == SessionCarrier::PermanentCookie && endless {
            let why = "a permanent cookie needs an absolute time-out";
            return Err(Problem::new("session", &*session.name, why));
        }
        Ok(Self {
            name: Arc::clone(&session.name),
            header: changeable("session name", &session.name)?,
            by: session.by,
            absolute_timeout: session.absolute_timeout,
            turn: hash(&session.name),
        })
    }

    /// The tags that a request names, of sessions that have not ended. The first of a current
    /// endpoint counts: a client may send several cookies with one name.
    pub fn read<'s>(
        &'s self,
        headers: &'s HeaderMap,
        now: SystemTime,
    ) -> impl Iterator<Item = EndpointTag> + 's {
        let by_header = self.by == SessionCarrier::Header;
        let carrier = if by_header { &self.header } else { &COOKIE };
        let lines = headers.get_all(carrier).iter();
        let parts = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        let values = parts.filter_map(move |part| {
            if by_header {
                return Some(part);
            }
            let (name, value) = part.split_once('=')?;
            (name.trim() == &*self.name).then_some(value)
        });
        values.filter_map(move |value| self.parse(value.trim(), now))
    }

    /// Lets an answer begin a session with an endpoint. For a cookie, `path` is what requests of the
    /// session have in common, `secure` whether the client came by TLS.
    pub fn begin(
        &self,
        headers: &mut HeaderMap,
        tag: EndpointTag,
        now: SystemTime,
        path: &str,
        secure: bool,
    ) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut value = format!("{:032x}", tag.0 ^ self.turn);
        if self.absolute_timeout.is_some() {
            value.push_str(&format!("-{:x}", since.as_millis()));
        }
        if self.by == SessionCarrier::Header {
            if let Ok(value) = HeaderValue::try_from(value) {
                set(headers, &self.header, value);
            }
            return;
        }
        let path = sendable(path);
        let mut cookie = format!(
            "{}={value}; Path={path}; HttpOnly; SameSite=Strict",
            self.name
        );
        if secure {
            cookie.push_str("; Secure");
        }
        let kept = self.absolute_timeout;
        if let Some(kept) = kept.filter(|_| self.by == SessionCarrier::PermanentCookie) {
            let seconds = kept.as_millis().div_ceil(1000);
            cookie.push_str(&format!("; Max-Age={seconds}"));
        }
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            add(headers, &SET_COOKIE, cookie);
        }
    }

    fn parse(&self, value: &str, now: SystemTime) -> Option<EndpointTag> {
        let (tag, begun) = match value.split_once('-') {
            Some((tag, begun)) => (tag, Some(begun)),
            None => (value, None),
        };
        let tag = (tag.len() == 32).then(|| hexadecimal(tag)).flatten()?;
        if let Some(timeout) = self.absolute_timeout {
            let begun = u64::try_from(hexadecimal(begun?)?).ok()?;
            let begun = UNIX_EPOCH.checked_add(Duration::from_millis(begun))?;
            let lived = match now.duration_since(begun) {
                Ok(lived) => lived,
                Err(ahead) if ahead.duration() <= SKEW => Duration::ZERO,
                Err(_) => return None,
            };
            if lived >= timeout {
                return None;
            }
        }
        Some(EndpointTag(tag ^ self.turn))
    }
}

/// FNV-1a, 128 bits.
fn hash(text: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = (1 << 88) + 0x13b;
    text.bytes().fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

fn hexadecimal(text: &str) -> Option<u128> {
    // The parser would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests;
