//! Who is behind the address of a client. Workloads that the waypoint does not front are not told
//! by themselves: they are asked for when one of them first calls.
//!
//! Nothing is decided by what is found, which is for logs and metrics: a client is who its
//! certificate says. So a call waits for it briefly, and goes on without; who calls after that time
//! does not wait again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_model::Workload;
use ambit_uplink::Want;
use ambit_wire::encode::alias;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::follow::Kind;
use crate::view::View;

/// How long a call waits to learn who calls.
const PATIENCE: Duration = Duration::from_millis(500);
/// Addresses that are asked for at once; further callers go without a name.
const MOST: usize = 10_000;
/// An address that has not called for so long is no longer asked for.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// While one is kept, the address that it was given for goes on being asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence(Arc<()>);

/// An address that is asked for.
#[derive(Debug)]
struct Asked {
    /// Until when calls wait to learn of it.
    until: Instant,
    /// When it called last.
    last: Instant,
    presence: Presence,
}

/// Asks for callers.
#[derive(Debug)]
pub(crate) struct Callers {
    wants: mpsc::Sender<Want<Kind>>,
    asked: Mutex<HashMap<IpAddr, Asked>>,
    views: watch::Receiver<Arc<View>>,
}

impl Callers {
    /// Asks by `wants`, and sees what comes in `views`.
    pub(crate) fn new(wants: mpsc::Sender<Want<Kind>>, views: watch::Receiver<Arc<View>>) -> Self {
        Self {
            wants,
            asked: Mutex::default(),
            views,
        }
    }

    /// The workload with this address, if that can be learnt soon.
    pub(crate) async fn find(&self, address: IpAddr) -> (Option<Arc<Workload>>, Option<Presence>) {
        let address = address.to_canonical();
        let known = |view: &Arc<View>| view.mesh.workloads_at(address).next().cloned();
        // Also who is known already: perhaps it is known only for as long as it is asked for.
        let asked = self.ask(address);
        if let Some(known) = known(&self.views.borrow()) {
            return (Some(known), asked.map(|(presence, _)| presence));
        }
        let Some((presence, until)) = asked else {
            return (None, None);
        };
        let mut views = self.views.clone();
        let seen = views.wait_for(|view| known(view).is_some());
        let seen = tokio::time::timeout_at(until.into(), seen).await;
        let workload = seen.ok().and_then(Result::ok).and_then(|seen| known(&seen));
        (workload, Some(presence))
    }

    /// Lets go of addresses that have not called for long, and have nothing open. While the line is
    /// full that is left for the next time.
    pub(crate) fn forget(&self) {
        let now = clock::now();
        let room = self.wants.try_reserve().ok();
        let mut gone = Vec::new();
        let mut asked = self.asked.lock();
        asked.retain(|address, asked| {
            let is_present = Arc::strong_count(&asked.presence.0) > 1;
            if is_present {
                asked.last = now;
            }
            let keep = room.is_none() || now.duration_since(asked.last) < FORGOTTEN;
            if !keep {
                gone.push(alias("", *address));
            }
            keep
        });
        if let Some(room) = room
            && !gone.is_empty()
        {
            // Under the lock: who calls again now is asked for after this, not before.
            room.send(Want {
                kind: Kind::Address,
                ask: Vec::new(),
                leave: gone,
            });
        }
    }

    fn note(&self, address: IpAddr) -> Option<(Presence, Instant)> {
        let mut asked = self.asked.lock();
        let asked = asked.get_mut(&address)?;
        asked.last = clock::now();
        Some((asked.presence.clone(), asked.until))
    }

    /// What keeps the address asked for, now or already, and until when to wait for it; `None` if it
    /// is not.
    fn ask(&self, address: IpAddr) -> Option<(Presence, Instant)> {
        if let Some(noted) = self.note(address) {
            return Some(noted);
        }
        let mut asked = self.asked.lock();
        if asked.len() >= MOST {
            return None;
        }
        let want = Want {
            kind: Kind::Address,
            ask: vec![alias("", address)],
            leave: Vec::new(),
        };
        self.wants.try_send(want).ok()?;
        let asked = asked.entry(address).or_insert_with(|| Asked {
            until: clock::now() + PATIENCE,
            last: clock::now(),
            presence: Presence::default(),
        });
        Some((asked.presence.clone(), asked.until))
    }
}

#[cfg(test)]
mod tests;
