//! Endpoints that are ejected for failing, and come back.

use std::sync::Arc;
use std::time::Instant;

use ambit_balance::{Ejection, Verdict};
use ambit_model::WorkloadUid;

use super::{ClusterName, Destination, View};

impl View {
    /// Ejects an endpoint, unless that would be one too many.
    pub(crate) fn eject(
        &mut self,
        name: &ClusterName,
        verdict: &Verdict<WorkloadUid, Arc<Destination>>,
        now: Instant,
    ) -> Ejection {
        let port = (name.0.clone(), name.1);
        let clusters = self.clusters.get_mut(&port);
        let cluster = clusters.and_then(|clusters| clusters.get_mut(name.2.as_deref()));
        let Some(cluster) = cluster else {
            return Ejection::Void;
        };
        let ejection = cluster.endpoints.eject(verdict, now);
        if ejection == Ejection::Enforced {
            self.ejecting.insert(name.clone());
        }
        ejection
    }

    /// When the next endpoint comes back.
    pub(crate) fn due(&self) -> Option<Instant> {
        let names = self.ejecting.iter();
        names
            .filter_map(|name| self.named(name)?.endpoints.due())
            .min()
    }

    /// Brings those back whose time is over; says which.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<(ClusterName, WorkloadUid)> {
        let mut back = Vec::new();
        for name in std::mem::take(&mut self.ejecting) {
            let port = (name.0.clone(), name.1);
            let clusters = self.clusters.get_mut(&port);
            let cluster = clusters.and_then(|clusters| clusters.get_mut(name.2.as_deref()));
            let Some(cluster) = cluster else { continue };
            let here = cluster.endpoints.tick(now).into_iter();
            back.extend(here.map(|uid| (name.clone(), uid)));
            if cluster.endpoints.due().is_some() {
                self.ejecting.insert(name);
            }
        }
        back
    }

    fn named(&self, name: &ClusterName) -> Option<&super::Cluster> {
        self.cluster(&name.0, name.1, name.2.as_deref())
    }
}
