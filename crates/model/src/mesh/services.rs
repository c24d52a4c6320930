//! Services by name, host name and virtual address, for a client of a namespace.

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
    /// Those whose host name begins with `*`, by the rest of it.
    by_suffix: HashMap<Arc<str>, Claims<Service>>,
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
        if let Some(suffix) = service.name.hostname.strip_prefix('*') {
            claim(&mut self.by_suffix, suffix.into(), &service);
        }
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
        if let Some(suffix) = name.hostname.strip_prefix('*') {
            disclaim(&mut self.by_suffix, &suffix.into(), name);
        }
        for prefix in prefixes(&service) {
            if let Some(claims) = self.by_vip.remove(prefix)
                && let Some(left) = claims.without(name)
            {
                self.by_vip.insert(prefix, left);
            }
        }
    }

    /// The service with the longest prefix around an address that a client may know.
    pub(super) fn at(&self, address: IpAddr, sought: Sought<'_>) -> Option<&Arc<Service>> {
        let mut around = self.by_vip.matches(address.to_canonical());
        around.find_map(|claims| sought.best(claims))
    }

    /// The one with just this address.
    pub(super) fn at_exactly(&self, address: IpAddr, sought: Sought<'_>) -> Option<&Arc<Service>> {
        let prefix = IpNet::from(address.to_canonical());
        sought.best(self.by_vip.get(prefix)?)
    }

    /// Those of a full host name, by name.
    pub(super) fn of_host(&self, host: &str) -> impl Iterator<Item = &Arc<Service>> {
        let claims = self.by_hostname.get(host);
        claims.into_iter().flat_map(Claims::iter)
    }

    /// Those whose host name begins with a `*` that stands for the beginning of this one, the longest
    /// rest first.
    pub(super) fn of_wildcard<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a Arc<Service>> {
        let dots = host.match_indices('.').map(|(dot, _)| dot);
        let suffixes = dots
            .filter(|dot| *dot > 0)
            .filter_map(|dot| host.get(dot..));
        let claims = suffixes.filter_map(|suffix| self.by_suffix.get(suffix));
        claims.flat_map(Claims::iter)
    }
}

/// Whom a service is sought for.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    /// The client's namespace; `None` sees all.
    pub(super) client: Option<&'a str>,
    /// The port that it asks for, if any.
    pub(super) port: Option<u16>,
}

impl Sought<'_> {
    /// Of several services with one address: a service of the cluster before others, then one that
    /// serves the port, then one of the client's own namespace, then the first by name.
    fn best<'s>(&self, claims: &'s Claims<Service>) -> Option<&'s Arc<Service>> {
        let seen = claims.iter().filter(|service| self.sees(service));
        seen.min_by_key(|service| {
            let serves = self.port.is_none_or(|port| service.port(port).is_some());
            let is_own = self.client == Some(&*service.name.namespace);
            (!service.canonical, !serves, !is_own)
        })
    }

    fn sees(&self, service: &Service) -> bool {
        self.client
            .is_none_or(|client| service.is_visible_to(client))
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
