//! The names that a mesh goes by: arguments of every subcommand that reads its configuration, so
//! that `vet` and `explain` see what the control plane sees.

use std::sync::Arc;

use crate::config::{EXCLUDED_NAMESPACES, ROOT_NAMESPACES, Settings};

/// Names of the mesh.
#[derive(Clone, Debug, clap::Args)]
pub struct MeshNames {
    /// Trust domain of all identities.
    #[arg(long, env = "AMBIT_TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Name of the cluster.
    #[arg(long, env = "AMBIT_CLUSTER", default_value = "Kubernetes")]
    pub cluster: String,
    /// Domain of service names.
    #[arg(long, env = "AMBIT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Namespace whose policies are for the whole mesh; once for each.
    #[arg(
        long = "root-namespace",
        env = "AMBIT_ROOT_NAMESPACES",
        value_delimiter = ',',
        default_values = ROOT_NAMESPACES
    )]
    pub root_namespaces: Vec<String>,
    /// Namespace whose pods are never captured; once for each.
    #[arg(
        long = "exclude-namespace",
        env = "AMBIT_EXCLUDED_NAMESPACES",
        value_delimiter = ',',
        default_values = EXCLUDED_NAMESPACES
    )]
    pub excluded_namespaces: Vec<String>,
}

impl MeshNames {
    /// The settings by which a configuration is read.
    pub fn settings(&self) -> Settings {
        Settings {
            cluster: self.cluster.as_str().into(),
            trust_domain: self.trust_domain.as_str().into(),
            cluster_domain: self.cluster_domain.as_str().into(),
            root_namespaces: shared(&self.root_namespaces),
            excluded_namespaces: shared(&self.excluded_namespaces),
            // Whether they are is known to the control plane alone, which says so.
            reads_credentials: true,
            ..Settings::default()
        }
    }
}

impl Default for MeshNames {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            trust_domain: (*settings.trust_domain).to_owned(),
            cluster: (*settings.cluster).to_owned(),
            cluster_domain: (*settings.cluster_domain).to_owned(),
            root_namespaces: ROOT_NAMESPACES.map(str::to_owned).into(),
            excluded_namespaces: EXCLUDED_NAMESPACES.map(str::to_owned).into(),
        }
    }
}

fn shared(names: &[String]) -> Vec<Arc<str>> {
    names.iter().map(|name| name.as_str().into()).collect()
}
