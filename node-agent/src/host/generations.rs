//! The living generations of the proxy: which one serves, which drain, who holds which pod.
//!
//! ```text
//!   add            ready                 a newer one is ready
//!  -----> Starting ------> Serving -----------------------------> Draining ---> (ended)
//!             \________________ ended by itself: start the next ____________/
//! ```
//!
//! Invariants: at most one generation serves; numbers only grow; one that drains never serves
//! again.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ambit_wire::node::host_to_proxy::Kind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::ProxyView;
use super::names::PodUid;

/// Most generations that live at once; each may take the memory of a proxy.
const MOST_LIVING: usize = 4;

/// A message to a proxy with the descriptors that travel along.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The message.
    pub(crate) kind: Kind,
    /// The descriptors.
    pub(crate) descriptors: Vec<Handed>,
}

/// A descriptor on its way to a proxy.
#[derive(Clone, Debug)]
pub(crate) enum Handed {
    /// A listener; the host role keeps its own.
    Kept(Arc<OwnedFd>),
    /// A socket that the host role has no more use for.
    Given(Arc<OwnedFd>),
}

/// Where a generation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Learning the model; accepts nothing yet.
    Starting,
    /// Accepts connections.
    Serving,
    /// Accepts nothing more; its connections are living to their end.
    Draining,
}

/// One generation.
#[derive(Debug)]
struct Generation {
    pid: u32,
    standing: Standing,
    has_pages: bool,
    outbox: mpsc::Sender<Parcel>,
    kill: CancellationToken,
    attached: HashSet<PodUid>,
}

/// All living generations.
#[derive(Debug, Default)]
pub(crate) struct Generations {
    last: u64,
    living: BTreeMap<u64, Generation>,
}

/// What follows from a generation being ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Succession {
    /// The generation that served until now.
    pub(crate) ancestor: Option<u64>,
    /// Generations that must drain, the ancestor among them.
    pub(crate) drain: Vec<u64>,
    /// Whether the new one still lacks the page sockets.
    pub(crate) lacks_pages: bool,
}

/// What follows from the end of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Whether it had been told to drain.
    pub(crate) expected: bool,
    /// A starting generation that should answer the pages now.
    pub(crate) pages_to: Option<u64>,
}

impl Parcel {
    /// A message without descriptors.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self {
            kind,
            descriptors: Vec::new(),
        }
    }
}

impl Handed {
    /// A descriptor that is closed here once it is sent.
    pub(crate) fn given(descriptor: OwnedFd) -> Self {
        Self::Given(Arc::new(descriptor))
    }
}

impl AsFd for Handed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Kept(descriptor) | Self::Given(descriptor) => descriptor.as_fd(),
        }
    }
}

impl Generations {
    /// The number of the next generation.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Goes on counting after the generations of a previous host role.
    pub(crate) fn count_from(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// The highest number given so far.
    pub(crate) fn last_number(&self) -> u64 {
        self.last
    }

    /// Enters a generation that was just started; true if nobody else answers the pages.
    pub(crate) fn add(
        &mut self,
        number: u64,
        pid: u32,
        outbox: mpsc::Sender<Parcel>,
        kill: CancellationToken,
    ) -> bool {
        let mut others = self.living.values();
        let alone = !others.any(|g| g.has_pages && g.standing != Standing::Draining);
        let generation = Generation {
            pid,
            standing: Standing::Starting,
            has_pages: false,
            outbox,
            kill,
            attached: HashSet::new(),
        };
        self.living.insert(number, generation);
        alone
    }

    /// A generation is given the page sockets.
    pub(crate) fn gets_pages(&mut self, number: u64) {
        if let Some(generation) = self.living.get_mut(&number) {
            generation.has_pages = true;
        }
    }

    /// A generation can serve now.
    pub(crate) fn ready(&mut self, number: u64) -> Succession {
        let Some(generation) = self.living.get_mut(&number) else {
            return Succession::default();
        };
        if generation.standing != Standing::Starting {
            return Succession::default();
        }
        generation.standing = Standing::Serving;
        let lacks_pages = !std::mem::replace(&mut generation.has_pages, true);
        let mut succession = Succession {
            lacks_pages,
            ..Succession::default()
        };
        for (other, generation) in self.living.range_mut(..number) {
            match generation.standing {
                Standing::Draining => continue,
                Standing::Serving => succession.ancestor = Some(*other),
                Standing::Starting => {}
            }
            generation.standing = Standing::Draining;
            succession.drain.push(*other);
        }
        self.thin_out();
        succession
    }

    /// Kills the oldest draining generations where too many have gathered.
    fn thin_out(&self) {
        let surplus = self.living.len().saturating_sub(MOST_LIVING);
        let draining = self
            .living
            .iter()
            .filter(|(_, g)| g.standing == Standing::Draining);
        for (number, generation) in draining.take(surplus) {
            tracing::warn!(
                generation = number,
                "too many proxies are draining: the oldest is killed"
            );
            generation.kill.cancel();
        }
    }

    /// A generation has ended.
    pub(crate) fn ended(&mut self, number: u64) -> Ended {
        let ended = self.living.remove(&number);
        let expected = ended.is_none_or(|g| g.standing == Standing::Draining);
        let mut left = self
            .living
            .iter_mut()
            .filter(|(_, g)| g.standing != Standing::Draining);
        let Some((heir, generation)) = left.next_back() else {
            return Ended {
                expected,
                pages_to: None,
            };
        };
        let pages_to = (!std::mem::replace(&mut generation.has_pages, true)).then_some(*heir);
        Ended { expected, pages_to }
    }

    /// Tells every generation to drain and returns their numbers: a new host role serves.
    pub(crate) fn drain_all(&mut self) -> Vec<u64> {
        for generation in self.living.values_mut() {
            generation.standing = Standing::Draining;
        }
        self.living.keys().copied().collect()
    }

    /// A generation accepts for a pod.
    pub(crate) fn attached(&mut self, number: u64, uid: PodUid) {
        if let Some(generation) = self.living.get_mut(&number) {
            generation.attached.insert(uid);
        }
    }

    /// A generation has no connection of a released pod any more.
    pub(crate) fn detached(&mut self, number: u64, uid: &PodUid) {
        if let Some(generation) = self.living.get_mut(&number) {
            generation.attached.remove(uid);
        }
    }

    /// Whether a generation that serves or will serve accepts for the pod.
    pub(crate) fn is_attached(&self, uid: &PodUid) -> bool {
        self.living
            .values()
            .any(|g| g.standing != Standing::Draining && g.attached.contains(uid))
    }

    /// Whether any generation may still have connections of the pod.
    pub(crate) fn is_held(&self, uid: &PodUid) -> bool {
        self.living.values().any(|g| g.attached.contains(uid))
    }

    /// Whether this generation serves.
    pub(crate) fn serves(&self, number: u64) -> bool {
        self.living
            .get(&number)
            .is_some_and(|g| g.standing == Standing::Serving)
    }

    /// Whether any generation serves or will.
    pub(crate) fn has_accepting(&self) -> bool {
        self.living
            .values()
            .any(|g| g.standing != Standing::Draining)
    }

    /// Whether this generation lives.
    pub(crate) fn lives(&self, number: u64) -> bool {
        self.living.contains_key(&number)
    }

    /// The generation that is starting, if any.
    pub(crate) fn starting(&self) -> Option<u64> {
        self.living
            .iter()
            .find(|(_, g)| g.standing == Standing::Starting)
            .map(|(n, _)| *n)
    }

    /// Whether no generation lives.
    pub(crate) fn is_empty(&self) -> bool {
        self.living.is_empty()
    }

    /// Numbers of all living generations.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.living.keys().copied().collect()
    }

    /// The serving generation, if any.
    pub(crate) fn serving(&self) -> Option<u64> {
        self.living
            .iter()
            .find(|(_, g)| g.standing == Standing::Serving)
            .map(|(n, _)| *n)
    }

    /// Sends to one generation. One that does not read its messages is of no use: it is killed.
    pub(crate) fn send(&self, number: u64, parcel: Parcel) {
        if let Some(generation) = self.living.get(&number) {
            generation.send(number, parcel);
        }
    }

    /// Sends to every generation that is not draining.
    pub(crate) fn send_accepting(&self, parcel: impl Fn() -> Parcel) {
        for (number, generation) in &self.living {
            if generation.standing != Standing::Draining {
                generation.send(*number, parcel());
            }
        }
    }

    /// Sends to every generation.
    pub(crate) fn send_all(&self, parcel: impl Fn() -> Parcel) {
        for (number, generation) in &self.living {
            generation.send(*number, parcel());
        }
    }

    /// Kills one generation.
    pub(crate) fn kill(&self, number: u64) {
        if let Some(generation) = self.living.get(&number) {
            generation.kill.cancel();
        }
    }

    /// All of them, as `list` shows them.
    pub(crate) fn views(&self) -> Vec<ProxyView> {
        let view = |(number, generation): (&u64, &Generation)| ProxyView {
            generation: *number,
            state: generation.standing.word().to_owned(),
            pid: generation.pid,
        };
        self.living.iter().map(view).collect()
    }
}

impl Generation {
    fn send(&self, number: u64, parcel: Parcel) {
        if self.outbox.try_send(parcel).is_err() && !self.kill.is_cancelled() {
            tracing::error!(
                generation = number,
                "the proxy does not read its messages: killed"
            );
            self.kill.cancel();
        }
    }
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests;
