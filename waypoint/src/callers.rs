//! Who is behind the address of a client. Workloads that the waypoint does not front are not told
//! by themselves: they are asked for when one of them first calls.
//!
//! Nothing is decided by what is found, which is for logs and metrics: a client is who its
//! certificate says. So a call waits for it briefly, and goes on without.

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

/// Asks for callers.
#[derive(Debug)]
pub(crate) struct Callers {
    wants: mpsc::Sender<Want<Kind>>,
    /// When each address that is asked for called last.
    asked: Mutex<HashMap<IpAddr, Instant>>,
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
    pub(crate) async fn find(&self, address: IpAddr) -> Option<Arc<Workload>> {
        let address = address.to_canonical();
        let known = |view: &Arc<View>| view.mesh.workloads_at(address).next().cloned();
        if let Some(known) = known(&self.views.borrow()) {
            self.note(address);
            return Some(known);
        }
        if !self.ask(address) {
            return None;
        }
        let mut views = self.views.clone();
        let seen = views.wait_for(|view| known(view).is_some());
        let seen = tokio::time::timeout(PATIENCE, seen).await.ok()?.ok()?;
        known(&seen)
    }

    /// Lets go of addresses that have not called for long.
    pub(crate) fn forget(&self) {
        let now = clock::now();
        let mut gone = Vec::new();
        self.asked.lock().retain(|address, last| {
            let keep = now.duration_since(*last) < FORGOTTEN;
            if !keep {
                gone.push(alias("", *address));
            }
            keep
        });
        if !gone.is_empty() {
            let want = Want {
                kind: Kind::Address,
                ask: Vec::new(),
                leave: gone,
            };
            // A line that is full is read later; then they are asked for a little longer.
            self.wants.try_send(want).ok();
        }
    }

    fn note(&self, address: IpAddr) {
        if let Some(last) = self.asked.lock().get_mut(&address) {
            *last = clock::now();
        }
    }

    /// True if the address is asked for, now or already.
    fn ask(&self, address: IpAddr) -> bool {
        let mut asked = self.asked.lock();
        if let Some(last) = asked.get_mut(&address) {
            *last = clock::now();
            return true;
        }
        if asked.len() >= MOST {
            return false;
        }
        let want = Want {
            kind: Kind::Address,
            ask: vec![alias("", address)],
            leave: Vec::new(),
        };
        let sent = self.wants.try_send(want).is_ok();
        if sent {
            asked.insert(address, clock::now());
        }
        sent
    }
}
