//! Who is behind an address: that of a client, or one to which a host outside of the mesh leads.
//! Workloads that the waypoint does not front, and services that no route of its leads to, are not told by
//! themselves: they are asked for when one of them first calls, or a name first leads there.
//!
//! Of a client nothing is decided by what is found, which is for logs and metrics: a client is who its
//! certificate says. So a call waits for it briefly, and goes on without; who calls after that time
//! does not wait again.
//!
//! An address outside of the mesh is gone to only if nobody of the mesh is there. Silence does not say
//! that, nor does what is told of an address: anybody may write an entry that names it. The control plane says of
//! each address that it is asked for that all who are there have been told ([`Callers::heard`]), and tells from then
//! on what changes. While it is away what it has said holds, and
//! where it has said nothing nobody goes ([`Callers::outside`]).

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_model::Workload;
use ambit_uplink::Want;
use ambit_wire::encode::alias;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use crate::follow::Kind;
use crate::outside::{asked, names};
use crate::view::View;

/// How long a call waits to learn who calls, and whether an address is outside of the mesh.
const PATIENCE: Duration = Duration::from_millis(500);
/// Addresses of clients that are asked for at once; further callers go without a name.
const MOST: usize = 10_000;
/// The same of addresses outside of the mesh; for a further one another goes that is not in use.
const MOST_OUTSIDE: usize = 70_000;
/// Whatever names lead to, and whoever writes them, there is room for more, such as what raw connections go to.
const _: () = assert!(MOST_OUTSIDE > (names::MOST + asked::MOST) * names::MOST_ADDRESSES);
/// After so long without an answer an address is asked for again, when somebody wants to go there.
const AGAIN: Duration = Duration::from_secs(5);
/// An address that has not called for so long is no longer asked for.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// While one is kept, the address that it was given for goes on being asked for.
#[derive(Clone, Debug)]
pub(crate) struct Presence(#[expect(dead_code, reason = "only its end is seen")] Arc<Kept>);

/// Somebody has use of an address.
#[derive(Debug)]
struct Kept {
    address: IpAddr,
    purpose: Purpose,
    unused: Arc<Unused>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.purpose == Purpose::Outside {
            self.unused.0.lock().insert(self.address);
        }
    }
}

/// Addresses outside of the mesh that nobody has use of. One may stand here that is in use again.
#[derive(Debug, Default)]
struct Unused(Mutex<BTreeSet<IpAddr>>);

/// What an address is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To tell who calls.
    Caller,
    /// To know that nobody of the mesh is there.
    Outside,
}

/// An address that is asked for.
#[derive(Debug)]
struct Asked {
    purpose: Purpose,
    /// Until when calls wait to learn of it.
    until: Instant,
    /// When the control plane was asked last.
    since: tokio::time::Instant,
    /// Whether it has answered: whoever is there is in the view.
    answered: bool,
    /// When it called last.
    last: Instant,
    kept: Weak<Kept>,
}

/// All of them.
#[derive(Debug, Default)]
struct Addresses {
    all: HashMap<IpAddr, Asked>,
    /// How many of them are outside of the mesh, by what they are asked for.
    outside: usize,
    /// Those that may go for further ones.
    unused: Arc<Unused>,
}

/// Asks who is where. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    wants: mpsc::Sender<Want<Kind>>,
    asked: Arc<Mutex<Addresses>>,
    views: watch::Receiver<Arc<View>>,
    /// Told when there are answers.
    answers: Arc<Notify>,
}

impl Callers {
    /// Asks by `wants`, and sees what comes in `views`.
    pub(crate) fn new(wants: mpsc::Sender<Want<Kind>>, views: watch::Receiver<Arc<View>>) -> Self {
        Self {
            wants,
            asked: Arc::default(),
            views,
            answers: Arc::default(),
        }
    }

    /// The workload with this address, if that can be learnt soon.
    pub(crate) async fn find(&self, address: IpAddr) -> (Option<Arc<Workload>>, Option<Presence>) {
        let address = address.to_canonical();
        let known = || {
            let view = self.views.borrow();
            view.mesh.workloads_at(address).next().cloned()
        };
        // Also who is known already: perhaps it is known only for as long as it is asked for.
        let asked = self.ask(address, Purpose::Caller);
        if let Some(known) = known() {
            return (Some(known), asked.map(|(presence, _)| presence));
        }
        let Some((presence, until)) = asked else {
            return (None, None);
        };
        // It may be so new that the control plane has not heard of it yet: that nobody is there is no answer.
        let is_known = |view: &Arc<View>| view.mesh.workloads_at(address).next().is_some();
        let mut views = self.views.clone();
        let seen = views.wait_for(is_known);
        // Whichever comes first.
        tokio::time::timeout_at(until.into(), seen).await.ok();
        (known(), Some(presence))
    }

    /// What keeps it known who is at an address outside of the mesh; `None` while that is not known, which
    /// is waited for a moment. Who is there, if anybody is, stands in the view.
    pub(crate) async fn outside(&self, address: IpAddr) -> Option<Presence> {
        let address = address.to_canonical();
        let (presence, _) = self.ask(address, Purpose::Outside)?;
        let until = tokio::time::Instant::now() + PATIENCE;
        self.answer(address, until).await.then_some(presence)
    }

    /// What keeps it asked for who is at an address outside of the mesh, whether it is known or not; `None`
    /// where there is no room.
    pub(crate) fn keep_outside(&self, address: IpAddr) -> Option<Presence> {
        let asked = self.ask(address.to_canonical(), Purpose::Outside);
        asked.map(|(presence, _)| presence)
    }

    /// The control plane has answered for these addresses: what it has said of them is in force.
    pub(crate) fn heard(&self, addresses: impl Iterator<Item = IpAddr>) {
        let mut any = false;
        let mut asked = self.asked.lock();
        for address in addresses {
            if let Some(asked) = asked.all.get_mut(&address.to_canonical()) {
                any |= !asked.answered;
                asked.answered = true;
            }
        }
        drop(asked);
        if any {
            self.answers.notify_waiters();
        }
    }

    /// Lets go of addresses that have not called for long, and have nothing open. While the line is
    /// full that is left for the next time.
    pub(crate) fn forget(&self) {
        let now = clock::now();
        let room = self.wants.try_reserve().ok();
        let mut gone = Vec::new();
        let mut addresses = self.asked.lock();
        let Addresses {
            all,
            outside,
            unused,
        } = &mut *addresses;
        all.retain(|address, asked| {
            if asked.is_kept() {
                asked.last = now;
            }
            let keep = room.is_none() || now.duration_since(asked.last) < FORGOTTEN;
            if !keep {
                gone.push(alias("", *address));
                if asked.purpose == Purpose::Outside {
                    *outside -= 1;
                    unused.0.lock().remove(address);
                }
            }
            keep
        });
        if let Some(room) = room
            && !gone.is_empty()
        {
            // Under the lock: who calls again now is asked for after this, not before.
            room.send(want(Vec::new(), gone));
        }
    }

    /// Waits for an answer, until then; whether there is one.
    async fn answer(&self, address: IpAddr, until: tokio::time::Instant) -> bool {
        let answered = async {
            loop {
                // Made before it is looked: what comes in between counts.
                let next = self.answers.notified();
                if self.is_answered(address) {
                    return;
                }
                next.await;
            }
        };
        let answered = tokio::time::timeout_at(until, answered).await;
        answered.is_ok()
    }

    /// Whether somebody has use of an address.
    #[cfg(test)]
    pub(crate) fn is_kept(&self, address: IpAddr) -> bool {
        let asked = self.asked.lock();
        asked.all.get(&address).is_some_and(Asked::is_kept)
    }

    fn is_answered(&self, address: IpAddr) -> bool {
        let asked = self.asked.lock();
        let asked = asked.all.get(&address);
        asked.is_some_and(|asked| asked.answered)
    }

    /// What keeps the address asked for, now or already, and until when to wait for it; `None` if it
    /// is not.
    fn ask(&self, address: IpAddr, purpose: Purpose) -> Option<(Presence, Instant)> {
        let now = clock::now();
        let mut addresses = self.asked.lock();
        let Addresses { all, unused, .. } = &mut *addresses;
        if let Some(asked) = all.get_mut(&address) {
            asked.last = now;
            let is_late = !asked.answered && asked.since.elapsed() >= AGAIN;
            if is_late && purpose == Purpose::Outside {
                let again = want(vec![alias("", address)], Vec::new());
                // If the line is full, later.
                self.wants.try_send(again).ok();
                asked.since = tokio::time::Instant::now();
            }
            return Some((asked.presence(address, unused), asked.until));
        }
        let line = self.wants.try_reserve().ok()?;
        let leave = addresses.room(purpose)?;
        let leaving: Vec<Arc<str>> = leave.iter().map(|one| alias("", *one)).collect();
        line.send(want(vec![alias("", address)], leaving));
        addresses.outside += usize::from(purpose == Purpose::Outside);
        let Addresses { all, unused, .. } = &mut *addresses;
        let asked = all.entry(address).or_insert_with(|| Asked {
            purpose,
            until: now + PATIENCE,
            since: tokio::time::Instant::now(),
            answered: false,
            last: now,
            kept: Weak::new(),
        });
        Some((asked.presence(address, unused), asked.until))
    }
}

fn want(ask: Vec<Arc<str>>, leave: Vec<Arc<str>>) -> Want<Kind> {
    Want {
        kind: Kind::Address,
        ask,
        leave,
    }
}

impl Asked {
    fn is_kept(&self) -> bool {
        self.kept.strong_count() > 0
    }

    /// That of all who have use of it now.
    fn presence(&mut self, address: IpAddr, unused: &Arc<Unused>) -> Presence {
        if let Some(kept) = self.kept.upgrade() {
            return Presence(kept);
        }
        let kept = Arc::new(Kept {
            address,
            purpose: self.purpose,
            unused: Arc::clone(unused),
        });
        self.kept = Arc::downgrade(&kept);
        if self.purpose == Purpose::Outside {
            unused.0.lock().remove(&address);
        }
        Presence(kept)
    }
}

impl Addresses {
    /// Makes room for a further address, and says which one goes for it, if one has to; `None` if there
    /// is no room.
    fn room(&mut self, purpose: Purpose) -> Option<Option<IpAddr>> {
        match purpose {
            Purpose::Caller => (self.all.len() - self.outside < MOST).then_some(None),
            Purpose::Outside if self.outside < MOST_OUTSIDE => Some(None),
            Purpose::Outside => loop {
                let address = self.unused.0.lock().pop_first()?;
                // It may be in use again, or gone: then it stood here by mistake.
                let asked = self.all.get(&address);
                if asked.is_some_and(|it| it.purpose == Purpose::Outside && !it.is_kept()) {
                    self.all.remove(&address);
                    self.outside -= 1;
                    return Some(Some(address));
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
