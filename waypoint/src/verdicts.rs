//! Endpoints that failed too often in a row, on their way to the owner of the view, who ejects them
//! ([`crate::follow`]). What fails is noted by many at once, and what is seldom is a change of the view.

use std::sync::Arc;

use ambit_balance::{Outcome, Verdict};
use ambit_model::WorkloadUid;
use tokio::sync::mpsc;

use crate::endpoint::Chosen;
use crate::view::{ClusterName, Destination};

/// Verdicts that may wait. One that finds no room is lost: the endpoint is found again when it has
/// failed as often again.
const WAITING: usize = 256;

/// An endpoint that is to be ejected, and from where.
#[derive(Debug)]
pub(crate) struct Guilty {
    pub(crate) cluster: ClusterName,
    pub(crate) verdict: Verdict<WorkloadUid, Arc<Destination>>,
}

/// The way to the owner of the view.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts(mpsc::Sender<Guilty>);

impl Verdicts {
    /// A way, and its end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Guilty>) {
        let (verdicts, told) = mpsc::channel(WAITING);
        (Self(verdicts), told)
    }

    /// Notes how a try at an endpoint ended.
    pub(crate) fn record(&self, chosen: &Chosen, outcome: Outcome) {
        let Some(verdict) = chosen.record(outcome) else {
            return;
        };
        if let Some(terms) = &chosen.terms {
            let cluster = terms.cluster.clone();
            // Full, or nobody is there any more.
            self.0.try_send(Guilty { cluster, verdict }).ok();
        }
    }
}
