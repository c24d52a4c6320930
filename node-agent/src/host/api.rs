//! The language of `agent.sock`: one JSON object per line and its answer. Pure, no I/O.
//!
//! Spoken by the CNI plugin, the e2e harness and `ambit-node-agent pod`. [`parse`] takes any
//! bytes and never panics; it is a fuzz target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names::{self, NameError, PodNames, PodUid};

/// Longest request or answer line that is read.
pub const LINE_BYTES: usize = 16 * 1024;

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// Capture a pod.
    Enrol(EnrolRequest),
    /// Stop capturing a pod.
    Release(ReleaseRequest),
    /// Say what is enrolled and how the role is doing.
    List(Nothing),
    /// Start a new generation of the proxy and drain the present one.
    ReplaceProxy(Nothing),
    /// Capture a pod that the container runtime is about to start, if it is of the mesh.
    CniAdd(CniPod),
    /// Say whether a pod of the container runtime is captured as it should be.
    CniCheck(CniPod),
    /// Take note that the container runtime ends a pod.
    CniDel(CniEnd),
}

/// A request to capture a pod. Its network namespace is named by path or comes as a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// Where the network namespace is found; absent if a descriptor comes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// Kubernetes' own uid.
    pub uid: PodUid,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Service account that the pod runs as.
    pub service_account: String,
    /// Addresses of the pod.
    pub ips: Vec<std::net::IpAddr>,
}

/// A request to stop capturing a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Kubernetes' own uid.
    pub uid: PodUid,
}

/// A pod as the container runtime knows it: without its service account and its labels.
///
/// Fields that are not known are passed over: the plugin on the node may be newer than the agent
/// that it asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniPod {
    /// Where the runtime has the network namespace; a descriptor that comes along counts more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// Kubernetes' own uid.
    pub uid: PodUid,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Addresses of the pod.
    pub ips: Vec<std::net::IpAddr>,
    /// The runtime's name for the pod's sandbox.
    pub container: String,
}

/// A pod that the container runtime ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniEnd {
    /// Kubernetes' own uid.
    pub uid: PodUid,
    /// The runtime's name for the pod's sandbox.
    pub container: String,
}

/// A request without arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Why a line is not a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Longer than a request can be.
    #[error("the request is longer than {LINE_BYTES} bytes")]
    TooLong,
    /// Not the JSON that is expected here.
    #[error("not a request: {0}; expected one JSON object with \"op\" on one line")]
    NotARequest(String),
    /// A field does not hold what Kubernetes could have put there.
    #[error(transparent)]
    Field(#[from] NameError),
    /// The path cannot be one of a network namespace.
    #[error("field netns is not an absolute path: {0:?}")]
    Path(String),
}

/// The answer to a request; absent parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether what was asked is so now.
    pub ok: bool,
    /// What went wrong, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What went wrong, as one stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// State of the pod that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The generation that a `replace-proxy` started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Every pod known to the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Vec<PodView>>,
    /// Every living generation of the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Vec<ProxyView>>,
    /// Counters of the role since its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<BTreeMap<String, u64>>,
}

/// A pod as `list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodView {
    /// Names and addresses.
    #[serde(flatten)]
    pub names: PodNames,
    /// `enrolling`, `captured`, `withdrawing` or `draining`.
    pub state: String,
    /// Inode of its network namespace.
    pub netns_inode: u64,
    /// Path of its network namespace, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
}

/// A generation of the proxy as `list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyView {
    /// Number of the generation.
    pub generation: u64,
    /// `starting`, `serving` or `draining`.
    pub state: String,
    /// Process id.
    pub pid: u32,
}

/// Reads one request line.
pub fn parse(line: &[u8]) -> Result<Request, RequestError> {
    if line.len() > LINE_BYTES {
        return Err(RequestError::TooLong);
    }
    let request: Request =
        serde_json::from_slice(line).map_err(|e| RequestError::NotARequest(e.to_string()))?;
    match &request {
        Request::Enrol(enrol) => {
            enrol.names().checked()?;
            names::check_account(&enrol.service_account)?;
            check_path(enrol.netns.as_deref())?;
        }
        Request::CniAdd(pod) | Request::CniCheck(pod) => {
            pod.names(String::new()).checked()?;
            names::check_container(&pod.container)?;
            check_path(pod.netns.as_deref())?;
        }
        Request::CniDel(end) => names::check_container(&end.container)?,
        Request::Release(_) | Request::List(_) | Request::ReplaceProxy(_) => {}
    }
    Ok(request)
}

impl EnrolRequest {
    /// What the request says about the pod itself.
    pub fn names(&self) -> PodNames {
        PodNames {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            service_account: self.service_account.clone(),
            ips: self.ips.clone(),
        }
    }
}

impl CniPod {
    /// The pod, with the service account that the runtime does not know.
    pub fn names(&self, service_account: String) -> PodNames {
        PodNames {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            service_account,
            ips: self.ips.clone(),
        }
    }
}

impl Answer {
    /// Done, nothing more to say.
    pub fn done() -> Self {
        Self {
            ok: true,
            ..Self::default()
        }
    }

    /// Done; the pod is now in this state.
    pub fn in_state(state: &str) -> Self {
        Self {
            state: Some(state.to_owned()),
            ..Self::done()
        }
    }

    /// Not done, and why.
    pub fn refused(reason: &str, error: &dyn std::error::Error) -> Self {
        Self {
            error: Some(error.to_string()),
            reason: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    /// The line that goes out.
    pub fn to_line(&self) -> Vec<u8> {
        // An `Answer` holds nothing that JSON cannot; an empty object is still a refusal.
        let mut line = serde_json::to_vec(self).unwrap_or_else(|_| b"{\"ok\":false}".to_vec());
        line.push(b'\n');
        line
    }
}

fn check_path(path: Option<&str>) -> Result<(), RequestError> {
    let is_sane = |path: &&str| path.starts_with('/') && path.len() < 4096 && !path.contains('\0');
    match path.filter(|path| !is_sane(path)) {
        Some(path) => Err(RequestError::Path(path.to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
