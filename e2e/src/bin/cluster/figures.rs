//! `make bench-cluster`: what capture and the control plane cost on a cluster. Targets are printed
//! beside the figures; nothing is asserted, for machines differ.

mod capture;
mod idle;
mod many;
mod start;

use ambit_e2e::bench::figures::{Goal, show};
use ambit_e2e::bench::report::Section;
use ambit_e2e::cluster::Cluster;
use anyhow::Result;

/// One line of the table: what was measured, in which unit, and what it should be.
type Figure = (String, f64, Option<Goal>);

/// What can be measured, and by what.
type Measure = (&'static str, fn(&Cluster) -> Result<Vec<Figure>>);
const MEASURES: [Measure; 4] = [
    ("capture", capture::measure),
    ("start", start::measure),
    ("idle", idle::measure),
    ("many", many::measure),
];

/// Measures what is chosen by names, or everything.
pub(crate) fn measure(cluster: &Cluster, filter: &[String]) -> Result<Section> {
    let mut figures = Vec::new();
    for (name, measure) in MEASURES {
        if filter.is_empty() || filter.iter().any(|word| word == name) {
            println!("measuring: {name}");
            figures.extend(measure(cluster)?);
        }
    }
    Ok(Section {
        title: "On a cluster".to_owned(),
        note: format!(
            "Nodes: {}. Times of a capture are between two events of one watch, those of ADD the \
             whole of a call of the CNI plugin. CPU and memory are of the agent's three processes, \
             or of one replica of the control plane.",
            cluster.nodes.join(", ")
        ),
        head: ["figure", "value", "target", ""]
            .map(str::to_owned)
            .to_vec(),
        rows: figures.into_iter().map(row).collect(),
    })
}

fn row((what, value, goal): Figure) -> Vec<String> {
    let target = goal.map_or_else(String::new, |goal| goal.text(""));
    let verdict = goal.map_or("", |goal| goal.verdict(value));
    vec![what, show(value), target, verdict.to_owned()]
}
