//! What an enrolment request says about a pod, checked once: afterwards every name is safe to use
//! as a file name, in a fixed-size record and in a log line.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_wire::node;
use serde::{Deserialize, Serialize};

/// Longest pod uid that fits the records of the proxy link.
pub const UID_BYTES: usize = 40;
/// Longest name of a Kubernetes object.
const NAME_BYTES: usize = 253;
/// Longest name of a Kubernetes namespace.
const NAMESPACE_BYTES: usize = 63;
/// Most addresses of one pod; Kubernetes gives at most two.
const IPS: usize = 8;

/// Kubernetes' own uid of a pod: letters, digits, `-`, `_` and `.`, not starting with a dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodUid(Arc<str>);

/// A pod as its enrolment named it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNames {
    /// Kubernetes' own uid.
    pub uid: PodUid,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Service account that the pod runs as; empty while it is not known.
    pub service_account: String,
    /// Addresses of the pod.
    pub ips: Vec<IpAddr>,
}

/// Why a field of an enrolment request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} is {problem}; give the value that Kubernetes has for the pod")]
pub struct NameError {
    /// The field of the request.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl PodUid {
    /// Checks a uid; it must be usable as a file name and fit the records of the proxy link.
    pub fn parse(uid: &str) -> Result<Self, NameError> {
        check_name("uid", uid, UID_BYTES)?;
        Ok(Self(uid.into()))
    }

    /// The uid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PodNames {
    /// Checks every field but that there are addresses: a pod that is being started has none.
    pub fn checked_but_addresses(self) -> Result<Self, NameError> {
        if !self.ips.is_empty() {
            return self.checked();
        }
        // Any address will do for the check of the rest.
        let ips = vec![IpAddr::from([192, 0, 2, 1])];
        let checked = Self { ips, ..self }.checked()?;
        Ok(Self {
            ips: Vec::new(),
            ..checked
        })
    }

    /// Checks every field that is there; needed after reading one from JSON, which checks the uid
    /// only.
    pub fn checked(self) -> Result<Self, NameError> {
        check_name("namespace", &self.namespace, NAMESPACE_BYTES)?;
        check_name("name", &self.name, NAME_BYTES)?;
        // A pod may be captured before anybody could say which account it runs as.
        if !self.service_account.is_empty() {
            check_name("service_account", &self.service_account, NAME_BYTES)?;
        }
        if self.ips.is_empty() || self.ips.len() > IPS {
            let problem = format!("a list of {} addresses, not of 1 to {IPS}", self.ips.len());
            return Err(NameError {
                field: "ips",
                problem,
            });
        }
        match self.ips.iter().find(|ip| !is_pod_address(ip)) {
            Some(ip) => Err(NameError {
                field: "ips",
                problem: format!("not a pod's address: {ip}"),
            }),
            None => Ok(self),
        }
    }

    /// The pod as the other roles are told of it.
    pub fn to_wire(&self) -> node::Pod {
        node::Pod {
            uid: self.uid.as_str().to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            service_account: self.service_account.clone(),
            ips: self.ips.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for PodNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for PodUid {
    type Error = NameError;

    fn try_from(uid: String) -> Result<Self, NameError> {
        Self::parse(&uid)
    }
}

impl From<PodUid> for String {
    fn from(uid: PodUid) -> Self {
        uid.as_str().to_owned()
    }
}

/// Checks the name that a container runtime gives to a pod's sandbox.
pub(crate) fn check_container(container: &str) -> Result<(), NameError> {
    check_name("container", container, NAME_BYTES)
}

fn is_pod_address(ip: &IpAddr) -> bool {
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

/// Checks a service account that must be known.
pub(crate) fn check_account(account: &str) -> Result<(), NameError> {
    check_name("service_account", account, NAME_BYTES)
}

fn check_name(field: &'static str, text: &str, longest: usize) -> Result<(), NameError> {
    let problem = if text.is_empty() {
        "empty".to_owned()
    } else if text.len() > longest {
        format!("{} bytes long, more than {longest}", text.len())
    } else if text.starts_with(['.', '-']) {
        "starting with a dot or a dash".to_owned()
    } else if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        "holding a character other than letters, digits, `-`, `_` and `.`".to_owned()
    } else {
        return Ok(());
    };
    Err(NameError { field, problem })
}

#[cfg(test)]
mod tests;
