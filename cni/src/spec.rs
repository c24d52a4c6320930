//! What the CNI specification says goes in and comes out: versions, configuration, results, errors.
//!
//! Pure. The result of the plugin before us goes out as it came in, byte for byte, but for its
//! version: what it says about interfaces and routes is not ours to understand.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The name of this plugin: `type` in a configuration, and the file that the runtime starts.
pub const PLUGIN: &str = "ambit-cni";

/// Versions of the specification that are spoken. What differs between them (CHECK since 0.4,
/// GC and STATUS since 1.1, the shape of results) does not concern a plugin that passes results
/// on; the 0.3 ones are here because widespread configurations still name them.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The version of an answer to something that names none.
const NEWEST: &str = "1.1.0";

/// Our part of a network configuration; absent fields have the usual values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Always [`PLUGIN`].
    #[serde(rename = "type")]
    pub plugin: String,
    /// Where the node agent listens, as seen from the node.
    pub agent_socket: PathBuf,
    /// Where the node agent lists enrolled namespaces, as seen from the node.
    pub namespace_list: PathBuf,
    /// Namespaces whose pods start even before there is a list: the agent's own among them.
    pub system_namespaces: Vec<String>,
    /// The list around this entry was made from a file with a single plugin.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_conf: bool,
}

/// What the runtime gives on stdin, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// The version to answer in, one of [`VERSIONS`].
    pub version: &'static str,
    /// Our settings.
    pub entry: Entry,
    /// The result of the plugins before us, as text.
    pub previous: Option<&'a str>,
}

/// A pod as the runtime names it in `CNI_ARGS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod; empty if not given.
    pub name: String,
    /// Kubernetes' own uid; empty if not given.
    pub uid: String,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Not started by a container runtime, or by one that speaks something newer.
    #[error(
        "CNI_COMMAND is {0:?}, none of ADD, CHECK, DEL, GC, STATUS and VERSION; a container \
         runtime sets it, a person wants `ambit-cni --help`"
    )]
    Command(String),
    /// The environment names a network namespace that is none.
    #[error("CNI_NETNS {path:?} cannot be opened: {source}")]
    Netns {
        /// What the environment says.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What stands on stdin is not a network configuration.
    #[error("the network configuration on stdin cannot be read: {0}")]
    Decode(#[from] serde_json::Error),
    /// A version of the specification that is not spoken.
    #[error("cniVersion {0:?} is none of {VERSIONS:?}: change it in the node's CNI configuration")]
    Version(String),
    /// No result to pass on.
    #[error(
        "no prevResult: ambit-cni makes no network, it stands in `plugins` after the one that does"
    )]
    NotChained,
    /// The runtime's result has an address that is none.
    #[error("prevResult holds {0:?}, which is no address")]
    Address(String),
    /// The pod must be captured and nobody is there to do it.
    #[error("the node agent of ambit is not ready on this node: {0}; the kubelet tries again")]
    NotReady(String),
    /// The node agent says no.
    #[error("the node agent of ambit did not capture pod {pod}: {why}; the kubelet tries again")]
    Refused {
        /// Namespace and name.
        pod: String,
        /// In the words of the agent.
        why: String,
    },
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            plugin: PLUGIN.to_owned(),
            agent_socket: "/run/ambit/agent.sock".into(),
            namespace_list: "/run/ambit/cni-namespaces.json".into(),
            system_namespaces: vec!["kube-system".to_owned(), "ambit-system".to_owned()],
            was_conf: false,
        }
    }
}

/// The part of stdin that is not ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Around<'a> {
    #[serde(default)]
    cni_version: String,
    #[serde(borrow)]
    prev_result: Option<&'a RawValue>,
}

impl<'a> Config<'a> {
    /// Reads what the runtime wrote to stdin.
    pub fn parse(input: &'a [u8]) -> Result<Self, PluginError> {
        let around: Around<'a> = serde_json::from_slice(input)?;
        let version = spoken(&around.cni_version)
            .ok_or_else(|| PluginError::Version(around.cni_version.clone()))?;
        Ok(Self {
            version,
            entry: serde_json::from_slice(input)?,
            previous: around.prev_result.map(RawValue::get),
        })
    }

    /// The result to pass on.
    pub fn previous(&self) -> Result<&'a str, PluginError> {
        self.previous.ok_or(PluginError::NotChained)
    }
}

impl Pod {
    /// Reads `CNI_ARGS`; `None` if no Kubernetes pod is named there.
    pub fn parse(arguments: &str) -> Option<Self> {
        let value = |key| {
            let pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(name, _)| *name == key);
            values.next().map(|(_, value)| value.to_owned())
        };
        Some(Self {
            namespace: value("K8S_POD_NAMESPACE").filter(|namespace| !namespace.is_empty())?,
            name: value("K8S_POD_NAME").unwrap_or_default(),
            uid: value("K8S_POD_UID").unwrap_or_default(),
        })
    }
}

impl PluginError {
    /// Its code in the specification's table.
    pub fn code(&self) -> u32 {
        match self {
            Self::Version(_) => 1,
            Self::Command(_) | Self::Netns { .. } => 4,
            Self::Decode(_) | Self::Address(_) => 6,
            Self::NotChained => 7,
            Self::NotReady(_) | Self::Refused { .. } => 11,
        }
    }

    /// The error as the runtime wants it on stdout.
    pub fn to_json(&self, version: &str) -> String {
        let (code, msg) = (self.code(), self.to_string());
        serde_json::json!({ "cniVersion": version, "code": code, "msg": msg }).to_string()
    }
}

/// The version that an input asks for; our newest if it is unreadable or names none of ours.
pub fn version_of(input: &[u8]) -> &'static str {
    let around = serde_json::from_slice::<Around<'_>>(input).ok();
    around
        .and_then(|around| spoken(&around.cni_version))
        .unwrap_or(NEWEST)
}

/// The answer to VERSION.
pub fn versions(input: &[u8]) -> String {
    let version = version_of(input);
    serde_json::json!({ "cniVersion": version, "supportedVersions": VERSIONS }).to_string()
}

/// A result in the version that is asked for, otherwise as it came.
pub fn in_version(result: &str, version: &str) -> Result<String, PluginError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned<'a> {
        #[serde(borrow)]
        cni_version: Option<&'a RawValue>,
    }
    let versioned: Versioned<'_> = serde_json::from_str(result)?;
    let quoted = format!("\"{version}\"");
    Ok(match versioned.cni_version.map(RawValue::get) {
        Some(as_it_is) if as_it_is == quoted => result.to_owned(),
        Some(other) => splice(result, span(result, other), &quoted),
        None => {
            // It is an object, so it begins with a brace.
            let members = result.get(1..).unwrap_or_default();
            let comma = if members.trim() == "}" { "" } else { "," };
            format!("{{\"cniVersion\":{quoted}{comma}{members}")
        }
    })
}

/// The pod's addresses, out of the result of the plugin that gave them.
pub fn addresses(result: &str) -> Result<Vec<IpAddr>, PluginError> {
    #[derive(Deserialize)]
    struct Given<'a> {
        #[serde(borrow, default)]
        ips: Vec<Address<'a>>,
    }
    #[derive(Deserialize)]
    struct Address<'a> {
        #[serde(borrow)]
        address: Cow<'a, str>,
    }
    let given: Given<'_> = serde_json::from_str(result)?;
    let parsed = given.ips.iter().map(|ip| {
        let without_mask = ip.address.split('/').next().unwrap_or_default();
        let address = without_mask.parse();
        address.map_err(|_not_an_address| PluginError::Address(ip.address.to_string()))
    });
    parsed.collect()
}

/// Where a part that was borrowed from a text stands in it.
pub(crate) fn span(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

/// A text with one part of it replaced.
pub(crate) fn splice(text: &str, place: Range<usize>, by: &str) -> String {
    let before = text.get(..place.start).unwrap_or_default();
    let after = text.get(place.end..).unwrap_or_default();
    [before, by, after].concat()
}

fn spoken(version: &str) -> Option<&'static str> {
    VERSIONS.into_iter().find(|spoken| *spoken == version)
}

/// Whether a configuration in this version can hold our entry.
pub(crate) fn is_spoken(version: &str) -> bool {
    spoken(version).is_some()
}

#[cfg(test)]
mod tests;
