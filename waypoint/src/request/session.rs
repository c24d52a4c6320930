//! Requests of one session go to one endpoint, whatever the weights of the backends say: a session
//! that has begun stays where it is while that endpoint may be picked.

use std::sync::Arc;

use ambit_kit::clock;
use ambit_model::{BackendTarget, WorkloadUid};
use ambit_route::{Found, Rule};
use http::HeaderMap;

use crate::view::{Destination, View, tag_of};

/// The session of a request, if its rule has sessions.
#[derive(Debug)]
pub(crate) struct Stay {
    rule: Arc<Rule>,
    /// What requests of the session have in common.
    path: Box<str>,
    /// Index of the backend, and the endpoint, of a session that has begun.
    at: Option<(usize, WorkloadUid)>,
}

impl Stay {
    /// That of a request with these headers.
    pub(super) fn of(view: &View, found: &Found<'_>, headers: &HeaderMap) -> Option<Self> {
        let session = found.rule.session.as_ref()?;
        let mut tags = session.read(headers, clock::wall());
        Some(Self {
            rule: Arc::clone(found.rule),
            path: found.cookie_path.into(),
            at: tags.find_map(|tag| {
                let uid = view.tagged(tag)?;
                Some((backend_with(view, found.rule, uid)?, uid.clone()))
            }),
        })
    }

    /// Index of the backend of a session that has begun.
    pub(super) fn backend(&self) -> Option<usize> {
        self.at.as_ref().map(|(backend, _)| *backend)
    }

    /// The endpoint of a session that has begun.
    pub(super) fn endpoint(&self) -> Option<&WorkloadUid> {
        self.at.as_ref().map(|(_, uid)| uid)
    }

    /// Tells the client of the endpoint that answered, if it does not know it yet.
    pub(super) fn keep(&self, headers: &mut HeaderMap, answered: &Destination) {
        let uid = &answered.workload.uid;
        // A pod of another waypoint is no endpoint to stay with.
        if self.endpoint() == Some(uid) || answered.via.is_some() {
            return;
        }
        if let Some(session) = &self.rule.session {
            let tag = tag_of(&answered.workload);
            // Clients come by mutual TLS of the mesh and speak plain HTTP inside of it.
            session.begin(headers, tag, clock::wall(), &self.path, false);
        }
    }
}

/// Index of the backend that has this endpoint, and may use it.
fn backend_with(view: &View, rule: &Rule, uid: &WorkloadUid) -> Option<usize> {
    rule.backends
        .iter()
        .position(|backend| match &backend.target {
            BackendTarget::Service { name, port, subset } => {
                let cluster = view.cluster(name, *port, subset.as_deref());
                cluster.is_some_and(|cluster| cluster.endpoints.pick_this(uid).is_some())
            }
            BackendTarget::Invalid { .. } => false,
        })
}
