//! Probes of a destination rule on connections that are silent: what the kernel of the waypoint's host can
//! be asked for.
//!
//! They are for sockets that the waypoint opens for the service alone. A tunnel to an agent is shared by
//! all services of a pod, and has PINGs of the mesh's own that find a peer that is gone sooner.

use std::time::Duration;

use ambit_model::Keepalive;

use super::findings::Notes;
use super::tls::Towards;
use crate::config::objects::destination_rule::policy::Keepalive as Given;
use crate::config::objects::virtual_service::values::Span;

/// Longest time before the first probe, and between two: Linux's.
const LONGEST: Duration = Duration::from_secs(32_767);
/// Most probes: Linux's.
const MOST: u32 = 127;

/// In the model's terms: whole seconds, and nothing that the kernel refuses. What is 0 is as if it were
/// not there.
pub(super) fn keepalive(given: &Given) -> Keepalive {
    let span = |span: Option<Span>| {
        let length = span?.limit()?.min(LONGEST);
        let is_whole = length.subsec_nanos() == 0;
        let seconds = length.as_secs() + u64::from(!is_whole);
        Some(Duration::from_secs(seconds))
    };
    Keepalive {
        probes: given
            .probes
            .filter(|probes| *probes > 0)
            .map(|probes| probes.min(MOST)),
        time: span(given.time),
        interval: span(given.interval),
    }
}

/// What of it is not followed as it is written.
pub(super) fn findings(field: &str, given: &Given, towards: Towards, notes: &mut Notes) {
    if towards == Towards::Mesh {
        let what = "holds for endpoints that take no tunnels: tunnels to the others are probed as the mesh \
                    has it, every 10 seconds";
        notes.warn(field.to_owned(), what, "leave it out");
    }
    for (name, span) in [("time", given.time), ("interval", given.interval)] {
        if span.is_some_and(|span| span.length() > LONGEST) {
            let what = "followed as 32767s, the longest that the kernel takes";
            notes.warn(format!("{field}.{name}"), what, "write no more than that");
        }
    }
    if given.probes.is_some_and(|probes| probes > MOST) {
        let what = "followed as 127, the most that the kernel takes";
        notes.warn(format!("{field}.probes"), what, "write no more than that");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn made(given: Value) -> Keepalive {
        keepalive(&serde_json::from_value(given).unwrap())
    }

    #[test]
    fn the_kernel_is_asked_for_what_it_takes() {
        let seconds = |count| Some(Duration::from_secs(count));
        let all = made(json!({"probes": 3, "time": "7200s", "interval": "75s"}));
        assert_eq!(
            (all.probes, all.time, all.interval),
            (Some(3), seconds(7200), seconds(75))
        );
        let odd = made(json!({"probes": 1000, "time": "1500ms", "interval": "100h"}));
        assert_eq!(
            (odd.probes, odd.time, odd.interval),
            (Some(127), seconds(2), seconds(32_767))
        );
        assert_eq!(
            made(json!({"probes": 0, "time": "0s"})),
            Keepalive::default()
        );
    }
}
