//! Throughput, latency and CPU time: the mesh beside a raw relay, in turns.
//!
//! The machine is noisy and shared, so every round takes every way once, and a ratio is the
//! median of the rounds' ratios: what slows one round slows both sides of it.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::figures::{Goal, median, show_if};
use super::load;
use super::report::Section;
use super::ways::{Bed, Track, Way};
use super::{Effort, note, usage};

const GIB: f64 = (1_u64 << 30) as f64;
/// Shortest run of each way before the first round: tunnels up, caches warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// One bulk stream.
    BulkOne,
    /// Eight bulk streams.
    BulkEight,
    /// HTTP/1.1 with keepalive on 64 connections.
    Http,
    /// New connections, 16 at a time.
    Connections,
    /// A thousand requests per second.
    Latency,
}

/// The two figures of one run; none where nothing carries the bytes.
type Sample = [Option<f64>; 2];

/// What a figure is and what it is held against.
struct Figure {
    what: &'static str,
    base: Way,
    goal: Option<Goal>,
    compare: Compare,
}

#[derive(Clone, Copy)]
enum Compare {
    /// Mesh divided by base.
    Ratio,
    /// Mesh less base, in microseconds.
    Added,
}

impl Measure {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::BulkOne,
        Self::BulkEight,
        Self::Http,
        Self::Connections,
        Self::Latency,
    ];

    fn figures(self) -> [Figure; 2] {
        let ratio = |what, base, goal| Figure {
            what,
            base,
            goal,
            compare: Compare::Ratio,
        };
        let added = |what, most| Figure {
            what,
            base: Way::Direct,
            goal: Some(Goal::AtMost(most)),
            compare: Compare::Added,
        };
        let tls = Way::TlsRelay;
        let (most, least) = (Goal::AtMost, Goal::AtLeast);
        match self {
            Self::BulkOne => [
                ratio("bulk, 1 stream: Gbit/s", tls, Some(least(0.80))),
                ratio("bulk, 1 stream: CPU s/GiB", tls, Some(most(1.25))),
            ],
            Self::BulkEight => [
                ratio("bulk, 8 streams: Gbit/s", tls, Some(least(0.80))),
                ratio("bulk, 8 streams: CPU s/GiB", tls, Some(most(1.25))),
            ],
            Self::Http => [
                ratio(
                    "HTTP/1.1, 64 connections: requests/s",
                    tls,
                    Some(least(0.95)),
                ),
                ratio(
                    "HTTP/1.1, 64 connections: CPU s/100k",
                    tls,
                    Some(most(1.10)),
                ),
            ],
            Self::Connections => [
                ratio(
                    "new connections, 16 at a time: per s",
                    Way::TcpRelay,
                    Some(least(1.0)),
                ),
                ratio(
                    "new connections, 16 at a time: CPU s/10k",
                    Way::TcpRelay,
                    None,
                ),
            ],
            Self::Latency => [
                added("1,000 requests/s: p50 µs", 150.0),
                added("1,000 requests/s: p99 µs", 1000.0),
            ],
        }
    }

    fn ways(self) -> &'static [Way] {
        match self {
            Self::Connections => &Way::ALL,
            _ => &[Way::Direct, Way::TlsRelay, Way::Mesh],
        }
    }

    /// One run on one way.
    fn take(self, bed: &Bed, track: &Track, time: Duration) -> Result<Sample> {
        let route = track.route();
        let (load, unit, per): (Box<dyn Fn() -> Result<load::Work>>, f64, f64) = match self {
            Self::BulkOne => (Box::new(move || load::bulk(route, 1, time)), 8e-9, GIB),
            Self::BulkEight => (Box::new(move || load::bulk(route, 8, time)), 8e-9, GIB),
            Self::Http => (Box::new(move || load::http(route, 64, time)), 1.0, 1e5),
            Self::Connections => (
                Box::new(move || load::connections(route, 16, time)),
                1.0,
                1e4,
            ),
            Self::Latency => {
                let latency = load::paced(route, load::HTTP, time)?;
                return Ok([Some(latency.p50), Some(latency.p99)]);
            }
        };
        let carriers = bed.carriers(track.way)?;
        let before = usage::cpu(&carriers)?;
        let work = load()?;
        let spent = usage::cpu(&carriers)? - before;
        let cost = (!carriers.is_empty()).then_some(spent * per / work.done);
        Ok([Some(work.done * unit / work.seconds), cost])
    }
}

/// Measures on a bed of its own and answers the table.
pub fn measure(measures: &[Measure], effort: Effort) -> Result<Section> {
    note("building the ways: direct, two relays, the mesh");
    let bed = Bed::new(&Way::ALL)?;
    let mut rows = Vec::new();
    for measure in measures {
        rows.extend(rounds(&bed, *measure, effort)?);
    }
    let mut head = vec!["figure".to_owned()];
    head.extend(Way::ALL.map(|way| way.name().to_owned()));
    head.extend(["mesh to base", "base", "target", ""].map(str::to_owned));
    Ok(Section {
        title: "Speed".to_owned(),
        note: format!(
            "Medians of {} rounds of {} s; each round takes every way once. CPU is user and \
             system time of all processes that carry the bytes: two relays, or both agents and \
             the control plane. The comparison is the median of the rounds' own.",
            effort.runs,
            effort.time.as_secs()
        ),
        head,
        rows,
    })
}

/// All rounds of one measure, as rows of the table.
fn rounds(bed: &Bed, measure: Measure, effort: Effort) -> Result<Vec<Vec<String>>> {
    let ways = measure.ways();
    let tracks: Result<Vec<_>> = ways.iter().map(|way| bed.track(*way)).collect();
    let tracks = tracks?;
    for track in &tracks {
        let warm = measure.take(bed, track, WARM_UP);
        warm.with_context(|| failed(bed, measure, track.way))?;
    }
    let mut taken: Vec<Vec<Sample>> = vec![Vec::new(); ways.len()];
    for round in 0..effort.runs {
        // Another one begins each time, so that none always follows the same.
        for turn in 0..tracks.len() {
            let place = (turn + round) % tracks.len();
            let (Some(track), Some(samples)) = (tracks.get(place), taken.get_mut(place)) else {
                continue;
            };
            let sample = measure.take(bed, track, effort.time);
            let sample = sample.with_context(|| failed(bed, measure, track.way))?;
            let [first, second] = sample.map(show_if);
            note(&format!(
                "{measure:?} {}: {first} {second}",
                track.way.name()
            ));
            samples.push(sample);
        }
    }
    let of = |way: Way, figure: usize| -> Vec<Option<f64>> {
        let place = ways.iter().position(|other| *other == way);
        let samples = place.and_then(|place| taken.get(place));
        let pick = |sample: &Sample| sample.get(figure).copied().flatten();
        samples.into_iter().flatten().map(pick).collect()
    };
    let figures = measure.figures();
    let rows = figures
        .iter()
        .zip(0..)
        .map(|(figure, index)| row(figure, &|way| of(way, index)));
    Ok(rows.collect())
}

fn row(figure: &Figure, of: &dyn Fn(Way) -> Vec<Option<f64>>) -> Vec<String> {
    let middle =
        |values: &[Option<f64>]| median(&values.iter().copied().flatten().collect::<Vec<_>>());
    let mut cells = vec![figure.what.to_owned()];
    cells.extend(Way::ALL.map(|way| show_if(middle(&of(way)))));
    let pairs = of(Way::Mesh).into_iter().zip(of(figure.base));
    let compared: Vec<Option<f64>> = pairs
        .map(|(mesh, base)| {
            Some(match figure.compare {
                Compare::Ratio => mesh? / base?,
                Compare::Added => mesh? - base?,
            })
        })
        .collect();
    let value = middle(&compared);
    let (sign, unit) = match figure.compare {
        Compare::Ratio => ("", ""),
        Compare::Added => ("+", " µs"),
    };
    cells.push(value.map_or_else(
        || show_if(None),
        |value| {
            let digits = if unit.is_empty() { 2 } else { 0 };
            format!("{sign}{value:.digits$}{unit}")
        },
    ));
    cells.push(figure.base.name().to_owned());
    let goal = figure.goal;
    cells.push(goal.map_or_else(String::new, |goal| goal.text(unit)));
    let verdict = goal.zip(value).map(|(goal, value)| goal.verdict(value));
    cells.push(verdict.unwrap_or_default().to_owned());
    cells
}

/// What a failed run leaves to look at.
fn failed(bed: &Bed, measure: Measure, way: Way) -> String {
    let logs: String = match way {
        Way::Mesh => bed
            .world
            .mesh
            .agents
            .iter()
            .map(|agent| agent.log_end())
            .collect(),
        Way::Direct | Way::TcpRelay | Way::TlsRelay => String::new(),
    };
    format!("measuring {measure:?} on the way `{}`\n{logs}", way.name())
}
