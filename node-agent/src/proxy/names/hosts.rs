//! Addresses of endpoints that the model knows by name only.
//!
//! Asked for when a connection needs them, by the resolvers of [`forward`](super::forward), and kept for
//! as long as the resolver says, within bounds. One question at a time for each name. Addresses whose time is
//! over, but not for long, are used at once, and are asked for again meanwhile. While the resolver is away,
//! the last addresses go on being used.
//!
//! Each pod has its own: what goes over a pod's network, somebody in that pod may have answered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ambit_dns::{A, AAAA, Reply, Transport, ask};
use ambit_kit::clock;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::forward::{Room, forward};
use crate::proxy::datapath::DataPath;
use crate::proxy::pods::LocalPod;

/// Bounds of how long addresses are kept.
const KEPT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// How long it is kept that a name has no addresses, or cannot be resolved.
const NOTHING_KEPT: Duration = Duration::from_secs(2);
/// How long after their time addresses are used that are at hand.
const STALE: Duration = Duration::from_secs(300);
/// How long addresses of IPv4 wait for those of IPv6.
const LATER: Duration = Duration::from_millis(200);
/// Names of one pod.
const MOST: usize = 256;
/// The code that there is no such name.
const NO_SUCH_NAME: u8 = 3;

/// The names that a pod's connections needed.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Mutex<HashMap<Arc<str>, Arc<Host>>>);

/// One name.
#[derive(Debug, Default)]
struct Host {
    known: Mutex<Option<Known>>,
    /// Who holds it asks; the others wait for the answer.
    asking: Arc<tokio::sync::Mutex<()>>,
    /// Whose turn it is among the addresses.
    turn: AtomicUsize,
}

/// What is known of a name.
#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

/// What resolvers say of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// These addresses, for so long.
    Addresses(Vec<IpAddr>, Duration),
    /// It has none.
    None,
    /// Nothing: they are away, or have troubles.
    Silence,
}

impl Hosts {
    /// The addresses of a name, another one first with each call; none if it has none or cannot be
    /// resolved.
    pub(crate) async fn resolve(
        &self,
        path: &Arc<DataPath>,
        pod: &Arc<LocalPod>,
        name: &Arc<str>,
    ) -> Vec<IpAddr> {
        let host = self.host(name);
        if let Some(addresses) = host.fresh() {
            return host.in_turn(&addresses);
        }
        if let Some(addresses) = host.stale(clock::now()) {
            refresh(path, pod, name, &host);
            return host.in_turn(&addresses);
        }
        let _asking = host.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(addresses) = host.fresh() {
            return host.in_turn(&addresses);
        }
        let addresses = host.learn(told(path, pod, name).await, clock::now());
        host.in_turn(&addresses)
    }

    fn host(&self, name: &Arc<str>) -> Arc<Host> {
        let mut hosts = self.0.lock();
        if hosts.len() >= MOST && !hosts.contains_key(name) {
            let oldest = hosts.iter().min_by_key(|(_, host)| host.until());
            let oldest = oldest.map(|(name, _)| Arc::clone(name));
            oldest.and_then(|name| hosts.remove(&name));
        }
        Arc::clone(hosts.entry(Arc::clone(name)).or_default())
    }
}

impl Host {
    fn until(&self) -> Option<Instant> {
        self.known.lock().as_ref().map(|known| known.until)
    }

    fn fresh(&self) -> Option<Arc<[IpAddr]>> {
        let known = self.known.lock();
        let known = known.as_ref().filter(|known| clock::now() < known.until)?;
        Some(Arc::clone(&known.addresses))
    }

    /// Addresses that are used although their time is over.
    fn stale(&self, now: Instant) -> Option<Arc<[IpAddr]>> {
        let known = self.known.lock();
        let is_used = |known: &&Known| now < known.until + STALE && !known.addresses.is_empty();
        let known = known.as_ref().filter(is_used)?;
        Some(Arc::clone(&known.addresses))
    }

    /// Takes in what resolvers say; what holds from then on.
    fn learn(&self, told: Told, now: Instant) -> Arc<[IpAddr]> {
        let mut known = self.known.lock();
        let (addresses, kept) = match told {
            Told::Addresses(addresses, ttl) => (addresses.into(), ttl.clamp(KEPT.0, KEPT.1)),
            Told::None => (Arc::default(), NOTHING_KEPT),
            Told::Silence => {
                let last = known.take().map(|known| known.addresses);
                (last.unwrap_or_default(), NOTHING_KEPT)
            }
        };
        let until = now + kept;
        *known = Some(Known {
            addresses: Arc::clone(&addresses),
            until,
        });
        addresses
    }

    fn in_turn(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut addresses = addresses.to_vec();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(addresses.len()).unwrap_or_default();
        addresses.rotate_left(first);
        addresses
    }
}

/// Asks again while the addresses at hand are used, unless somebody asks already.
fn refresh(path: &Arc<DataPath>, pod: &Arc<LocalPod>, name: &Arc<str>, host: &Arc<Host>) {
    let Ok(asking) = Arc::clone(&host.asking).try_lock_owned() else {
        return;
    };
    let (name, host) = (Arc::clone(name), Arc::clone(host));
    let (of_task, pod) = (Arc::clone(path), Arc::clone(pod));
    path.accepted.spawn(async move {
        let told = told(&of_task, &pod, &name).await;
        host.learn(told, clock::now());
        drop(asking);
    });
}

/// Asks for both families, where the pod has both.
async fn told(path: &DataPath, pod: &LocalPod, name: &str) -> Told {
    let has = |v4: bool| pod.ips.iter().any(|ip| ip.to_canonical().is_ipv4() == v4);
    // On the heap: they are large, and few connections wait for them.
    let of = |kind| Box::pin(told_of(path, pod, name, kind));
    match (has(true), has(false)) {
        (_, false) => of(A).await,
        (false, true) => of(AAAA).await,
        (true, true) => together(of(A), of(AAAA)).await,
    }
}

/// What is said of both families. Some resolvers never answer about IPv6.
async fn together(four: impl Future<Output = Told>, six: impl Future<Output = Told>) -> Told {
    tokio::pin!(four, six);
    let (four, six) = tokio::select! {
        told = &mut four => {
            let six = match told {
                Told::Addresses(..) => timeout(LATER, six).await.unwrap_or(Told::Silence),
                _ => six.await,
            };
            (told, six)
        }
        told = &mut six => (four.await, told),
    };
    both(four, six)
}

fn both(four: Told, six: Told) -> Told {
    match (four, six) {
        (Told::Addresses(mut all, ttl), Told::Addresses(more, other)) => {
            all.extend(more);
            Told::Addresses(all, ttl.min(other))
        }
        (found @ Told::Addresses(..), _) | (_, found @ Told::Addresses(..)) => found,
        (Told::None, Told::None) => Told::None,
        _ => Told::Silence,
    }
}

async fn told_of(path: &DataPath, pod: &LocalPod, name: &str, kind: u16) -> Told {
    let Some(question) = ask(0, name, kind) else {
        return Told::None;
    };
    let asked = async |transport| {
        let room = Room::take(&path.names, pod)?;
        forward(path, pod, &question, transport, room).await
    };
    let mut answer = asked(Transport::Udp).await;
    let is_cut =
        |answer: &Vec<u8>| Reply::to(&question, answer).is_some_and(|reply| reply.is_truncated());
    if answer.as_ref().is_ok_and(is_cut) {
        answer = asked(Transport::Tcp).await;
    }
    match answer
        .as_deref()
        .ok()
        .and_then(|answer| Reply::to(&question, answer))
    {
        Some(reply) if reply.code() == 0 => {
            let found = reply.addresses();
            match found.all.is_empty() {
                true => Told::None,
                false => Told::Addresses(found.all, Duration::from_secs(found.ttl.into())),
            }
        }
        Some(reply) if reply.code() == NO_SUCH_NAME => Told::None,
        _ => Told::Silence,
    }
}

#[cfg(test)]
mod tests;
