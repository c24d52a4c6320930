//! Names and defaults of the mesh, as whoever runs the control plane sets them.

use std::sync::Arc;

/// Namespaces whose policies are for the whole mesh, unless set otherwise.
pub const ROOT_NAMESPACES: [&str; 2] = ["ambit-system", "istio-system"];

/// Namespaces whose pods are never captured, unless set otherwise.
pub const EXCLUDED_NAMESPACES: [&str; 2] = ["kube-system", "ambit-system"];

/// Names and defaults of the mesh, under meshConfig's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the cluster, part of workloads' names.
    pub cluster: Arc<str>,
    /// Trust domain of identities.
    pub trust_domain: Arc<str>,
    /// Domain of service names.
    pub cluster_domain: Arc<str>,
    /// Namespaces whose policies are for the whole mesh.
    pub root_namespaces: Vec<Arc<str>>,
    /// Namespaces whose pods are never captured.
    pub excluded_namespaces: Vec<Arc<str>>,
    /// Where it is recorded which pods are captured.
    pub captures: CaptureRecord,
    /// Whether Secrets are read that destination rules name.
    pub reads_credentials: bool,
}

/// Where it is recorded which pods are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureRecord {
    /// With this process, which every agent reports to.
    #[default]
    Reports,
    /// On the pods, where every replica of the control plane reads it.
    Annotations,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: "Kubernetes".into(),
            trust_domain: "cluster.local".into(),
            cluster_domain: "cluster.local".into(),
            root_namespaces: ROOT_NAMESPACES.map(Into::into).into(),
            excluded_namespaces: EXCLUDED_NAMESPACES.map(Into::into).into(),
            captures: CaptureRecord::default(),
            reads_credentials: false,
        }
    }
}

impl Settings {
    /// True if policies of that namespace are for the whole mesh.
    pub fn is_root(&self, namespace: &str) -> bool {
        self.root_namespaces.iter().any(|root| **root == *namespace)
    }

    /// True if pods of that namespace are never captured.
    pub fn is_excluded(&self, namespace: &str) -> bool {
        let mut excluded = self.excluded_namespaces.iter();
        excluded.any(|excluded| **excluded == *namespace)
    }
}
