//! The mesh without its control planes, for a while.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, PLANES, Pod, SYSTEM};
use ambit_e2e::wait::wait_until;
use anyhow::Result;

const CHANGE: Duration = Duration::from_secs(60);

/// Control planes that are scaled to none, until this is dropped.
pub(super) struct Planes<'a> {
    cluster: &'a Cluster,
    replicas: String,
}

impl<'a> Planes<'a> {
    /// Scales them to none, and waits until the last one is gone.
    pub(super) fn send_away(cluster: &'a Cluster) -> Result<Self> {
        let replicas = "jsonpath={.spec.replicas}";
        let get = ["-n", SYSTEM, "get", PLANES, "-o", replicas];
        let replicas = cluster.kubectl.run(&get)?.trim().to_owned();
        let planes = Self { cluster, replicas };
        planes.scale("0")?;
        let gone = || planes.pods().is_ok_and(|pods| pods.is_empty());
        wait_until("the control planes to be gone", CHANGE, gone)?;
        Ok(planes)
    }

    fn pods(&self) -> Result<Vec<Pod>> {
        self.cluster.kubectl.pods(SYSTEM, "app=ambit-control-plane")
    }

    fn scale(&self, replicas: &str) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        let kubectl = &self.cluster.kubectl;
        kubectl.run(&["-n", SYSTEM, "scale", PLANES, &replicas])?;
        Ok(())
    }

    /// Has as many as before, and waits until they are ready.
    pub(super) fn bring_back(&self) -> Result<()> {
        self.scale(&self.replicas)?;
        self.cluster.kubectl.rolled_out(PLANES, CHANGE)
    }
}

impl Drop for Planes<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.scale(&self.replicas) {
            eprintln!("the control planes are still away: {error:#}");
        }
    }
}
