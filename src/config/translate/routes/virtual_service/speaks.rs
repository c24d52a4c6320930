//! Which rules are for a port: those for requests, for TLS or for any connection.

use std::sync::Arc;

use ambit_model::AppProtocol;

use super::{Virtual, matches};
use crate::config::objects::route_values::RoutePort;
use crate::config::objects::virtual_service::is_mesh;

/// What rules are for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    Tls,
    Tcp,
}

/// Whether rules of a kind may be for a port that speaks this.
pub(super) fn may_be(speaks: Speaks, protocol: AppProtocol) -> bool {
    among(protocol).iter().any(|(one, _)| *one == speaks)
}

/// Whether a match is for a port, and for the mesh.
pub(super) fn is_here(of: Option<RoutePort>, gateways: &[Arc<str>], port: u16) -> bool {
    of.is_none_or(|of| of.number() == port) && is_mesh(gateways)
}

/// Which rules are for a port, if there are some.
pub(super) fn speaks(
    (number, protocol): (u16, AppProtocol),
    visible: &[&Virtual<'_>],
) -> Option<Speaks> {
    let specs = || visible.iter().map(|one| &one.object.spec);
    // Whether one match, or a rule without any, is for the port; if so asked, one that names it.
    let is_for = |matches: &mut dyn Iterator<Item = (Option<RoutePort>, &[Arc<str>])>,
                  named: bool| {
        let mut matches = matches.peekable();
        let is_empty = matches.peek().is_none();
        let mut here = matches.filter(|(of, gateways)| is_here(*of, gateways, number));
        here.any(|(of, _)| of.is_some() || !named) || (is_empty && !named)
    };
    let has = |speaks: Speaks, named: bool| {
        specs().any(|spec| match speaks {
            Speaks::Http => {
                let mut rules = spec.http.iter();
                !named && rules.any(|rule| matches::may_be_for(rule, number))
            }
            Speaks::Tls => spec.tls.iter().any(|rule| {
                let matches = rule.matches.iter();
                is_for(&mut matches.map(|one| (one.port, &*one.gateways)), named)
            }),
            Speaks::Tcp => spec.tcp.iter().any(|rule| {
                let matches = rule.matches.iter();
                is_for(&mut matches.map(|one| (one.port, &*one.gateways)), named)
            }),
        })
    };
    let mut kinds = among(protocol).iter();
    let first = kinds.find(|(speaks, named)| has(*speaks, *named));
    first.map(|(speaks, _)| *speaks)
}

/// Kinds of rules for what speaks so, the first that there is counts; and whether that has to name the port.
fn among(protocol: AppProtocol) -> &'static [(Speaks, bool)] {
    match protocol {
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => &[(Speaks::Http, false)],
        AppProtocol::Tls => &[(Speaks::Tls, false), (Speaks::Tcp, false)],
        AppProtocol::Tcp => &[(Speaks::Tcp, false)],
        AppProtocol::Unknown => &[
            (Speaks::Tls, true),
            (Speaks::Tcp, true),
            (Speaks::Http, false),
            (Speaks::Tls, false),
            (Speaks::Tcp, false),
        ],
    }
}
