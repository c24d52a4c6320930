//! Which rules are for a port: those for requests, for TLS or for any connection.

use ambit_model::AppProtocol;

use super::{Virtual, matches};

/// What rules are for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    Tls,
    Tcp,
}

/// Which rules are for a port, if there are some.
pub(super) fn speaks(
    (number, protocol): (u16, AppProtocol),
    visible: &[&Virtual<'_>],
) -> Option<Speaks> {
    let specs = || visible.iter().map(|one| &one.object.spec);
    let has = |speaks: Speaks, named: bool| {
        specs().any(|spec| match speaks {
            Speaks::Http => {
                !named
                    && spec
                        .http
                        .iter()
                        .any(|rule| matches::may_be_for(rule, number))
            }
            Speaks::Tls => {
                let mut matches = spec.tls.iter().flat_map(|rule| &rule.matches);
                let by_name = matches.any(|one| one.port.is_some_and(|p| p.number() == number));
                by_name || (!named && !spec.tls.is_empty())
            }
            Speaks::Tcp => {
                let mut matches = spec.tcp.iter().flat_map(|rule| &rule.matches);
                let by_name = matches.any(|one| one.port.is_some_and(|p| p.number() == number));
                by_name || (!named && !spec.tcp.is_empty())
            }
        })
    };
    let first = |among: &[(Speaks, bool)]| {
        let mut among = among.iter();
        among
            .find(|(speaks, named)| has(*speaks, *named))
            .map(|found| found.0)
    };
    match protocol {
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => {
            first(&[(Speaks::Http, false)])
        }
        AppProtocol::Tls => first(&[(Speaks::Tls, false), (Speaks::Tcp, false)]),
        AppProtocol::Tcp => first(&[(Speaks::Tcp, false)]),
        AppProtocol::Unknown => first(&[
            (Speaks::Tls, true),
            (Speaks::Tcp, true),
            (Speaks::Http, false),
            (Speaks::Tls, false),
            (Speaks::Tcp, false),
        ]),
    }
}
