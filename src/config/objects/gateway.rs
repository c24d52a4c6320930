//! Gateway API's `Gateway` and `GatewayClass`, as much of them as makes a waypoint.
//!
//! What is not read is ignored, as with core kinds: a Gateway may be somebody else's. Texts that only
//! some implementations know (protocols, kinds, where routes may come from) stay texts, so that one
//! listener that is wrong is said on that listener and the rest of the object counts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Labels, Metadata, or_default};
use super::names::Name;
use super::network_policy::LabelSelector;
use super::{Kind, ObjectKey};

/// API group of both.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// Label of a namespace that is its name.
const NAME_OF_NAMESPACE: &str = "kubernetes.io/metadata.name";

/// A `Gateway`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: GatewaySpec,
}

/// `spec` of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Name of its class.
    pub gateway_class_name: Name,
    /// Where it listens.
    #[serde(default, deserialize_with = "or_default")]
    pub listeners: Vec<Listener>,
    /// Addresses that it asks for; as they stand there.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses: Vec<serde_json::Value>,
    /// What is said of the objects that are made for it.
    #[serde(default, deserialize_with = "or_default")]
    pub infrastructure: Infrastructure,
}

/// One listener of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name, once in its gateway.
    pub name: Name,
    /// Host name that it is for; absent means all.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// Its port.
    pub port: u16,
    /// What is spoken there, such as `HBONE`.
    pub protocol: Arc<str>,
    /// Routes, and who else, may use it.
    #[serde(default, deserialize_with = "or_default")]
    pub allowed_routes: AllowedRoutes,
}

/// Who may use a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedRoutes {
    /// By namespace.
    #[serde(default, deserialize_with = "or_default")]
    pub namespaces: RouteNamespaces,
    /// By kind; empty means every kind that the protocol knows.
    #[serde(default, deserialize_with = "or_default")]
    pub kinds: Vec<RouteKind>,
}

/// Namespaces that may use a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteNamespaces {
    /// `Same` if absent, `All`, `Selector` or `None`.
    #[serde(default)]
    pub from: Option<Arc<str>>,
    /// Labels of the namespaces, for `Selector`.
    #[serde(default)]
    pub selector: Option<LabelSelector>,
}

/// A kind of routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteKind {
    /// Its group; absent means Gateway API's.
    #[serde(default)]
    pub group: Option<Arc<str>>,
    /// Its name.
    pub kind: Arc<str>,
}

/// What is said of the objects that are made for a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Infrastructure {
    /// Labels of all of them.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
    /// Annotations of all of them.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: Labels,
    /// An object with more.
    #[serde(default)]
    pub parameters_ref: Option<ParametersReference>,
}

/// A reference to an object with parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParametersReference {
    /// Its group; empty for a ConfigMap.
    #[serde(default)]
    pub group: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// A `GatewayClass`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayClass {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: GatewayClassSpec,
}

/// `spec` of a gateway class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// Who takes care of its gateways.
    pub controller_name: Arc<str>,
    /// An object with parameters of all its gateways; as it stands there.
    #[serde(default)]
    pub parameters_ref: Option<serde_json::Value>,
}

impl RouteNamespaces {
    /// Whether a namespace with these labels may use a listener of a gateway in namespace `home`.
    pub fn admit(&self, home: &str, namespace: &str, labels: Option<&Labels>) -> bool {
        match self.from.as_deref() {
            None | Some("Same") => namespace == home,
            Some("All") => true,
            Some("Selector") => {
                let mut labels = labels.cloned().unwrap_or_default();
                // The API server puts it on every namespace; a folder need not.
                labels.insert(NAME_OF_NAMESPACE.into(), namespace.into());
                let selector = self.selector.as_ref();
                selector.is_some_and(|selector| selector.selects(&labels))
            }
            Some(_) => false,
        }
    }
}

/// Which Gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl GatewayKey {
    /// Of the key of any object: that Gateway has its namespace and name.
    pub fn of(key: &ObjectKey) -> Self {
        Self {
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
        }
    }

    /// As the key of any object.
    pub fn object(&self) -> ObjectKey {
        ObjectKey::new(
            Kind::Gateway,
            Arc::clone(&self.namespace),
            Arc::clone(&self.name),
        )
    }
}

impl fmt::Display for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
