//! What the metrics pages of all control planes show together.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use super::{Cluster, Pod, SYSTEM, Sandbox};

/// The control planes' port of metrics.
const PORT: u16 = 15014;

/// Sums over the pages, by the sample's name and labels as they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Reads the pages from a pod that has `curl`.
    pub fn read(cluster: &Cluster, sandbox: &Sandbox, from: &str) -> Result<Self> {
        let mut figures = Self::default();
        for plane in cluster.kubectl.pods(SYSTEM, "app=ambit-control-plane")? {
            figures.add(&page(sandbox, from, &plane)?);
        }
        Ok(figures)
    }

    /// Adds a page's samples.
    pub fn add(&mut self, page: &str) {
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((sample, number)) = line.rsplit_once(' ') else {
                continue;
            };
            if let Ok(number) = number.parse::<f64>() {
                *self.0.entry(sample.to_owned()).or_default() += number;
            }
        }
    }

    /// What was added since earlier figures.
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = self.0.iter().map(|(sample, number)| {
            let before = earlier.0.get(sample).copied().unwrap_or_default();
            (sample.clone(), number - before)
        });
        Self(grown.collect())
    }

    /// A sample by its name and labels.
    pub fn of(&self, sample: &str) -> Option<f64> {
        self.0.get(sample).copied()
    }

    /// The bound of a histogram's buckets that `part` of its values is not above; nothing without
    /// values.
    pub fn quantile(&self, histogram: &str, part: f64) -> Option<f64> {
        let start = format!("{histogram}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = (self.0.iter())
            .filter_map(|(sample, count)| {
                let bound = sample.strip_prefix(&start)?.strip_suffix("\"}")?;
                let bound = match bound {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().ok()?,
                };
                Some((bound, *count))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = buckets.last()?.1;
        let enough = |(_, count): &&(f64, f64)| *count >= all * part;
        (all > 0.0).then(|| buckets.iter().find(enough).map(|bucket| bucket.0))?
    }
}

fn page(sandbox: &Sandbox, from: &str, plane: &Pod) -> Result<String> {
    let ip = plane.ip().context("a control plane without address")?;
    let url = format!("http://{}/metrics", SocketAddr::new(ip, PORT));
    sandbox.curl(from, &url)
}

#[cfg(test)]
mod tests;
