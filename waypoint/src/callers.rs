//! Who is behind the address of a client. Workloads that the waypoint does not front are not told
//! by themselves: they are asked for when one of them first calls.
//!
//! Nothing is decided by what is found of a client, which is for logs and metrics: a client is who its
//! certificate says. So a call waits for it briefly, and goes on without; who calls after that time
//! does not wait again.
//!
//! Where a host outside of the mesh is, the same is asked, to see that nobody of the mesh is there
//! ([`Callers::stands_at`]). The control plane says so at once, and nobody waits after that.

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
/// Addresses that are asked for at once, and how many of them for callers: further callers go without a name,
/// so that where hosts outside are can still be asked.
const MOST: (usize, usize) = (10_000, 8_000);
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
    /// The control plane has said that it knows of nobody there.
    nobody: bool,
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
        self.look(address, false).await
    }

    /// Learns who stands where a host outside of the mesh is, if somebody does; while the answer is kept,
    /// the view has whoever comes there.
    pub(crate) async fn stands_at(&self, address: IpAddr) -> Option<Presence> {
        self.look(address, true).await.1
    }

    /// A client may be so new that the control plane has not heard of it yet: for one the time is waited out.
    async fn look(
        &self,
        address: IpAddr,
        until_answered: bool,
    ) -> (Option<Arc<Workload>>, Option<Presence>) {
        let address = address.to_canonical();
        let known = |view: &Arc<View>| view.mesh.workloads_at(address).next().cloned();
        // Also who is known already: perhaps it is known only for as long as it is asked for.
        let most = if until_answered { MOST.0 } else { MOST.1 };
        let asked = self.ask(address, most);
        if let Some(known) = known(&self.views.borrow()) {
            return (Some(known), asked.map(|(presence, _)| presence));
        }
        let Some((presence, until)) = asked else {
            return (None, None);
        };
        let mut views = self.views.clone();
        let is_answered = |view: &View| view.is_of_a_service(address) || self.is_nobodys(address);
        let is_over = |view: &Arc<View>| until_answered && is_answered(view);
        let seen = views.wait_for(|view| known(view).is_some() || is_over(view));
        let seen = tokio::time::timeout_at(until.into(), seen).await;
        let workload = seen.ok().and_then(Result::ok).and_then(|seen| known(&seen));
        (workload, Some(presence))
    }

    /// Takes in what the control plane says is not there, before the view that has the rest of what it
    /// says: who waits for that looks then.
    pub(crate) fn gone(&self, names: &[Arc<str>]) {
        // Of all names only aliases of addresses begin so.
        let address = |name: &Arc<str>| name.strip_prefix('/')?.parse::<IpAddr>().ok();
        let mut addresses = names.iter().filter_map(address).peekable();
        if addresses.peek().is_none() {
            return;
        }
        let mut asked = self.asked.lock();
        for address in addresses {
            if let Some(asked) = asked.get_mut(&address) {
                asked.nobody = true;
            }
        }
    }

    fn is_nobodys(&self, address: IpAddr) -> bool {
        let asked = self.asked.lock();
        asked.get(&address).is_some_and(|asked| asked.nobody)
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
    fn ask(&self, address: IpAddr, most: usize) -> Option<(Presence, Instant)> {
        if let Some(noted) = self.note(address) {
            return Some(noted);
        }
        let mut asked = self.asked.lock();
        if asked.len() >= most {
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
            nobody: false,
        });
        Some((asked.presence.clone(), asked.until))
    }
}

#[cfg(test)]
mod tests;
