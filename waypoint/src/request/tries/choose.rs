//! Which endpoint a try goes to, and whether the client may go there: asked anew for each of them.

use std::mem;
use std::sync::Arc;

use ambit_balance::ActiveRetry;
use ambit_decide::{DryRun, Refusal};
use ambit_model::WorkloadUid;

use super::super::authenticate::{Going, Tokens};
use super::super::session::Stay;
use super::Sending;
use crate::authorize::Asking;
use crate::endpoint::{self, Chosen, Wish};
use crate::proxy::Proxy;
use crate::view::View;

/// One endpoint, chosen for one try.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) chosen: Chosen,
    /// What was known when it was.
    pub(super) view: Arc<View>,
    /// Its place in the budget of retries.
    pub(super) retry: Option<ActiveRetry>,
}

impl Sending<'_> {
    /// An endpoint that the client may call, by what is known.
    pub(super) fn choose(&self, view: Arc<View>, tried: &[WorkloadUid]) -> Result<Try, Refusal> {
        let (plan, routed) = (self.plan, self.routed);
        let wish = Wish {
            session: routed.session().and_then(Stay::endpoint),
            tried,
            hash: plan.hashed.as_ref().and_then(|hashed| hashed.hash),
            asked: self.asked.as_ref(),
        };
        let mut chosen = endpoint::choose(&view, &self.asking, &routed.to, wish)?;
        let to = &chosen.destination;
        // What is behind another waypoint is judged there, as whatever comes to it from this one.
        if routed.hand.changes() && to.via.is_none() {
            let tokens = Tokens::unverified(self.head);
            let sent = routed.asking_as(self.call, self.head, &tokens);
            let as_sent = sent.at_endpoint(&view, &to.workload, to.address, chosen.port)?;
            for aside in as_sent.dry_run {
                add(&mut chosen.asides, aside);
            }
        }
        Ok(Try {
            chosen,
            view,
            retry: None,
        })
    }

    /// Whether the tokens of the request are good at an endpoint.
    pub(super) fn admits(&self, to: &Try) -> bool {
        let admitted = self.going().at_endpoint(&to.view, &to.chosen.destination);
        admitted.is_ok()
    }

    /// The same endpoint after a wait, or another one if more is known by now.
    pub(super) fn still(&self, next: Try, tried: &[WorkloadUid]) -> Result<Try, Refusal> {
        let view = self.proxy.view();
        if Arc::ptr_eq(&view, &next.view) {
            return Ok(next);
        }
        drop(next);
        self.choose(view, tried)
    }

    /// What is judged where it goes.
    pub(super) fn going(&self) -> Going<'_> {
        Going {
            head: self.head,
            tokens: &self.routed.tokens,
            led: self.asking.led_service().map(|led| led.0),
            hand: self.routed.hand,
        }
    }
}

/// Adds what a policy says that decides nothing, unless the same one has said as much.
fn add(asides: &mut Vec<DryRun>, aside: DryRun) {
    match asides.iter_mut().find(|known| known.policy == aside.policy) {
        Some(known) if aside.would_refuse() => *known = aside,
        Some(_) => {}
        None => asides.push(aside),
    }
}

/// What has been told of a request that decides nothing: once, however often it is tried.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<DryRun>);

impl Told {
    /// Tells what policies say where it goes now, and have not said before.
    pub(super) fn tell(&mut self, proxy: &Proxy, asking: &Asking<'_>, to: &mut Try) {
        let mut asides = mem::take(&mut to.chosen.asides);
        asides.retain(|aside| !self.0.contains(aside));
        asking.tell(proxy, &asides);
        self.0.append(&mut asides);
    }
}
