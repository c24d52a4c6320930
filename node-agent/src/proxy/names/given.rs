//! Which name a pod was last given an address for: what it then connects to has a name in the access
//! log. It decides nothing; a pod may have the address from elsewhere.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Addresses that are remembered for a pod.
const MOST: usize = 512;

/// The last names of a pod's addresses.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    names: HashMap<IpAddr, Arc<str>>,
    /// In the order in which they came.
    order: VecDeque<IpAddr>,
}

impl Given {
    /// The pod was given these addresses for that name.
    pub(crate) fn note(&self, name: &str, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        let name: Arc<str> = name.into();
        let mut table = self.0.lock();
        for address in addresses {
            let address = address.to_canonical();
            if table.names.insert(address, Arc::clone(&name)).is_none() {
                table.order.push_back(address);
            }
        }
        while table.order.len() > MOST {
            if let Some(oldest) = table.order.pop_front() {
                table.names.remove(&oldest);
            }
        }
    }

    /// The name that it has this address for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.0.lock().names.get(&address.to_canonical()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_counts_and_the_oldest_addresses_are_forgotten() {
        let given = Given::default();
        let ip = |n: u32| IpAddr::V4(n.into());
        given.note("a.example", &[ip(1), ip(2)]);
        given.note("b.example", &[ip(2)]);
        given.note("c.example", &[]);
        assert_eq!(given.name_of(ip(1)).as_deref(), Some("a.example"));
        assert_eq!(given.name_of(ip(2)).as_deref(), Some("b.example"));
        assert_eq!(
            given.name_of("::ffff:0.0.0.1".parse().unwrap()),
            given.name_of(ip(1))
        );
        for n in 10..10 + 511 {
            given.note("many.example", &[ip(n)]);
        }
        assert_eq!(
            (given.name_of(ip(1)), given.0.lock().names.len()),
            (None, 512)
        );
        assert_eq!(given.name_of(ip(2)).as_deref(), Some("b.example"));
    }
}
