//! Routes of services, made ready when they come so that no request has to.
//!
//! What cannot be used opens no door: a rule of it answers 500, and a service whose routes cannot be
//! read, or are not known, is not served as if it had none.
//!
//! What comes after a change is made of what was there before it, but for what has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{PortRoutes, RouteList, ServiceRoutes, TcpRoute, TlsRoute};
use ambit_route::{CompileError, Compiled, Patterns};

/// Routes of one port, made ready.
#[derive(Debug)]
pub(crate) enum Routes {
    /// For requests.
    Http(Compiled),
    /// For TLS connections that are passed through.
    Tls(Vec<TlsRoute>),
    /// For connections.
    Tcp(TcpRoute),
    /// Not known, or not to be read: nothing is served by them.
    Unusable,
}

impl Routes {
    fn http(&self) -> Option<&Compiled> {
        match self {
            Self::Http(compiled) => Some(compiled),
            Self::Tls(_) | Self::Tcp(_) | Self::Unusable => None,
        }
    }
}

/// Routes of one service, made ready.
#[derive(Debug)]
pub(crate) enum Table {
    /// By port.
    Ports(BTreeMap<u16, PortTable>),
    /// They came, and cannot be read.
    Rejected,
}

/// Routes of one port.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    producer: Option<Arc<Routes>>,
    consumers: BTreeMap<Arc<str>, Arc<Routes>>,
}

impl Table {
    /// Makes routes ready, given those before them, and says what of them cannot be used. This may take
    /// a while: most of a second where there are many new expressions.
    pub(crate) fn new(routes: &ServiceRoutes, before: Option<&Self>) -> (Self, Vec<CompileError>) {
        let none = BTreeMap::new();
        let before = match before {
            Some(Self::Ports(ports)) => ports,
            Some(Self::Rejected) | None => &none,
        };
        let mut maker = Maker::after(before.values());
        let made = routes.ports.iter().map(|(port, routes)| {
            let table = maker.make_port(routes, before.get(port));
            (*port, table)
        });
        (Self::Ports(made.collect()), maker.problems)
    }
}

impl PortTable {
    /// Those for a client of a namespace.
    pub(super) fn for_client(&self, client: Option<&str>) -> Option<&Arc<Routes>> {
        client
            .and_then(|namespace| self.consumers.get(namespace))
            .or(self.producer.as_ref())
    }
}

impl PortTable {
    /// Whether a client of a namespace gets a list that its own namespace has written.
    pub(super) fn is_own(&self, client: Option<&str>) -> bool {
        client.is_some_and(|namespace| self.consumers.contains_key(namespace))
    }
}

/// What the lists of a service have in common.
struct Maker {
    patterns: Patterns,
    problems: Vec<CompileError>,
}

impl Maker {
    fn after<'t>(before: impl Iterator<Item = &'t PortTable>) -> Self {
        let lists = before.flat_map(|port| port.producer.iter().chain(port.consumers.values()));
        Self {
            patterns: Patterns::of(lists.filter_map(|list| list.http())),
            problems: Vec::new(),
        }
    }

    fn make_port(&mut self, routes: &PortRoutes, before: Option<&PortTable>) -> PortTable {
        let known = before.and_then(|before| before.producer.as_deref());
        let producer = routes.producer.as_ref();
        let producer = producer.map(|list| self.make(list, known));
        let consumers = routes.consumers.iter().map(|(namespace, list)| {
            let known = before.and_then(|before| before.consumers.get(namespace));
            let made = self.make(list, known.map(AsRef::as_ref));
            (Arc::clone(namespace), made)
        });
        PortTable {
            consumers: consumers.collect(),
            producer,
        }
    }

    fn make(&mut self, list: &RouteList, before: Option<&Routes>) -> Arc<Routes> {
        Arc::new(match list {
            RouteList::Http(http) => {
                let before = before.and_then(Routes::http);
                let (made, problems) = Compiled::after(before, http, &mut self.patterns);
                self.problems.extend(problems);
                Routes::Http(made)
            }
            RouteList::Tls(routes) => Routes::Tls(routes.clone()),
            RouteList::Tcp(route) => Routes::Tcp(route.clone()),
        })
    }
}
