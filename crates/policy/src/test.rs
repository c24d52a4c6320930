//! One field of a rule, ready to be compared: fields of sources and operations and conditions, which
//! are of the same kinds.

use std::sync::Arc;

use ambit_model::{
    Condition, Operation, PathPattern, RequestPrincipal, ServiceAccountMatch, Source, SpiffeId,
    StringMatch, Values,
};
use ipnet::IpNet;

use crate::attributes::{Attributes, Request};
use crate::template::path_meets;
use crate::text::{bare_host_meets, host_meets, meets, principal_meets};

/// What is looked at, and the values that it is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    DestinationPort(Values<u16>),
    Method(Values<StringMatch>),
    Path(Values<PathPattern>),
    Host(Values<StringMatch>),
    Principal(Values<StringMatch>),
    Namespace(Values<StringMatch>),
    Account(Values<ServiceAccountMatch>),
    SourceIp(Values<IpNet>),
    RemoteIp(Values<IpNet>),
    DestinationIp(Values<IpNet>),
    Sni(Values<StringMatch>),
    Header {
        /// In lower case.
        name: Arc<str>,
        values: Values<StringMatch>,
    },
    RequestPrincipal(Values<RequestPrincipal>),
    Claim {
        path: Vec<Arc<str>>,
        values: Values<StringMatch>,
    },
}

impl Test {
    /// The fields of a source; none of them if it names nothing.
    pub(crate) fn of_source(source: &Source) -> Vec<Self> {
        let Source {
            principals,
            request_principals,
            namespaces,
            service_accounts,
            ip_blocks,
            remote_ip_blocks,
        } = source;
        [
            asked(principals, Self::Principal),
            asked(namespaces, Self::Namespace),
            asked(service_accounts, Self::Account),
            asked(ip_blocks, Self::SourceIp),
            asked(remote_ip_blocks, Self::RemoteIp),
            asked(request_principals, Self::RequestPrincipal),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The fields of an operation; none of them if it names nothing.
    pub(crate) fn of_operation(operation: &Operation) -> Vec<Self> {
        let Operation {
            hosts,
            ports,
            methods,
            paths,
        } = operation;
        [
            asked(ports, Self::DestinationPort),
            asked(methods, Self::Method),
            asked(paths, Self::Path),
            asked(hosts, Self::Host),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// A condition; `None` if it cannot be evaluated.
    pub(crate) fn of_condition(condition: &Condition) -> Option<Self> {
        if condition.is_empty() {
            return None;
        }
        Some(match condition {
            Condition::Header { name, values } => header(name, values)?,
            Condition::Claim { path, .. } if path.is_empty() => return None,
            Condition::Claim { path, values } => claim(path.clone(), values),
            Condition::Audiences(values) => claim(vec!["aud".into()], values),
            Condition::Presenter(values) => claim(vec!["azp".into()], values),
            Condition::RequestPrincipal(values) => Self::RequestPrincipal(values.clone()),
            Condition::SourceIp(values) => Self::SourceIp(values.clone()),
            Condition::RemoteIp(values) => Self::RemoteIp(values.clone()),
            Condition::SourceNamespace(values) => Self::Namespace(values.clone()),
            Condition::SourcePrincipal(values) => Self::Principal(values.clone()),
            Condition::SourceServiceAccount(values) => Self::Account(values.clone()),
            Condition::DestinationIp(values) => Self::DestinationIp(values.clone()),
            Condition::DestinationPort(values) => Self::DestinationPort(values.clone()),
            Condition::Sni(values) => Self::Sni(values.clone()),
        })
    }

    /// The principals of which the client must have one, if it is a list of whole ones.
    pub(crate) fn principals(&self) -> Option<Vec<&Arc<str>>> {
        let Self::Principal(Values { any, .. }) = self else {
            return None;
        };
        let whole = any.iter().map(|wanted| match wanted {
            StringMatch::Exact(principal) => Some(principal),
            StringMatch::Prefix(_) | StringMatch::Suffix(_) | StringMatch::Presence => None,
        });
        let whole: Option<Vec<_>> = whole.collect();
        whole.filter(|principals| !principals.is_empty())
    }

    /// Whether only a request can have what it looks at.
    pub(crate) fn is_of_request(&self) -> bool {
        match self {
            Self::Method(_)
            | Self::Path(_)
            | Self::Host(_)
            | Self::Header { .. }
            | Self::RequestPrincipal(_)
            | Self::Claim { .. } => true,
            Self::DestinationPort(_)
            | Self::Principal(_)
            | Self::Namespace(_)
            | Self::Account(_)
            | Self::SourceIp(_)
            | Self::RemoteIp(_)
            | Self::DestinationIp(_)
            | Self::Sni(_) => false,
        }
    }

    /// Whether it holds, within a rule that `allows` or refuses. What is asked about a request holds for a
    /// connection that has none.
    pub(crate) fn holds(&self, attributes: &Attributes<'_>, allows: bool) -> bool {
        let peer = attributes.peer;
        let of_request =
            |holds: &dyn Fn(&Request<'_>) -> bool| attributes.request.as_ref().is_none_or(holds);
        match self {
            Self::DestinationPort(ports) => {
                let port = attributes.destination.port();
                holds(ports, |wanted| *wanted == port)
            }
            Self::Principal(values) => texts_hold(values, peer.map(SpiffeId::principal)),
            Self::Namespace(values) => texts_hold(values, peer.map(SpiffeId::namespace)),
            Self::Account(values) => holds(values, |wanted| {
                peer.is_some_and(|peer| is_account(wanted, peer))
            }),
            Self::SourceIp(nets) => holds(nets, |net| net.contains(&attributes.source_ip)),
            Self::RemoteIp(nets) => holds(nets, |net| net.contains(&attributes.remote_ip)),
            Self::DestinationIp(nets) => {
                let address = attributes.destination.ip();
                holds(nets, |net| net.contains(&address))
            }
            Self::Sni(values) => texts_hold(values, attributes.sni),
            Self::Method(values) => of_request(&|request| texts_hold(values, Some(request.method))),
            Self::Path(values) => {
                of_request(&|request| holds(values, |wanted| path_meets(wanted, request.path)))
            }
            Self::Host(values) => of_request(&|request| host_holds(values, request.host, allows)),
            Self::Header { name, values } => {
                of_request(&|request| header_holds(name, values, request, allows))
            }
            Self::RequestPrincipal(values) => of_request(&|request| {
                let principal = request.claims.and_then(|claims| claims.principal());
                holds(values, |wanted| {
                    principal.is_some_and(|principal| principal_meets(wanted, principal))
                })
            }),
            Self::Claim { path, values } => of_request(&|request| {
                holds(values, |wanted| {
                    let mut texts = request.claims.iter().flat_map(|claims| claims.texts(path));
                    texts.any(|text| meets(wanted, text.as_bytes()))
                })
            }),
        }
    }
}

/// A field, if it says anything.
fn asked<V: Clone>(values: &Values<V>, test: impl Fn(Values<V>) -> Test) -> Option<Test> {
    (!values.is_empty()).then(|| test(values.clone()))
}

fn claim(path: Vec<Arc<str>>, values: &Values<StringMatch>) -> Test {
    let values = values.clone();
    Test::Claim { path, values }
}

/// `None` for the name of no header: that of a pseudo-header begins with a colon.
fn header(name: &str, values: &Values<StringMatch>) -> Option<Test> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    let name = name.to_ascii_lowercase().into();
    let values = values.clone();
    Some(Test::Header { name, values })
}

/// One of these if there are any, and none of those.
fn holds<V>(values: &Values<V>, is: impl Fn(&V) -> bool) -> bool {
    (values.any.is_empty() || values.any.iter().any(&is)) && !values.none.iter().any(&is)
}

fn texts_hold(values: &Values<StringMatch>, text: Option<&str>) -> bool {
    holds(values, |wanted| {
        text.is_some_and(|text| meets(wanted, text.as_bytes()))
    })
}

/// What allows is met by a host as it is written, what refuses also by one with a dot at its end.
fn host_holds(values: &Values<StringMatch>, host: Option<&str>, allows: bool) -> bool {
    let is_one_of = |wanted: &[StringMatch], refuses: bool| {
        let meets = |host: &str, wanted: &_| {
            let is_refused = || *wanted == StringMatch::Presence || bare_host_meets(wanted, host);
            host_meets(wanted, host) || refuses && is_refused()
        };
        host.is_some_and(|host| wanted.iter().any(|wanted| meets(host, wanted)))
    };
    let Values { any, none } = values;
    (any.is_empty() || is_one_of(any, !allows)) && !is_one_of(none, allows)
}

/// A header may have several lines, and nobody knows which of them the application takes: what allows is met by
/// all of them, what refuses by any of them or by all as one text. One without a text is there and is nothing: what
/// allows a header whatever it says does not take it, and what refuses one does.
fn header_holds(
    name: &str,
    values: &Values<StringMatch>,
    request: &Request<'_>,
    allows: bool,
) -> bool {
    let any_line = |is: &mut dyn FnMut(&[u8]) -> bool| match name {
        "host" => request.host.is_some_and(|host| is(host.as_bytes())),
        _ => request.headers.any_line(name, is),
    };
    let all_lines = || match name {
        "host" => None,
        _ => request.headers.header(name),
    };
    let is_one_of = |wanted: &[StringMatch], line: &[u8]| {
        let mut wanted = wanted.iter();
        wanted.any(|wanted| meets(wanted, line))
    };
    let by_all = |wanted: &[StringMatch]| {
        let is_there = any_line(&mut |_| true);
        is_there && !any_line(&mut |line| !is_one_of(wanted, line))
    };
    let by_any = |wanted: &[StringMatch]| {
        let takes_all = wanted.contains(&StringMatch::Presence);
        any_line(&mut |line| takes_all || is_one_of(wanted, line))
            || all_lines().is_some_and(|text| is_one_of(wanted, &text))
    };
    let Values { any, none } = values;
    match allows {
        true => (any.is_empty() || by_all(any)) && !(by_any(none)),
        false => (any.is_empty() || by_any(any)) && !(by_all(none)),
    }
}

fn is_account(wanted: &ServiceAccountMatch, peer: &SpiffeId) -> bool {
    *wanted.namespace == *peer.namespace() && *wanted.service_account == *peer.service_account()
}
