//! Routes of services, made ready when they come so that no request has to.
//!
//! What cannot be used opens no door: a rule of it answers 500, and a service whose routes cannot be
//! read, or are not known, is not served as if it had none.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{RouteList, ServiceRoutes, TcpRoute, TlsRoute};
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
    /// Makes routes ready, and says what of them cannot be used. This may take a while: most of a
    /// second where there are many expressions.
    pub(crate) fn new(routes: &ServiceRoutes) -> (Self, Vec<CompileError>) {
        let mut maker = Maker::default();
        let mut ports = BTreeMap::new();
        for (port, of_port) in &routes.ports {
            let producer = of_port.producer.as_ref().map(|list| maker.make(list));
            let consumers = of_port.consumers.iter();
            let consumers =
                consumers.map(|(namespace, list)| (Arc::clone(namespace), maker.make(list)));
            let table = PortTable {
                consumers: consumers.collect(),
                producer,
            };
            ports.insert(*port, table);
        }
        (Self::Ports(ports), maker.problems)
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

/// What the lists of a service have in common.
#[derive(Default)]
struct Maker {
    patterns: Patterns,
    problems: Vec<CompileError>,
}

impl Maker {
    fn make(&mut self, list: &RouteList) -> Arc<Routes> {
        Arc::new(match list {
            RouteList::Http(http) => {
                let (made, problems) = Compiled::rule_by_rule(http, &mut self.patterns);
                self.problems.extend(problems);
                Routes::Http(made)
            }
            RouteList::Tls(routes) => Routes::Tls(routes.clone()),
            RouteList::Tcp(route) => Routes::Tcp(route.clone()),
        })
    }
}
