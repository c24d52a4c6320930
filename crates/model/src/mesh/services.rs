//! Services by name, host name and virtual address.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use ipnet::IpNet;

use crate::bindings::Bindings;
use crate::claims::{Claims, claim, disclaim};
use crate::names::ServiceName;
use crate::prefix::PrefixMap;
use crate::service::Service;

#[derive(Clone, Default)]
pub(super) struct Services {
    pub(super) by_name: OrdMap<ServiceName, Arc<Service>>,
    pub(super) by_hostname: HashMap<Arc<str>, Claims<Service>>,
    pub(super) bound: Bindings<ServiceName>,
    by_vip: PrefixMap<Claims<Service>>,
}

impl Services {
    pub(super) fn put(&mut self, service: Arc<Service>) {
        self.remove(&service.name);
        claim(
            &mut self.by_hostname,
            Arc::clone(&service.name.hostname),
            &service,
        );
        for prefix in prefixes(&service) {
            match self.by_vip.get_mut(prefix) {
                Some(claims) => claims.add(&service),
                None => {
                    self.by_vip
                        .insert(prefix, Claims::One(Arc::clone(&service)));
                }
            }
        }
        self.bound.bind(service.waypoint.as_ref(), &service.name);
        self.by_name.insert(service.name.clone(), service);
    }

    pub(super) fn remove(&mut self, name: &ServiceName) {
        let Some(service) = self.by_name.remove(name) else {
            return;
        };
        self.bound.unbind(service.waypoint.as_ref(), name);
        disclaim(&mut self.by_hostname, &name.hostname, name);
        for prefix in prefixes(&service) {
            if let Some(claims) = self.by_vip.remove(prefix)
                && let Some(left) = claims.without(name)
            {
                self.by_vip.insert(prefix, left);
            }
        }
    }

    pub(super) fn at(&self, address: IpAddr) -> Option<&Arc<Service>> {
        self.by_vip.longest_match(address.to_canonical())?.first()
    }

    pub(super) fn at_exactly(&self, address: IpAddr) -> Option<&Arc<Service>> {
        self.by_vip
            .get(IpNet::from(address.to_canonical()))?
            .first()
    }
}

/// The prefixes of a service's addresses. A length that the family does not have is read as a
/// single address: forgetting the address would let its traffic pass as unknown.
fn prefixes(service: &Service) -> impl Iterator<Item = IpNet> {
    service.vips.iter().map(|(vip, length)| {
        let address = vip.address.to_canonical();
        IpNet::new(address, *length).unwrap_or_else(|_| IpNet::from(address))
    })
}
