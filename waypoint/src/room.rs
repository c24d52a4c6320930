//! How much of one thing clients may hold at once: all of them together, each, and those of one
//! namespace, however many pods that has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_kit::sources::{Share, Sources};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    each: Sources,
    namespaces: Namespaces,
}

/// A place that a client holds until it is dropped.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    _of_namespace: Option<OfNamespace>,
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// Room for `all`, and for `each` client so much of it; for those of one namespace three quarters.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each: Sources::new(each),
            namespaces: Namespaces {
                held: Arc::default(),
                most: all - all / 4,
            },
        }
    }

    /// One more place for a client; `None` if it has its share, or nothing is left.
    pub(crate) fn take(&self, client: IpAddr) -> Option<ClientSlot> {
        let share = self.each.take(client)?;
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(ClientSlot {
            _of_namespace: None,
            _share: share,
            _permit: permit,
        })
    }

    /// The same for a client of this namespace, which has its share too.
    pub(crate) fn take_of(&self, client: IpAddr, namespace: &str) -> Option<ClientSlot> {
        let of_namespace = self.namespaces.take(namespace)?;
        Some(ClientSlot {
            _of_namespace: Some(of_namespace),
            ..self.take(client)?
        })
    }
}

/// How much each namespace holds; clones count together.
#[derive(Clone, Debug)]
struct Namespaces {
    held: Arc<Mutex<HashMap<Arc<str>, usize>>>,
    most: usize,
}

/// What one of them holds until it is dropped.
#[derive(Debug)]
struct OfNamespace {
    namespaces: Namespaces,
    name: Arc<str>,
}

impl Namespaces {
    fn take(&self, name: &str) -> Option<OfNamespace> {
        let mut held = self.held.lock();
        let name = match held.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        };
        let count = held.entry(Arc::clone(&name)).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(OfNamespace {
            namespaces: self.clone(),
            name,
        })
    }
}

impl Drop for OfNamespace {
    fn drop(&mut self) {
        let mut held = self.namespaces.held.lock();
        if let Some(count) = held.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
