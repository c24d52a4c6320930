//! Workloads as endpoints of the ports that they serve: they join and leave these as they change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::{Endpoint, Place};
use ambit_model::{Workload, WorkloadUid};
use ambit_route::EndpointTag;

use super::clusters::Labelled;
use super::{Destination, PortName, View, named};
use crate::outside::names::Use;

impl View {
    /// Takes in a workload, or a change of it.
    pub(super) fn change_workload(&mut self, workload: &Arc<Workload>, now: Instant) {
        let was = self.mesh.workload(&workload.uid).map(Arc::clone);
        let before = was.as_ref().map(|was| self.faces_of(was));
        self.name(workload);
        let faces = self.faces_of(workload);
        self.exchange(&before.unwrap_or_default(), &faces, now);
        if let Some(was) = was
            && named::name_of(&was) != named::name_of(workload)
        {
            self.unname(&was);
        }
    }

    pub(super) fn leave_workload(&mut self, uid: &WorkloadUid, now: Instant) {
        if let Some(was) = self.mesh.workload(uid).map(Arc::clone) {
            let before = self.faces_of(&was);
            self.exchange(&before, &[], now);
            self.unname(&was);
        }
    }

    /// Puts endpoints in the place of others.
    pub(super) fn exchange(
        &mut self,
        before: &[Arc<Workload>],
        faces: &[Arc<Workload>],
        now: Instant,
    ) {
        for was in before {
            let now_is = faces.iter().find(|face| face.uid == was.uid);
            self.leave(was, now_is.map(AsRef::as_ref), now);
        }
        for face in faces {
            self.join(face, now);
        }
    }

    /// Takes an endpoint out of the sets that it is in, but for those that `now_is` is in too.
    fn leave(&mut self, was: &Workload, now_is: Option<&Workload>, now: Instant) {
        self.tags.remove(&tag_of(was));
        self.faces.remove(&was.uid);
        for (service, ports) in &was.services {
            for mapping in ports {
                let stays = |workload: &Workload| {
                    workload
                        .target_port(service, mapping.service_port)
                        .is_some()
                        && workload.addresses.first() == was.addresses.first()
                };
                let name = (service.clone(), mapping.service_port);
                if !now_is.is_some_and(stays)
                    && let Some(clusters) = self.clusters.get_mut(&name)
                {
                    clusters.remove(&was.uid, now);
                }
            }
        }
    }

    fn join(&mut self, workload: &Arc<Workload>, now: Instant) {
        self.tags.insert(tag_of(workload), workload.uid.clone());
        if !workload.hostname.is_empty() {
            self.faces
                .insert(workload.uid.clone(), Arc::clone(workload));
        }
        let used = self.used(workload);
        for (service, ports) in &workload.services {
            for mapping in ports {
                let name = (service.clone(), mapping.service_port);
                let Some(endpoint) = endpoint_of(workload, &name, used.as_ref()) else {
                    continue;
                };
                if let Some(clusters) = self.clusters.get_mut(&name) {
                    clusters.put(&endpoint, now);
                }
            }
        }
    }
}

/// What stands for an endpoint in sessions: no other has its pod's uid.
pub(crate) fn tag_of(workload: &Workload) -> EndpointTag {
    let uid = workload.uid.as_str();
    EndpointTag::of(workload.pod_uid.as_deref().unwrap_or(uid))
}

/// A workload as an endpoint of a port, if it serves that.
pub(super) fn endpoint_of(
    workload: &Arc<Workload>,
    (service, port): &PortName,
    used: Option<&Arc<Use>>,
) -> Option<Labelled> {
    let address = SocketAddr::new(
        *workload.addresses.first()?,
        workload.target_port(service, *port)?,
    );
    let destination = Destination {
        host: Some(Arc::clone(&service.hostname)),
        used: used.cloned(),
        ..Destination::new(workload, address)
    };
    let endpoint = Endpoint {
        key: workload.uid.clone(),
        payload: Arc::new(destination),
        weight: workload.weight(),
        place: Place::of(workload),
        health: workload.health,
    };
    Some((endpoint, workload.labels.clone()))
}
