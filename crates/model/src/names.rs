//! Names of model objects, cheap to clone: every one is a counted reference to shared text.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name of a workload on the wire, `cluster/group/kind/namespace/name[/section]`.
///
/// It names the *place*: a StatefulSet gives the same name to one pod after another. What tells
/// two pods apart is [`Workload::pod_uid`](crate::Workload::pod_uid).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadUid(Arc<str>);

impl WorkloadUid {
    /// Takes the name as it stands on the wire.
    pub fn new(uid: impl Into<Arc<str>>) -> Self {
        Self(uid.into())
    }

    /// The name of a Kubernetes pod in the given cluster: `cluster//Pod/namespace/name`.
    pub fn pod(cluster: &str, namespace: &str, name: &str) -> Self {
        Self(format!("{cluster}//Pod/{namespace}/{name}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkloadUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkloadUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Name of a service: its namespace and its full host name. On the wire and in JSON, where it is a
/// key of maps, `namespace/hostname`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ServiceName {
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Full host name, such as `web.shop.svc.cluster.local`.
    pub hostname: Arc<str>,
}

impl ServiceName {
    /// Puts the two parts together.
    pub fn new(namespace: impl Into<Arc<str>>, hostname: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            hostname: hostname.into(),
        }
    }

    /// Reads `namespace/hostname`; `None` if there is no slash or a part is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, hostname) = text.split_once('/')?;
        if namespace.is_empty() || hostname.is_empty() {
            return None;
        }
        Some(Self::new(namespace, hostname))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for ServiceName {
    type Error = NotAServiceName;

    fn try_from(text: String) -> Result<Self, NotAServiceName> {
        Self::parse(&text).ok_or(NotAServiceName(text))
    }
}

/// A text that is not the name of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a service's name: expected NAMESPACE/HOSTNAME")]
pub struct NotAServiceName(String);

/// Name of an authorization policy. An empty namespace is the root scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyName {
    /// Namespace that the policy object lives in; empty for one made by the control plane.
    pub namespace: Arc<str>,
    /// Name of the object.
    pub name: Arc<str>,
}

impl PolicyName {
    /// Puts the two parts together.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads `namespace/name`; `None` if there is no slash or the name is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        if name.is_empty() {
            return None;
        }
        Some(Self::new(namespace, name))
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An address within a named network. The empty network is the default one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkAddress {
    /// Name of the network.
    pub network: Arc<str>,
    /// The address.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests;
