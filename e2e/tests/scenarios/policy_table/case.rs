//! The table's text, read.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// The table.
const TABLE: &str = include_str!("table.txt");

/// Some policies, and what they make of requests and connections.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) policies: Vec<Policy>,
    pub(super) asks: Vec<Ask>,
    /// Who connects to a port that is no HTTP, and whether that is served.
    pub(super) echoes: Vec<(&'static str, bool)>,
}

/// One policy.
pub(super) struct Policy {
    pub(super) place: Place,
    pub(super) action: String,
    pub(super) dry_run: bool,
    /// As its users write them; none is not the same as no rule.
    pub(super) rules: Option<Vec<Value>>,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Pod,
    Namespace,
    Root,
    Service,
    /// The same, by the field for one target alone.
    Target,
    Gateway,
    Class,
}

/// A request, and the status of its answer.
pub(super) struct Ask {
    /// Whether a plain Envoy can be asked the same.
    pub(super) shared: bool,
    pub(super) versions: Vec<Version>,
    pub(super) status: u16,
    pub(super) who: String,
    /// Lines of the head: the first is method and path, or all as it is sent.
    pub(super) lines: Vec<String>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Who there is.
pub(super) struct Addresses {
    pub(super) client: IpAddr,
    pub(super) other: IpAddr,
    pub(super) service: IpAddr,
    pub(super) server: IpAddr,
}

/// All cases, with these addresses.
pub(super) fn cases(addresses: &Addresses) -> Vec<Case> {
    let text = TABLE
        .replace("CLIENT_IP", &addresses.client.to_string())
        .replace("OTHER_IP", &addresses.other.to_string())
        .replace("SERVICE_IP", &addresses.service.to_string())
        .replace("SERVER_IP", &addresses.server.to_string())
        .replace("\\t", "\t");
    let mut cases: Vec<Case> = Vec::new();
    let meant = |line: &&str| !line.is_empty() && !line.starts_with('#');
    for line in text.leak().lines().filter(meant) {
        if let Some(name) = line.strip_prefix("= ") {
            cases.push(Case {
                name,
                policies: Vec::new(),
                asks: Vec::new(),
                echoes: Vec::new(),
            });
            continue;
        }
        let case = cases.last_mut().unwrap();
        if let Some(rest) = line.strip_prefix("echo ") {
            let (who, is_served) = rest.split_once(' ').unwrap();
            case.echoes.push((who, is_served == "yes"));
        } else if let Some(policy) = Policy::read(line) {
            case.policies.push(policy);
        } else {
            case.asks.push(Ask::read(line));
        }
    }
    cases
}

impl Case {
    /// Whether its policies speak of what was asked for, and not of the pod.
    pub(super) fn is_of_service(&self) -> bool {
        let mut places = self.policies.iter().map(|policy| policy.place);
        places.any(Place::is_bound)
    }
}

impl Place {
    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "pod" => Self::Pod,
            "namespace" => Self::Namespace,
            "root" => Self::Root,
            "service" => Self::Service,
            "target" => Self::Target,
            "gateway" => Self::Gateway,
            "class" => Self::Class,
            _ => return None,
        })
    }

    /// Whether it is judged before a request is routed.
    pub(super) fn is_bound(self) -> bool {
        matches!(
            self,
            Self::Service | Self::Target | Self::Gateway | Self::Class
        )
    }
}

impl Policy {
    /// `None` for the line of a request.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ').peekable();
        let place = Place::read(words.next()?)?;
        let action = words.next()?.to_owned();
        let dry_run = words.next_if_eq(&"dry-run").is_some();
        let rules: Vec<&str> = words.collect();
        let rules = match rules[..] {
            ["none"] => None,
            ["any"] => Some(vec![json!({})]),
            _ => Some(rules.split(|word| *word == ";").map(rule).collect()),
        };
        Some(Self {
            place,
            action,
            dry_run,
            rules,
        })
    }

    /// The object, as its users write it.
    pub(super) fn object(&self, name: &str) -> Value {
        let gateway = |kind, name| json!([{"kind": kind, "group": "gateway.networking.k8s.io", "name": name}]);
        let (namespace, field, target) = match self.place {
            Place::Pod => (
                "shop",
                "selector",
                json!({"matchLabels": {"app": "server"}}),
            ),
            Place::Namespace => ("shop", "selector", json!({})),
            Place::Root => ("istio-system", "selector", json!({})),
            Place::Service => (
                "shop",
                "targetRefs",
                json!([{"kind": "Service", "group": "", "name": "server"}]),
            ),
            Place::Target => (
                "shop",
                "targetRef",
                json!({"kind": "Service", "group": "", "name": "server", "namespace": "shop"}),
            ),
            Place::Gateway => ("shop", "targetRefs", gateway("Gateway", "waypoint")),
            Place::Class => (
                "istio-system",
                "targetRefs",
                gateway("GatewayClass", "ambit-waypoint"),
            ),
        };
        let mut spec = json!({"action": self.action, field: target});
        if let Some(rules) = &self.rules {
            spec["rules"] = json!(rules);
        }
        if self.action == "CUSTOM" {
            spec["provider"] = json!({"name": "somebody"});
        }
        let dry_run = self.dry_run.to_string();
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": namespace, "annotations": {"istio.io/dry-run": dry_run}},
            "spec": spec,
        })
    }
}

/// A rule, as its users write it.
fn rule(words: &[&str]) -> Value {
    let mut rule = Map::new();
    let mut kind = "";
    for word in words {
        if ["from", "to", "when"].contains(word) {
            kind = word;
            let entries = rule.entry(kind).or_insert_with(|| json!([]));
            let entries = entries.as_array_mut().unwrap();
            match kind {
                "from" => entries.push(json!({"source": {}})),
                "to" => entries.push(json!({"operation": {}})),
                _ => {}
            }
            continue;
        }
        let (name, values) = word.split_once('=').unwrap();
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.replace("%2C", ","))
            .collect();
        let entries = rule[kind].as_array_mut().unwrap();
        match kind {
            "from" => entries.last_mut().unwrap()["source"][name] = json!(values),
            "to" => entries.last_mut().unwrap()["operation"][name] = json!(values),
            _ => entries.push(match name.strip_suffix('!') {
                Some(key) => json!({"key": key, "notValues": values}),
                None => json!({"key": name, "values": values}),
            }),
        }
    }
    rule.into()
}

impl Ask {
    fn read(line: &str) -> Self {
        let (mut versions, mut shared) = (vec![Version::One, Version::Two], true);
        let mut rest = line;
        let (status, who, first) = loop {
            let (word, after) = rest.split_once(' ').unwrap();
            rest = after;
            match word {
                "h1" => versions = vec![Version::One],
                "h2" => versions = vec![Version::Two],
                "ours" => shared = false,
                status => {
                    let (who, first) = after.split_once(' ').unwrap();
                    break (status.parse().unwrap(), who, first);
                }
            }
        };
        Self {
            shared,
            versions,
            status,
            who: who.to_owned(),
            lines: first.split(" | ").map(str::to_owned).collect(),
        }
    }
}
