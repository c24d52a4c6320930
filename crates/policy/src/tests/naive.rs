//! A second evaluator, written from the model alone: slowly, and with nothing in common with the first.
//!
//! What a request has for a field is a list of texts, and a value of a policy is its pattern as it is
//! written; a pattern meets a text if some way of reading its stars does.

use std::net::IpAddr;

use ambit_model::{
    Condition, Operation, PathPattern, RequestAction, RequestPolicy, RequestPrincipal, RequestRule,
    ServiceAccountMatch, Source, StringMatch, Values,
};
use ipnet::IpNet;
use serde_json::Value;

use super::asking::{Ask, Asked};

/// Index of the first rule that matches.
pub(super) fn first_rule(policy: &RequestPolicy, ask: &Ask) -> Option<usize> {
    (0..policy.rules.len()).find(|index| {
        let rule = &policy.rules[*index];
        let allow = policy.action == RequestAction::Allow;
        match verdict_of(rule, ask, allow) {
            Answer::Known(matches) => matches,
            Answer::Unknown => !allow,
            // Without what it asks about the request, it matches.
            Answer::WithoutRequest(rest) => !allow && rest,
        }
    })
}

/// Whether a rule matches.
enum Answer {
    Known(bool),
    /// It cannot be evaluated.
    Unknown,
    /// It asks about a request that there is not; whether the rest of it matches.
    WithoutRequest(bool),
}

fn verdict_of(rule: &RequestRule, ask: &Ask, allow: bool) -> Answer {
    let sources: Vec<_> = rule
        .from
        .iter()
        .map(|source| of_source(source, ask))
        .collect();
    let operations: Vec<_> = rule.to.iter().map(|one| of_operation(one, ask)).collect();
    let conditions: Vec<_> = rule
        .when
        .iter()
        .map(|one| of_condition(one, ask, allow))
        .collect();
    let empty = sources.iter().chain(&operations).any(Vec::is_empty);
    let unknown = conditions.iter().any(Option::is_none);
    if rule.unsupported || empty || unknown {
        return Answer::Unknown;
    }
    let conditions: Vec<Held> = conditions.into_iter().flatten().collect();
    let mut asked = sources
        .iter()
        .chain(&operations)
        .flatten()
        .chain(&conditions);
    let about_request = asked.any(|held| *held == Held::NoRequest);
    let true_or_absent = |held: &Held| *held != Held::No;
    let one = |entries: &[Vec<Held>]| {
        entries.is_empty() || entries.iter().any(|entry| entry.iter().all(true_or_absent))
    };
    let matches = one(&sources) && one(&operations) && conditions.iter().all(true_or_absent);
    match about_request {
        true => Answer::WithoutRequest(matches),
        false => Answer::Known(matches),
    }
}

/// What came of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    No,
    /// It asks about a request that there is not.
    NoRequest,
}

fn held(yes: bool) -> Held {
    if yes { Held::Yes } else { Held::No }
}

/// A field: nothing if it has no values.
fn field<V, T: ?Sized>(
    values: &Values<V>,
    texts: &[&T],
    meets: impl Fn(&V, &T) -> bool,
) -> Option<Held> {
    if values.any.is_empty() && values.none.is_empty() {
        return None;
    }
    let met = |list: &[V]| {
        let pairs = list
            .iter()
            .flat_map(|value| texts.iter().map(move |text| (value, *text)));
        pairs.filter(|(value, text)| meets(value, text)).count() > 0
    };
    Some(held(
        (values.any.is_empty() || met(&values.any)) && !met(&values.none),
    ))
}

/// The same about a request.
fn of_request<V>(
    values: &Values<V>,
    ask: &Ask,
    holds: impl Fn(&Asked) -> Option<Held>,
) -> Option<Held> {
    match &ask.request {
        Some(asked) => holds(asked),
        None if values.any.is_empty() && values.none.is_empty() => None,
        None => Some(Held::NoRequest),
    }
}

/// The parts of an identity: all after its scheme, namespace, account.
fn identity(ask: &Ask) -> Option<(String, String, String)> {
    let id = ask.peer.as_ref()?.as_str().strip_prefix("spiffe://")?;
    let parts: Vec<&str> = id.split('/').collect();
    Some((id.to_owned(), parts[2].to_owned(), parts[4].to_owned()))
}

fn principals(values: &Values<StringMatch>, ask: &Ask) -> Option<Held> {
    let identity = identity(ask);
    let texts: Vec<&str> = identity.iter().map(|(id, _, _)| &**id).collect();
    field(values, &texts, text_meets)
}

fn namespaces(values: &Values<StringMatch>, ask: &Ask) -> Option<Held> {
    let identity = identity(ask);
    let texts: Vec<&str> = identity
        .iter()
        .map(|(_, namespace, _)| &**namespace)
        .collect();
    field(values, &texts, text_meets)
}

fn accounts(values: &Values<ServiceAccountMatch>, ask: &Ask) -> Option<Held> {
    let identity = identity(ask);
    let accounts: Vec<_> = identity.iter().collect();
    field(values, &accounts, |wanted, (_, namespace, account)| {
        format!("{}/{}", wanted.namespace, wanted.service_account)
            == format!("{namespace}/{account}")
    })
}

fn addresses(values: &Values<IpNet>, address: IpAddr) -> Option<Held> {
    let plain = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    field(values, &[&plain], |net, address| {
        net.network() <= *address && *address <= net.broadcast()
    })
}

fn request_principals(values: &Values<RequestPrincipal>, ask: &Ask) -> Option<Held> {
    of_request(values, ask, |asked| {
        let claim = |name: &str| match path_in(asked, &[name]) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let principal = claim("iss").zip(claim("sub"));
        let principals: Vec<_> = principal.iter().collect();
        field(values, &principals, |wanted, (issuer, subject)| {
            text_meets(&wanted.issuer, issuer) && text_meets(&wanted.subject, subject)
        })
    })
}

fn of_source(source: &Source, ask: &Ask) -> Vec<Held> {
    let fields = [
        principals(&source.principals, ask),
        request_principals(&source.request_principals, ask),
        namespaces(&source.namespaces, ask),
        accounts(&source.service_accounts, ask),
        addresses(&source.ip_blocks, ask.source_ip),
        addresses(&source.remote_ip_blocks, ask.remote_ip),
    ];
    fields.into_iter().flatten().collect()
}

fn ports(values: &Values<u16>, ask: &Ask) -> Option<Held> {
    field(values, &[&ask.destination.port()], |wanted, port| {
        wanted == port
    })
}

fn of_operation(operation: &Operation, ask: &Ask) -> Vec<Held> {
    let fields = [
        of_request(&operation.hosts, ask, |asked| {
            let hosts = host_names(asked);
            let hosts: Vec<&str> = hosts.iter().map(|host| &**host).collect();
            field(&operation.hosts, &hosts, |wanted, host| {
                glob(pattern(wanted).to_lowercase().as_bytes(), host.as_bytes())
            })
        }),
        ports(&operation.ports, ask),
        of_request(&operation.methods, ask, |asked| {
            field(&operation.methods, &[&*asked.method], text_meets)
        }),
        of_request(&operation.paths, ask, |asked| {
            field(&operation.paths, &[&*asked.path], path_meets)
        }),
    ];
    fields.into_iter().flatten().collect()
}

/// The host in lower case, and without its port. (There are no addresses of IPv6 in these tests.)
fn host_names(asked: &Asked) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(host) = &asked.host {
        let host = host.to_lowercase();
        let bare = host.trim_end_matches(|c: char| c.is_ascii_digit());
        names.extend(bare.strip_suffix(':').map(str::to_owned));
        names.push(host);
    }
    names
}

/// `None` if it cannot be evaluated.
fn of_condition(condition: &Condition, ask: &Ask, allow: bool) -> Option<Held> {
    let claim = |values: &Values<StringMatch>, path: &[&str]| {
        of_request(values, ask, |asked| {
            let texts: Vec<String> = match path_in(asked, path) {
                Some(Value::String(text)) => vec![text],
                Some(Value::Array(list)) => {
                    let texts = list.iter().filter_map(Value::as_str);
                    texts.map(str::to_owned).collect()
                }
                _ => Vec::new(),
            };
            let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
            field(values, &texts, text_meets)
        })
    };
    match condition {
        // The name of a pseudo-header.
        Condition::Header { name, .. } if name.starts_with(':') => None,
        Condition::Header { name, values } => of_request(values, ask, |asked| {
            let lines = asked.headers.0.iter().filter(|(key, _)| **key == **name);
            let mut lines: Vec<String> = lines
                .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
                .collect();
            if **name == *"host" {
                lines = asked.host.iter().map(ToString::to_string).collect();
            }
            if values.any.is_empty() && values.none.is_empty() {
                return None;
            }
            let met = |list: &[StringMatch], text: &str| {
                list.iter().filter(|value| text_meets(value, text)).count() > 0
            };
            let joined = (!lines.is_empty()).then(|| lines.join(","));
            let all = |list: &[StringMatch]| {
                !lines.is_empty() && lines.iter().filter(|line| !met(list, line)).count() == 0
            };
            let some = |list: &[StringMatch]| {
                let is_there = joined.is_some() && list.iter().any(|value| pattern(value) == "*");
                is_there || lines.iter().chain(&joined).any(|text| met(list, text))
            };
            let (positive, negative) = match allow {
                true => (all(&values.any), some(&values.none)),
                false => (some(&values.any), all(&values.none)),
            };
            Some(held((values.any.is_empty() || positive) && !negative))
        }),
        Condition::Claim { path, values } => {
            let path: Vec<&str> = path.iter().map(|name| &**name).collect();
            if path.is_empty() {
                None
            } else {
                claim(values, &path)
            }
        }
        Condition::RequestPrincipal(values) => request_principals(values, ask),
        Condition::Audiences(values) => claim(values, &["aud"]),
        Condition::Presenter(values) => claim(values, &["azp"]),
        Condition::SourceIp(values) => addresses(values, ask.source_ip),
        Condition::RemoteIp(values) => addresses(values, ask.remote_ip),
        Condition::SourceNamespace(values) => namespaces(values, ask),
        Condition::SourcePrincipal(values) => principals(values, ask),
        Condition::SourceServiceAccount(values) => accounts(values, ask),
        Condition::DestinationIp(values) => addresses(values, ask.destination.ip()),
        Condition::DestinationPort(values) => ports(values, ask),
        Condition::Sni(values) => {
            let names: Vec<&str> = ask.sni.iter().map(|name| &**name).collect();
            field(values, &names, text_meets)
        }
    }
}

/// A claim as the token has it.
fn path_in(asked: &Asked, path: &[&str]) -> Option<Value> {
    let claims = asked.token.clone()?;
    let mut found = claims;
    for name in path {
        found = found.as_object()?.get(*name)?.clone();
    }
    Some(found)
}

fn pattern(wanted: &StringMatch) -> String {
    match wanted {
        StringMatch::Exact(text) => text.to_string(),
        StringMatch::Prefix(text) => format!("{text}*"),
        StringMatch::Suffix(text) => format!("*{text}"),
        StringMatch::Presence => "*".to_owned(),
    }
}

fn text_meets(wanted: &StringMatch, text: &str) -> bool {
    glob(pattern(wanted).as_bytes(), text.as_bytes())
}

/// A star alone is at least one character, others are any number.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    if pattern == b"*" {
        return !text.is_empty();
    }
    walk(pattern, text, |_| true)
}

/// Tries every length of every star.
fn walk(pattern: &[u8], text: &[u8], may_be_passed: fn(u8) -> bool) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => {
            let longest = text.iter().take_while(|byte| may_be_passed(**byte)).count();
            (0..=longest).any(|length| walk(rest, &text[length..], may_be_passed))
        }
        [first, rest @ ..] => text.first() == Some(first) && walk(rest, &text[1..], may_be_passed),
    }
}

fn path_meets(wanted: &PathPattern, path: &str) -> bool {
    match wanted {
        PathPattern::Text(text) => text_meets(text, path),
        PathPattern::Template(template) => template_meets(&template.to_string(), path),
    }
}

/// `{*}` is one character or more that are no slash, `{**}` any characters.
fn template_meets(template: &str, path: &str) -> bool {
    if let Some((before, after)) = template.split_once("{**}") {
        let mut cuts = (0..=path.len()).filter_map(|cut| path.split_at_checked(cut));
        return cuts.any(|(start, rest)| template_meets(before, start) && rest.ends_with(after));
    }
    match template.split_once("{*}") {
        None => template == path,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            let cuts = (1..=rest.len()).filter_map(|cut| rest.split_at_checked(cut));
            cuts.take_while(|(segment, _)| !segment.contains('/'))
                .any(|(_, rest)| template_meets(after, rest))
        }),
    }
}
