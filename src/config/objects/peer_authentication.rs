//! Istio's `PeerAuthentication`, read strictly: a misspelt STRICT must not become PERMISSIVE.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metadata::{Metadata, present};
use super::patterns::PolicyPort;
use super::selector::{Selector, check_target};
use crate::config::problem::Finding;

/// A `PeerAuthentication`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAuthentication {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default)]
    pub spec: PeerAuthenticationSpec,
}

/// `spec` of a peer authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerAuthenticationSpec {
    /// Pods that it applies to; absent means all of the namespace, or of the mesh.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub selector: Option<Selector>,
    /// Mode of every port that has none of its own.
    #[serde(default)]
    pub mtls: MutualTls,
    /// Modes of single ports, by their number on the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub port_level_mtls: BTreeMap<Box<str>, MutualTls>,
}

/// A mode, wrapped as Istio does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// The mode.
    #[serde(default)]
    pub mode: Mode,
}

/// Whether plaintext is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// As the next wider scope says.
    #[default]
    Unset,
    /// In this mesh the same as PERMISSIVE.
    Disable,
    /// Both are.
    Permissive,
    /// Only mutual TLS is.
    Strict,
}

impl PeerAuthentication {
    /// The selector, if it selects less than everything.
    pub fn selector(&self) -> Option<&Selector> {
        self.spec
            .selector
            .as_ref()
            .filter(|selector| !selector.is_empty())
    }

    /// Modes of single ports, by number.
    pub fn ports(&self) -> impl Iterator<Item = (u16, Mode)> {
        let modes = self.spec.port_level_mtls.iter();
        modes.filter_map(|(port, tls)| Some((PolicyPort::new(port).ok()?.number(), tls.mode)))
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub(super) fn check(&self) -> Result<(), Finding> {
        check_target(self.spec.selector.as_ref(), 0)?;
        if self.selector().is_none() && !self.spec.port_level_mtls.is_empty() {
            return Err(Finding::new(
                "spec.portLevelMtls",
                "given without a selector",
                "add spec.selector.matchLabels: ports belong to workloads",
            ));
        }
        let wrong = self
            .spec
            .port_level_mtls
            .keys()
            .find_map(|port| PolicyPort::new(port).err());
        wrong.map_or(Ok(()), |what| {
            Err(Finding::new("spec.portLevelMtls", what, "correct the port"))
        })
    }
}
