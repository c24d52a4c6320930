//! How far namespaces are with being enrolled or released. Pure.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use serde::Serialize;
use serde_json::Value;

use crate::cli::standing::{self, PodStanding, Standing};
use crate::config::apiserver::Listings;
use crate::config::objects::Kind;
use crate::config::{Batch, CaptureRecord, Configuration};
use crate::mesh_names::MeshNames;

/// Cells of the bar.
const CELLS: usize = 20;
/// Pods that are named at most.
const NAMED: usize = 10;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Every pod is captured.
    Captured,
    /// None is.
    Released,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    wish: Wish,
    /// All pods that the mesh has to do with.
    pub(super) pods: Vec<PodStanding>,
    /// Pods that there are, the others included.
    all: usize,
}

impl Progress {
    /// What these objects say.
    pub(super) fn of(
        wish: Wish,
        mesh: &MeshNames,
        namespaces: &[Namespace],
        pods: &[Pod],
        events: &[Event],
    ) -> Self {
        let reasons = standing::reasons(events);
        let configuration = configuration(mesh, namespaces, pods);
        let all = configuration.pods().count();
        let mut pods = standing::of_pods(&configuration);
        for pod in &mut pods {
            pod.why = reasons.get(&*pod.uid).cloned();
        }
        Self { wish, pods, all }
    }

    fn count(&self, standing: Standing) -> usize {
        let pods = self.pods.iter();
        pods.filter(|pod| pod.standing == standing).count()
    }

    /// Pods that are not yet as was wished.
    fn waiting(&self) -> impl Iterator<Item = &PodStanding> {
        self.pods.iter().filter(|pod| match self.wish {
            Wish::Captured => matches!(pod.standing, Standing::Pending | Standing::Starting),
            Wish::Released => pod.standing == Standing::Releasing,
        })
    }

    /// True if every pod is as was wished.
    pub(super) fn is_over(&self) -> bool {
        self.waiting().next().is_none()
    }

    /// How many are done, and of how many.
    fn done(&self) -> (usize, usize) {
        let waiting = self.waiting().count();
        let done = match self.wish {
            Wish::Captured => self.count(Standing::Captured),
            Wish::Released => {
                let asks = |pod: &&PodStanding| pod.standing != Standing::Releasing;
                self.all
                    .saturating_sub(waiting + self.pods.iter().filter(asks).count())
            }
        };
        (done, done + waiting)
    }

    /// One line that is written over and over.
    pub(super) fn bar(&self) -> String {
        let (done, all) = self.done();
        let full = (done * CELLS).checked_div(all).unwrap_or(CELLS);
        let bar: String = (0..CELLS)
            .map(|cell| if cell < full { '#' } else { '.' })
            .collect();
        format!("[{bar}] {done} of {all} pods {}", self.word())
    }

    fn word(&self) -> &'static str {
        match self.wish {
            Wish::Captured => "captured",
            Wish::Released => "out of the mesh",
        }
    }

    /// What became of it.
    pub(super) fn report(&self) -> String {
        let (done, all) = self.done();
        let mut text = format!("{done} of {all} pods {}\n", self.word());
        for pod in &self.pods {
            let (namespace, name) = (&pod.namespace, &pod.name);
            let line = match (self.wish, pod.standing) {
                (Wish::Captured, Standing::LeftOut(why)) => {
                    format!("  {namespace}/{name} is left out: {why}\n")
                }
                (Wish::Released, Standing::Captured) => {
                    format!("  {namespace}/{name} stays captured: its own label asks for it\n")
                }
                _ => continue,
            };
            text.push_str(&line);
        }
        text
    }

    /// What is missing, and why.
    pub(super) fn complaint(&self) -> String {
        let mut text = String::new();
        let waiting = self.waiting().count();
        for pod in self.waiting().take(NAMED) {
            let why = match (&pod.why, pod.standing) {
                (Some(why), _) => why.as_str(),
                (None, Standing::Starting) => "it has not started",
                (None, _) => "its agent has not said why",
            };
            let (namespace, name, node) = (&pod.namespace, &pod.name, &pod.node);
            // Writing to memory does not fail.
            writeln!(text, "error: {namespace}/{name} on {node}: {why}").ok();
        }
        if waiting > NAMED {
            writeln!(text, "error: and {} more", waiting - NAMED).ok();
        }
        text.push_str("see `ambit status`, and the logs of the agents on these nodes\n");
        text
    }
}

/// What the control plane makes of these.
fn configuration(mesh: &MeshNames, namespaces: &[Namespace], pods: &[Pod]) -> Configuration {
    let (mut listings, mut batch) = (Listings::default(), Batch::default());
    listings.take_all(Kind::Namespace, documents(namespaces), &mut batch);
    listings.take_all(Kind::Pod, documents(pods), &mut batch);
    let mut settings = mesh.settings();
    settings.captures = CaptureRecord::Annotations;
    let mut configuration = Configuration::new(settings);
    configuration.apply(batch);
    configuration
}

fn documents(objects: &[impl Serialize]) -> Vec<Value> {
    let documents = objects.iter().map(serde_json::to_value);
    documents.filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests;
