//! Rules of TLSRoutes and TCPRoutes: connections are passed on as they are.
//!
//! A TLSRoute is for the server names of its `hostnames`, the exact ones before the others and
//! longer ones before shorter ones. Both have one rule; further ones, which older versions of the
//! definitions admit, can never be reached.

use std::cmp::Reverse;
use std::sync::Arc;

use ambit_model::{Backend, TcpRoute, TlsRoute};

use super::compile::{Compiled, Compiler, Rules, Wrong};
use crate::config::objects::names::Name;
use crate::config::objects::stream_route::{
    StreamRouteRule, TcpRoute as GivenTcp, TlsRoute as GivenTls,
};

/// A route for one server name, or for all.
#[derive(Clone, Debug)]
pub(super) struct RankedTls {
    /// The least one is tried first.
    rank: (u8, Reverse<usize>),
    route: TlsRoute,
}

impl Compiler<'_> {
    pub(super) fn tcp(&mut self, route: &GivenTcp) -> Rules {
        match self.only_rule(&route.spec.rules) {
            Some((name, backends)) => Rules::Tcp(TcpRoute { name, backends }),
            None => Rules::None,
        }
    }

    pub(super) fn tls(&mut self, route: &GivenTls) -> Rules {
        let names = route.spec.hostnames.iter().enumerate();
        let names: Result<Vec<Arc<str>>, Wrong> = names
            .map(|(index, name)| server_name(index, name))
            .collect();
        let names = match names {
            Ok(names) => names,
            Err(wrong) => {
                self.note(0, wrong, false);
                return Rules::None;
            }
        };
        let Some((name, backends)) = self.only_rule(&route.spec.rules) else {
            return Rules::None;
        };
        let ranked = |server_name: Option<Arc<str>>| RankedTls {
            rank: rank(server_name.as_deref()),
            route: TlsRoute {
                name: Arc::clone(&name),
                server_names: server_name.into_iter().collect(),
                backends: backends.clone(),
            },
        };
        if names.is_empty() {
            return Rules::Tls(vec![ranked(None)]);
        }
        Rules::Tls(names.into_iter().map(|name| ranked(Some(name))).collect())
    }

    fn only_rule(&mut self, rules: &[StreamRouteRule]) -> Option<(Arc<str>, Vec<Backend>)> {
        let rule = rules.first()?;
        for index in 1..rules.len() {
            let what = "never reached: the first rule takes all";
            let field = format!("spec.rules[{index}]");
            self.note(index, Wrong::unsupported(field, what, "remove it"), false);
        }
        let name = self.rule_name(rule.name.as_deref(), 0);
        let backends = rule.backend_refs.iter().enumerate();
        let backends = backends
            .map(|(index, reference)| {
                self.backend(&format!("spec.rules[0].backendRefs[{index}]"), reference)
            })
            .collect();
        Some((name, backends))
    }
}

/// All routes of a list that is given in the order of their age.
pub(super) fn merged(routes: &[&Compiled]) -> Vec<TlsRoute> {
    let ranked = routes.iter().filter_map(|compiled| match &compiled.rules {
        Rules::Tls(ranked) => Some(ranked),
        _ => None,
    });
    let mut ranked: Vec<&RankedTls> = ranked.flatten().collect();
    ranked.sort_by_key(|one| one.rank);
    ranked.into_iter().map(|one| one.route.clone()).collect()
}

fn rank(server_name: Option<&str>) -> (u8, Reverse<usize>) {
    match server_name {
        Some(name) if name.starts_with('*') => (1, Reverse(name.len())),
        Some(name) => (0, Reverse(name.len())),
        None => (2, Reverse(0)),
    }
}

fn server_name(index: usize, name: &Arc<str>) -> Result<Arc<str>, Wrong> {
    let checked = Name::new(name.strip_prefix("*.").unwrap_or(name));
    if checked.is_err() || name.parse::<std::net::IpAddr>().is_ok() {
        let what = format!("`{name}` is not a name that a client can ask for");
        let advice = "write a host name, which may begin with `*.`";
        return Err(Wrong::unsupported(
            format!("spec.hostnames[{index}]"),
            what,
            advice,
        ));
    }
    Ok(Arc::clone(name))
}
