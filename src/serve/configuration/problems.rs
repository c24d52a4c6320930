//! What is wrong with the configuration, in the log and in metrics: each problem once when it
//! appears, and once when it is solved.

use std::collections::BTreeSet;

use crate::config::problem::{Problem, Severity};
use crate::serve::metrics::Metrics;

/// Problems written to the log at once; one bad file can hold many thousand.
const TOLD_AT_ONCE: usize = 100;

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<Problem>);

impl Told {
    /// Writes what is newly wrong, and what no longer is, to the log.
    pub(super) fn tell(&mut self, now: Vec<Problem>, metrics: &Metrics) {
        let now: BTreeSet<Problem> = now.into_iter().collect();
        for problem in now.difference(&self.0).take(TOLD_AT_ONCE) {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        for problem in self.0.difference(&now).take(TOLD_AT_ONCE) {
            tracing::info!("solved: {problem}");
        }
        let more = now.difference(&self.0).skip(TOLD_AT_ONCE).count();
        if more > 0 {
            tracing::error!("and {more} more things are wrong: `ambit vet` tells them all");
        }
        metrics.config_problems(&now);
        self.0 = now;
    }

    /// All that was told and is not solved.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}
