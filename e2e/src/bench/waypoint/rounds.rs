//! Figures of several rounds, by proxy, and the table they make.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

use super::super::figures::{Goal, median, show_if};
use super::super::load::{self, Route};
use super::super::{note, usage};
use super::proxies::Proxy;
use super::traffic::{At, Traffic};
use crate::lab::Namespace;

/// The most of Envoy's CPU time that ours may use.
const OF_ENVOYS_CPU: Goal = Goal::AtMost(0.50);

/// A figure: of which traffic, and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    Cost(Traffic),
    Rate(Traffic),
    P50,
    P99,
}

/// A proxy that is ready, and its clients.
pub(super) struct Contender<'a> {
    pub(super) proxy: Proxy,
    /// Its processes.
    pub(super) pids: Vec<Pid>,
    /// Where the clients are.
    pub(super) from: &'a Namespace,
    /// Where they reach it.
    pub(super) at: At,
    /// Where the server's files are.
    pub(super) files: &'a Path,
    /// Headers of requests beside the usual ones.
    pub(super) headers: Vec<String>,
}

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<(Figure, Proxy), Vec<f64>>);

impl Contender<'_> {
    /// CPU seconds for 100,000 requests, and requests per second.
    pub(super) fn cost(&self, traffic: Traffic, time: Duration) -> Result<(f64, f64)> {
        let before = usage::cpu(&self.pids)?;
        let work = traffic.run(self, time)?;
        let spent = usage::cpu(&self.pids)? - before;
        let (cost, rate) = (spent * 1e5 / work.done, work.done / work.seconds);
        let name = self.proxy.name();
        note(&format!(
            "{traffic:?} {name}: {cost:.2} s/100k, {rate:.0}/s"
        ));
        Ok((cost, rate))
    }
}

impl Taken {
    /// One run of one kind of traffic.
    pub(super) fn take(
        &mut self,
        of: &Contender<'_>,
        traffic: Traffic,
        time: Duration,
    ) -> Result<()> {
        let (cost, rate) = of
            .cost(traffic, time)
            .with_context(|| format!("measuring {}", of.proxy.name()))?;
        self.add(Figure::Cost(traffic), of.proxy, cost);
        self.add(Figure::Rate(traffic), of.proxy, rate);
        Ok(())
    }

    /// One run at a given pace.
    pub(super) fn pace(&mut self, of: &Contender<'_>, time: Duration) -> Result<()> {
        let route = Route {
            from: of.from,
            to: of.at.ip,
        };
        let latency = load::paced(route, of.at.http1, time)
            .with_context(|| format!("measuring {}", of.proxy.name()))?;
        note(&format!("{} p50: {:.0} µs", of.proxy.name(), latency.p50));
        self.add(Figure::P50, of.proxy, latency.p50);
        self.add(Figure::P99, of.proxy, latency.p99);
        Ok(())
    }

    fn add(&mut self, figure: Figure, proxy: Proxy, value: f64) {
        self.0.entry((figure, proxy)).or_default().push(value);
    }

    fn of(&self, figure: Figure, proxy: Proxy) -> &[f64] {
        self.0.get(&(figure, proxy)).map_or(&[], Vec::as_slice)
    }

    /// The table's head.
    pub(super) fn head(proxies: &[Proxy]) -> Vec<String> {
        let mut head = vec!["figure".to_owned()];
        head.extend(proxies.iter().map(|proxy| proxy.name().to_owned()));
        head.extend(["ambit to Envoy", "target", ""].map(str::to_owned));
        head
    }

    /// Its rows: medians, and the median of the rounds' own ratios.
    pub(super) fn rows(&self, proxies: &[Proxy]) -> Vec<Vec<String>> {
        let of_traffic = Traffic::ALL.into_iter().flat_map(|traffic| {
            let name = traffic.name();
            [
                (
                    Figure::Cost(traffic),
                    format!("{name}: CPU s/100k"),
                    Some(OF_ENVOYS_CPU),
                ),
                (Figure::Rate(traffic), format!("{name}: requests/s"), None),
            ]
        });
        let of_pace = [
            (
                Figure::P50,
                "1,000 requests/s: p50 µs".to_owned(),
                Some(Goal::AtMost(1.0)),
            ),
            (Figure::P99, "1,000 requests/s: p99 µs".to_owned(), None),
        ];
        let taken = |figure| !self.of(figure, Proxy::Ambit).is_empty();
        let figures = of_traffic
            .chain(of_pace)
            .filter(|(figure, _, _)| taken(*figure));
        figures
            .map(|(figure, what, goal)| self.row(figure, what, goal, proxies))
            .collect()
    }

    fn row(
        &self,
        figure: Figure,
        what: String,
        goal: Option<Goal>,
        proxies: &[Proxy],
    ) -> Vec<String> {
        let mut cells = vec![what];
        let medians = proxies.iter().map(|proxy| median(self.of(figure, *proxy)));
        cells.extend(medians.map(show_if));
        let ours = self.of(figure, Proxy::Ambit).iter();
        let pairs = ours.zip(self.of(figure, Proxy::Envoy));
        let ratio = median(
            &pairs
                .map(|(ours, theirs)| ours / theirs)
                .collect::<Vec<_>>(),
        );
        cells.push(ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")));
        cells.push(goal.map_or_else(String::new, |goal| goal.text("")));
        let verdict = goal.zip(ratio).map(|(goal, ratio)| goal.verdict(ratio));
        cells.push(verdict.unwrap_or_default().to_owned());
        cells
    }
}
