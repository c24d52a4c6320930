//! What published dashboards and alerts ask of Prometheus (the contract's M14 to M19 and M23), in the
//! words that their readers will type: the table `e2e/team/expressions.txt`.

use anyhow::{Context as _, Result};

const TABLE: &str = include_str!("../team/expressions.txt");

/// Quantiles of the duration in ms that are drawn, by service, the smallest first.
pub const LATENCIES: [&str; 3] = ["latency p50", "latency p95", "latency p99"];

/// All expressions, each with its name.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = "))
}

/// The expression of this name.
pub fn named(name: &str) -> Result<&'static str> {
    let found = all().find(|(known, _)| *known == name);
    let (_, expression) = found.with_context(|| format!("no expression is named {name}"))?;
    Ok(expression)
}

#[cfg(test)]
mod tests;
