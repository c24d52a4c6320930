//! How many waypoints a request has come through, or a connection that is passed on as it is. Routes of
//! two services that lead to each other, each behind a waypoint of its own, would send it around for
//! ever; and a copy of it for each turn.
//!
//! One waypoint tells the next by a header, which nobody else is sent: of the request, or of the CONNECT
//! of the connection's own tunnel. A client may say what it likes there: the number can only make an end
//! of its own request sooner. That a request is a copy is believed of waypoints only, or else a client
//! could keep its requests from being copied.
//!
//! A waypoint is known by what the CONNECT of its tunnel says ([`is_of_waypoint`]). Only agents and
//! waypoints have keys to open a tunnel with; an agent says no such thing there, and what its pods send
//! is inside.

use ambit_decide::{Reason, Refusal};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::local::{Fault, Flag};
use crate::view::Destination;

/// Name of the header.
pub(crate) const NAME: &str = "x-ambit-hops";
const HOPS: HeaderName = HeaderName::from_static(NAME);
/// What a waypoint says of itself when it opens a tunnel, as Istio's do: name of the header, and value.
pub(crate) const SOURCE: (&str, &str) = ("x-istio-source", "waypoint");
/// What is said of a copy, behind the number.
const COPY: &str = "copy";
/// Waypoints that a request may come through.
const MOST: u32 = 10;

/// What a request has come through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hops {
    waypoints: u32,
    /// It is a copy that one of them made.
    pub(crate) is_copy: bool,
}

impl Hops {
    /// Takes what is told of a request out of its headers, by a waypoint or by anybody.
    pub(super) fn take(headers: &mut HeaderMap, by_waypoint: bool) -> Self {
        let mut hops = Self::default();
        let lines = headers.get_all(HOPS).iter();
        for line in lines.filter_map(|line| line.to_str().ok()) {
            for word in line.split([',', ' ']) {
                hops.is_copy |= by_waypoint && word == COPY;
                let told = word.parse().unwrap_or_default();
                hops.waypoints = hops.waypoints.max(told);
            }
        }
        headers.remove(HOPS);
        hops
    }

    /// The end of a request that has come through too many.
    pub(super) fn check(self) -> Result<(), Fault> {
        if self.waypoints < MOST {
            return Ok(());
        }
        let detail = in_a_circle(self.waypoints);
        Err(Fault::new(508, Flag::None, "too_many_hops", detail))
    }

    /// That of a copy.
    pub(super) fn of_copy(self) -> Self {
        Self {
            is_copy: true,
            ..self
        }
    }

    /// Tells the waypoint of a destination that is behind one.
    pub(super) fn tell(self, to: &Destination, headers: &mut HeaderMap) {
        if to.via.is_none() {
            return;
        }
        let waypoints = self.waypoints.saturating_add(1);
        let told = match self.is_copy {
            true => HeaderValue::try_from(format!("{waypoints} {COPY}")),
            false => Ok(HeaderValue::from(waypoints)),
        };
        if let Ok(told) = told {
            headers.insert(HOPS, told);
        }
    }
}

/// Whether who opens a tunnel is a waypoint, by what its CONNECT says of the source.
pub(crate) fn is_of_waypoint(source: Option<&str>) -> bool {
    source == Some(SOURCE.1)
}

/// How many waypoints a connection has come through, by what its CONNECT tells.
pub(crate) fn of_connection(told: Option<&str>) -> Result<u32, Refusal> {
    let waypoints = told.and_then(|told| told.parse().ok()).unwrap_or_default();
    match waypoints < MOST {
        true => Ok(waypoints),
        false => Err(Refusal::new(Reason::TooManyHops, in_a_circle(waypoints))),
    }
}

fn in_a_circle(waypoints: u32) -> String {
    format!("through {waypoints} waypoints: routes lead in a circle")
}

#[cfg(test)]
mod tests;
