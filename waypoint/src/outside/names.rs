//! Names of hosts outside of the mesh, resolved in the background.
//!
//! Every name that some endpoint is known by has a task. It asks every few seconds while somebody goes
//! there, seldom otherwise, and tells the owner of the view what is new. While the resolver fails, what it
//! said last stays.
//!
//! The resolver of the system is asked, for the whole name: names of the cluster's search path are not
//! tried, so that a name means the same wherever the waypoint runs. It blocks a thread, so that few are
//! asked for at once, whoever waits.
//!
//! The control plane is asked who is at each address: what is a pod of the mesh is not gone to
//! ([`super::address`]), nor is an address of which it has not said who is there: until it has, what the name
//! led to before stays.
//!
//! Tasks: "resolve a name", one per name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::callers::Presence;
use crate::proxy::Proxy;

/// Names that are resolved. Endpoints of further ones are not there.
pub(crate) const MOST: usize = 1024;
/// Of these, names for one namespace: nobody's leave no room for those of others.
pub(crate) const MOST_OF_ONE: usize = MOST / 4;
/// Addresses of one name; further ones are not used.
pub(crate) const MOST_ADDRESSES: usize = 32;
/// Names that are asked for at once.
pub(crate) const AT_ONCE: usize = 8;
/// Of these, names for one namespace.
const AT_ONCE_OF_ONE: usize = 2;
/// How long the resolver may take. What comes later is thrown away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer holds: while the name is used, and otherwise.
const REFRESH: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The first wait after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What resolves names. It may take long, and has a thread for that.
pub(crate) trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name.
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// That of the system.
#[derive(Debug)]
pub(crate) struct System;

impl Resolver for System {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let whole = format!("{}.", name.trim_end_matches('.'));
        let found = (whole.as_str(), 0_u16).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Whether somebody goes where a name leads.
#[derive(Debug, Default)]
pub(crate) struct Use {
    used: AtomicBool,
    wake: Notify,
}

impl Use {
    /// Somebody does.
    pub(crate) fn mark(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// A name that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted<'n> {
    pub(crate) name: &'n Arc<str>,
    pub(crate) used: &'n Arc<Use>,
    /// The namespaces whose endpoints it stands for: it is resolved if one of them has room for it.
    pub(crate) namespaces: BTreeSet<&'n Arc<str>>,
}

/// Where a name leads.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// How often names were asked for, by what came of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    resolved: AtomicU64,
    failed: AtomicU64,
    untold: AtomicU64,
}

impl Counts {
    /// A name was asked for.
    pub(crate) fn note(&self, resolved: bool) {
        let count = if resolved {
            &self.resolved
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Of an address the control plane has not said who is there.
    fn untold(&self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    /// By what came of it.
    pub(crate) fn all(&self) -> [(&'static str, u64); 3] {
        [
            ("resolved", &self.resolved),
            ("failed", &self.failed),
            ("untold", &self.untold),
        ]
        .map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }
}

/// Asks the resolver, for few names at once.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    resolver: Arc<dyn Resolver>,
    room: Arc<Semaphore>,
    /// The family that goes before the other one.
    own: IpAddr,
}

impl Asker {
    /// Asks this one, for so many names at once; `own` is the waypoint's own address.
    pub(crate) fn new(resolver: Arc<dyn Resolver>, own: IpAddr, at_once: usize) -> Self {
        let room = Arc::new(Semaphore::new(at_once));
        Self {
            resolver,
            room,
            own,
        }
    }

    /// For how many more names it may be asked now.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.room.available_permits()
    }

    /// The addresses of a name, in order: those of our own family if there are any.
    pub(crate) async fn ask(&self, name: &Arc<str>) -> io::Result<Vec<IpAddr>> {
        self.ask_within(name, None).await
    }

    /// The same, by the share that somebody has of what is asked for at once.
    async fn ask_within(
        &self,
        name: &Arc<str>,
        share: Option<OwnedSemaphorePermit>,
    ) -> io::Result<Vec<IpAddr>> {
        let asking = async {
            let place = Arc::clone(&self.room).acquire_owned().await;
            let place = place.map_err(io::Error::other)?;
            let (resolver, name) = (Arc::clone(&self.resolver), Arc::clone(name));
            // The thread goes on when nobody waits any more, and has its place until it ends.
            let asked = tokio::task::spawn_blocking(move || {
                let _places = (place, share);
                resolver.resolve(&name)
            });
            asked.await.map_err(io::Error::other)?
        };
        let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
        let found = tokio::time::timeout(PATIENCE, asking).await.map_err(late)?;
        let mut found: Vec<IpAddr> = found?.iter().map(IpAddr::to_canonical).collect();
        let is_ours = |address: &IpAddr| address.is_ipv4() == self.own.is_ipv4();
        if found.iter().any(is_ours) {
            found.retain(is_ours);
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST_ADDRESSES);
        match found.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "no address")),
            false => Ok(found),
        }
    }
}

/// Has names resolved; what it is made of is told by its owner.
#[derive(Debug)]
pub(crate) struct Names {
    asker: Asker,
    tell: mpsc::Sender<Answer>,
    running: BTreeMap<Arc<str>, Running>,
    /// What namespaces have of what is asked for at once.
    shares: BTreeMap<Arc<str>, Arc<Semaphore>>,
    is_full: bool,
}

/// Ends the task of a name that is not wanted any more.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    /// In whose room it is.
    namespace: Arc<str>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Names {
    /// Resolves nothing yet, and tells what it finds.
    pub(crate) fn new(asker: Asker, tell: mpsc::Sender<Answer>) -> Self {
        Self {
            asker,
            tell,
            running: BTreeMap::new(),
            shares: BTreeMap::new(),
            is_full: false,
        }
    }

    /// These names are wanted from now on, and no others.
    pub(crate) fn want<'n>(&mut self, proxy: &Arc<Proxy>, names: impl Iterator<Item = Wanted<'n>>) {
        let names: BTreeMap<_, _> = names.map(|wanted| (wanted.name, wanted)).collect();
        let wants = |name: &Arc<str>, running: &Running| {
            let wanted = names.get(name);
            wanted.is_some_and(|wanted| wanted.namespaces.contains(&running.namespace))
        };
        self.running.retain(|name, running| wants(name, running));
        let mut taken: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for running in self.running.values() {
            *taken.entry(Arc::clone(&running.namespace)).or_default() += 1;
        }
        self.shares.retain(|namespace, share| {
            taken.contains_key(namespace) || Arc::strong_count(share) > 1
        });
        for wanted in names.values() {
            if self.running.contains_key(wanted.name) || self.running.len() >= MOST {
                continue;
            }
            let has_room = |namespace: &&&Arc<str>| {
                taken
                    .get(**namespace)
                    .is_none_or(|taken| *taken < MOST_OF_ONE)
            };
            let mut namespaces = wanted.namespaces.iter();
            if let Some(namespace) = namespaces.find(has_room) {
                *taken.entry(Arc::clone(namespace)).or_default() += 1;
                self.run(proxy, wanted, namespace);
            }
        }
        let is_full = names.len() > self.running.len();
        if is_full && !self.is_full {
            tracing::error!(
                wanted = names.len(),
                most = MOST,
                of_one_namespace = MOST_OF_ONE,
                "not all names of outside hosts are resolved"
            );
        }
        self.is_full = is_full;
    }

    fn run(&mut self, proxy: &Arc<Proxy>, wanted: &Wanted<'_>, namespace: &Arc<str>) {
        let share = self.shares.entry(Arc::clone(namespace));
        let share = share.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_OF_ONE)));
        let following = follow(
            Followed::new(
                Arc::clone(proxy),
                Arc::clone(wanted.name),
                self.tell.clone(),
            ),
            (self.asker.clone(), Arc::clone(share)),
            Arc::clone(wanted.used),
        );
        let task = proxy.tasks.spawn("resolve a name", following);
        let running = Running {
            task: task.abort_handle(),
            namespace: Arc::clone(namespace),
        };
        self.running.insert(Arc::clone(wanted.name), running);
    }
}

/// Follows where one name leads.
async fn follow(mut followed: Followed, (asker, share): (Asker, Arc<Semaphore>), used: Arc<Use>) {
    loop {
        // Closed by nobody.
        let Ok(share) = Arc::clone(&share).acquire_owned().await else {
            return;
        };
        let wait = match asker.ask_within(&followed.name, Some(share)).await {
            Ok(addresses) => {
                followed.is_resolved();
                if followed.leads_to(&addresses).await.is_err() {
                    return;
                }
                REFRESH.0
            }
            Err(error) => followed.failed(&error),
        };
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.8..=1.0))).await;
        if followed.is_well() && !used.was_used() {
            // Whichever comes first.
            tokio::time::timeout(REFRESH.1, used.wake.notified())
                .await
                .ok();
        }
    }
}

/// One name, and what is known of it.
struct Followed {
    proxy: Arc<Proxy>,
    name: Arc<str>,
    tell: mpsc::Sender<Answer>,
    told: Option<Vec<IpAddr>>,
    /// Of an address it is not known who is there.
    untold: bool,
    failing: bool,
    /// How long to wait after the next failure.
    retry: Duration,
    /// While this is kept, changes of who is there are told.
    _present: Vec<Presence>,
}

impl Followed {
    fn new(proxy: Arc<Proxy>, name: Arc<str>, tell: mpsc::Sender<Answer>) -> Self {
        Self {
            proxy,
            name,
            tell,
            told: None,
            untold: false,
            failing: false,
            retry: RETRY.0,
            _present: Vec::new(),
        }
    }

    /// Whether all is known that there is to know.
    fn is_well(&self) -> bool {
        !self.failing && !self.untold
    }

    /// The resolver has answered.
    fn is_resolved(&mut self) {
        self.proxy.lookups.note(true);
        if self.failing {
            tracing::info!(name = %self.name, "the name of an outside host is resolved again");
        }
        (self.failing, self.retry) = (false, RETRY.0);
    }

    /// It leads there, of which the owner of the view is told what is new; an error if that has gone.
    async fn leads_to(&mut self, addresses: &[IpAddr]) -> Result<(), SendError<Answer>> {
        if self.told.as_deref() == Some(addresses) {
            return Ok(());
        }
        // Who is there has to be known before anybody goes there.
        let (known, kept) = present(&self.proxy, addresses).await;
        let untold = known.len() < addresses.len();
        if self.untold != untold {
            self.untold = untold;
            tell_of_untold(&self.name, untold);
        }
        if known.is_empty() || self.told.as_ref() == Some(&known) {
            return Ok(());
        }
        self._present = kept;
        tell_who_is_not(&self.proxy, &self.name, &known);
        let answer = Answer {
            name: Arc::clone(&self.name),
            addresses: known.clone(),
        };
        self.tell.send(answer).await?;
        self.told = Some(known);
        Ok(())
    }

    /// The resolver has failed: how long to wait.
    fn failed(&mut self, error: &io::Error) -> Duration {
        self.proxy.lookups.note(false);
        if !self.failing {
            let known = self.told.as_ref().map_or(0, Vec::len);
            tracing::warn!(name = %self.name, %error, known, "the name of an outside host cannot be resolved; what is known of it stays");
        }
        self.failing = true;
        let wait = self.retry;
        self.retry = (wait * 2).min(RETRY.1);
        wait
    }
}

/// Asks the control plane who is at these addresses: those of which it has said so. While what they come
/// with is kept, it tells of changes.
pub(crate) async fn present(proxy: &Proxy, addresses: &[IpAddr]) -> (Vec<IpAddr>, Vec<Presence>) {
    let found = addresses.iter().map(async |address| {
        let presence = proxy.callers.outside(*address).await?;
        Some((*address, presence))
    });
    let known: Vec<_> = join_all(found).await.into_iter().flatten().collect();
    if known.len() < addresses.len() {
        proxy.lookups.untold();
    }
    known.into_iter().unzip()
}

fn tell_of_untold(name: &Arc<str>, untold: bool) {
    if untold {
        tracing::warn!(%name, "the name of an outside host leads to an address of which the control plane has not said whether it is of the mesh: it is not gone to until then");
    } else {
        tracing::info!(%name, "it is known again who is where the name of an outside host leads");
    }
}

fn tell_who_is_not(proxy: &Proxy, name: &Arc<str>, addresses: &[IpAddr]) {
    let view = proxy.views.borrow().clone();
    for address in addresses {
        if let Some(why) = super::address::forbidden(&view, *address) {
            tracing::warn!(%name, %address, "the name of an outside host leads to an address that is not gone to: it is {why}");
        }
    }
}

#[cfg(test)]
mod tests;
