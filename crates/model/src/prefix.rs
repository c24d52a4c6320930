//! A persistent map from address prefixes to values, with longest-prefix look-up.
//!
//! All prefixes lie in one hash map; beside it stands, per address family, how many prefixes there
//! are of each length. A look-up probes only the lengths that occur, longest first: one probe in
//! a mesh whose services all have single addresses. Cloning is O(1), a change O(log n).

use std::cmp::Reverse;
use std::net::IpAddr;

use imbl::{HashMap, OrdMap};
use ipnet::IpNet;

/// Values by address prefix. Host bits of a prefix are ignored.
#[derive(Clone, Debug)]
pub struct PrefixMap<V> {
    values: HashMap<IpNet, V>,
    lengths_v4: Lengths,
    lengths_v6: Lengths,
}

/// How many prefixes there are of each length, longest first.
type Lengths = OrdMap<Reverse<u8>, usize>;

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            lengths_v4: OrdMap::new(),
            lengths_v6: OrdMap::new(),
        }
    }
}

impl<V: Clone> PrefixMap<V> {
    /// Puts a value, giving back the one that it replaces.
    pub fn insert(&mut self, prefix: IpNet, value: V) -> Option<V> {
        let prefix = prefix.trunc();
        let replaced = self.values.insert(prefix, value);
        if replaced.is_none() {
            *self
                .lengths_mut(prefix)
                .entry(Reverse(prefix.prefix_len()))
                .or_insert(0) += 1;
        }
        replaced
    }

    /// Takes the value of exactly this prefix out.
    pub fn remove(&mut self, prefix: IpNet) -> Option<V> {
        let prefix = prefix.trunc();
        let removed = self.values.remove(&prefix)?;
        let length = Reverse(prefix.prefix_len());
        let lengths = self.lengths_mut(prefix);
        match lengths.get_mut(&length) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                lengths.remove(&length);
            }
        }
        Some(removed)
    }

    /// The value of exactly this prefix.
    pub fn get(&self, prefix: IpNet) -> Option<&V> {
        self.values.get(&prefix.trunc())
    }

    /// The value of exactly this prefix, to be changed in place.
    pub fn get_mut(&mut self, prefix: IpNet) -> Option<&mut V> {
        self.values.get_mut(&prefix.trunc())
    }

    /// The value of the longest prefix that holds the address.
    pub fn longest_match(&self, address: IpAddr) -> Option<&V> {
        self.matches(address).next()
    }

    /// The values of all prefixes that hold the address, longest first.
    pub fn matches(&self, address: IpAddr) -> impl Iterator<Item = &V> {
        let lengths = if address.is_ipv4() {
            &self.lengths_v4
        } else {
            &self.lengths_v6
        };
        lengths.keys().filter_map(move |Reverse(length)| {
            self.values.get(&IpNet::new(address, *length).ok()?.trunc())
        })
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn lengths_mut(&mut self, prefix: IpNet) -> &mut Lengths {
        match prefix {
            IpNet::V4(_) => &mut self.lengths_v4,
            IpNet::V6(_) => &mut self.lengths_v6,
        }
    }
}

#[cfg(test)]
mod tests;
