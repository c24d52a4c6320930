//! A request to be changed where a test needs it, and tables of whether rules match it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use ambit_model::{PolicyName, RequestAction, RequestPolicy, RequestRule, SpiffeId};
use serde_json::Value;

use super::written;
use crate::{Attributes, Claims, Headers, Policy, Request, joined};

/// A connection, and its request if it has one.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) peer: Option<SpiffeId>,
    pub(super) source_ip: IpAddr,
    pub(super) remote_ip: IpAddr,
    pub(super) destination: SocketAddr,
    pub(super) sni: Option<String>,
    pub(super) request: Option<Asked>,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) headers: Lines,
    pub(super) claims: Option<Claims>,
    /// The payload that the claims are made of.
    pub(super) token: Option<Value>,
}

/// Lines of headers, names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(pub(super) Vec<(String, Vec<u8>)>);

impl Headers for Lines {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let lines = self.0.iter().filter(|(key, _)| key == name);
        joined(lines.map(|(_, value)| &**value))
    }

    fn any_line(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut lines = self.0.iter().filter(|(key, _)| key == name);
        lines.any(|(_, value)| is(value))
    }
}

/// `GET http://shop.example.com/cart` from `shop/web` at 10.0.0.9, which a proxy sent on for 192.0.2.7,
/// to 10.0.0.1:8080.
pub(super) fn web() -> Ask {
    Ask {
        peer: Some(SpiffeId::from_parts("cluster.local", "shop", "web")),
        source_ip: "10.0.0.9".parse().unwrap(),
        remote_ip: "192.0.2.7".parse().unwrap(),
        destination: "10.0.0.1:8080".parse().unwrap(),
        sni: None,
        request: Some(Asked {
            method: "GET".to_owned(),
            host: Some("shop.example.com".to_owned()),
            path: "/cart".to_owned(),
            headers: Lines::default(),
            claims: None,
            token: None,
        }),
    }
}

/// The same connection, without a request.
pub(super) fn connection() -> Ask {
    Ask {
        request: None,
        ..web()
    }
}

impl Ask {
    pub(super) fn plaintext(mut self) -> Self {
        self.peer = None;
        self
    }

    pub(super) fn peer(mut self, id: &str) -> Self {
        self.peer = Some(id.parse().unwrap());
        self
    }

    pub(super) fn source(mut self, address: &str) -> Self {
        self.source_ip = address.parse().unwrap();
        self
    }

    pub(super) fn remote(mut self, address: &str) -> Self {
        self.remote_ip = address.parse().unwrap();
        self
    }

    pub(super) fn destination(mut self, address: &str) -> Self {
        self.destination = address.parse().unwrap();
        self
    }

    pub(super) fn sni(mut self, name: &str) -> Self {
        self.sni = Some(name.to_owned());
        self
    }

    pub(super) fn method(self, method: &str) -> Self {
        self.asked(|asked| asked.method = method.to_owned())
    }

    pub(super) fn host(self, host: &str) -> Self {
        self.asked(|asked| asked.host = Some(host.to_owned()))
    }

    pub(super) fn without_host(self) -> Self {
        self.asked(|asked| asked.host = None)
    }

    pub(super) fn path(self, path: &str) -> Self {
        self.asked(|asked| asked.path = path.to_owned())
    }

    pub(super) fn header(self, name: &str, value: &str) -> Self {
        let line = (name.to_ascii_lowercase(), value.as_bytes().to_vec());
        self.asked(|asked| asked.headers.0.push(line))
    }

    pub(super) fn claims(self, claims: Value) -> Self {
        let payload = claims.as_object().unwrap().clone();
        self.asked(|asked| {
            asked.claims = Some(Claims::new(payload));
            asked.token = Some(claims);
        })
    }

    fn asked(mut self, change: impl FnOnce(&mut Asked)) -> Self {
        change(self.request.as_mut().unwrap());
        self
    }

    pub(super) fn attributes(&self) -> Attributes<'_> {
        Attributes {
            peer: self.peer.as_ref(),
            source_ip: self.source_ip,
            remote_ip: self.remote_ip,
            destination: self.destination,
            sni: self.sni.as_deref(),
            request: self.request.as_ref().map(|asked| Request {
                method: &asked.method,
                host: asked.host.as_deref(),
                path: &asked.path,
                headers: &asked.headers,
                claims: asked.claims.as_ref(),
            }),
        }
    }
}

pub(super) fn policy(name: &str, action: RequestAction, rules: Vec<RequestRule>) -> RequestPolicy {
    RequestPolicy {
        name: PolicyName::new("shop", name),
        action,
        dry_run: false,
        rules,
    }
}

/// Whether a rule matches, within a policy of the given action.
pub(super) fn matches(rule: &RequestRule, action: RequestAction, ask: &Ask) -> bool {
    matched_by(action, std::slice::from_ref(rule), ask).is_some()
}

/// Index of the first of the rules that matches, within a policy of the given action.
pub(super) fn matched_by(action: RequestAction, rules: &[RequestRule], ask: &Ask) -> Option<usize> {
    let policy = policy("p", action, rules.to_vec());
    Policy::new(&policy).matched_by(&ask.attributes())
}

/// A rule as a person writes it, a request, and whether it shall match whatever the action.
pub(super) type Row = (Value, Ask, bool);

/// Fails with all rows that come out otherwise.
pub(super) fn check(rows: Vec<Row>) {
    const ACTIONS: [RequestAction; 3] = [
        RequestAction::Allow,
        RequestAction::Deny,
        RequestAction::Audit,
    ];
    let mut failures = Vec::new();
    for (written, ask, expected) in rows {
        let rule = written::rule(&written);
        for action in ACTIONS {
            if matches(&rule, action, &ask) != expected {
                failures.push(format!(
                    "{action:?} {written}\n  shall match: {expected}\n  {ask:?}"
                ));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
