//! The names that a mesh goes by: arguments of every subcommand that reads its configuration, so
//! that `vet` and `explain` see what the control plane sees.

use crate::config::Settings;

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
}

impl MeshNames {
    /// The settings by which a configuration is read.
    pub fn settings(&self) -> Settings {
        Settings {
            cluster: self.cluster.as_str().into(),
            trust_domain: self.trust_domain.as_str().into(),
            cluster_domain: self.cluster_domain.as_str().into(),
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
        }
    }
}
