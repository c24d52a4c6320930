//! What a DestinationRule says of localities, in Istio's words, and how that is read.
//!
//! A locality is written `region/zone/subzone`. Any part may be `*`, and what is left out or empty
//! behind the region is as good. Which of several patterns an endpoint belongs to Istio leaves open;
//! here it is the one that names the most parts, and of these the first.

use std::sync::Arc;

use ambit_model::Locality;

use super::{Failover, Part};
use crate::place::Place;

/// Labels that are looked at. More of them would make more ranks than endpoints have use for.
const MOST_LABELS: usize = 16;
/// Parts that are looked at: their weights are percents.
const MOST_PARTS: usize = 100;

/// Istio's `localityLbSetting`. The default is failover by locality alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalitySetting {
    /// No preference at all (`enabled: false`).
    pub disabled: bool,
    /// Parts of the requests by locality. Where there are some, nothing else here counts. A caller
    /// that none of them is for has no preference.
    pub distribute: Vec<Distribute>,
    /// Regions that go before others. With labels, it also says that endpoints that are equal by
    /// these go by locality.
    pub failover: Vec<RegionFailover>,
    /// Labels, the most important first: `key`, for the caller's value, or `key=value`. Those after
    /// the sixteenth do not count.
    pub failover_priority: Vec<String>,
}

/// Where the requests of callers in one locality go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribute {
    /// The callers' locality.
    pub from: String,
    /// Localities with weights, a hundred at most; others get nothing.
    pub to: Vec<(String, u32)>,
}

/// Which other region goes before the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionFailover {
    /// The callers' region.
    pub from: String,
    /// The other.
    pub to: String,
}

impl LocalitySetting {
    /// The parts of a caller's requests; none if there are none for its locality.
    pub(super) fn parts_for(&self, own: &Place) -> Option<Vec<Part>> {
        let mut all = self.distribute.iter();
        let distribute =
            all.find(|distribute| Pattern::new(&distribute.from).has(&own.locality))?;
        let parts = distribute
            .to
            .iter()
            .take(MOST_PARTS)
            .map(|(to, weight)| Part {
                to: Pattern::new(to),
                weight: u64::from(*weight),
            });
        let mut parts: Vec<_> = parts.collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.to.named()));
        Some(parts)
    }

    pub(super) fn failover_for(&self, own: &Place) -> Failover {
        let labels = self.failover_priority.iter().take(MOST_LABELS);
        let labels = labels.map(|label| {
            let (key, value) = match label.split_once('=') {
                Some((key, value)) => (key, value),
                None => (label.as_str(), own.label(label)),
            };
            (Arc::from(key), Arc::from(value))
        });
        let mut regions = self.failover.iter();
        let region = regions.find(|region| *region.from == *own.locality.region);
        Failover {
            labels: labels.collect(),
            by_locality: self.failover_priority.is_empty() || !self.failover.is_empty(),
            to: region.map(|region| Arc::from(region.to.as_str())),
        }
    }
}

/// Localities: region, zone and subzone, of which those without a name are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern([Option<Arc<str>>; 3]);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = text.split('/');
        let region = parts.next().unwrap_or_default();
        let mut rest = || {
            let name = parts.next().filter(|name| !matches!(*name, "" | "*"));
            name.map(Arc::from)
        };
        let region = (region != "*").then(|| Arc::from(region));
        Self([region, rest(), rest()])
    }

    pub(super) fn has(&self, locality: &Locality) -> bool {
        let names = [&locality.region, &locality.zone, &locality.subzone];
        let mut pairs = self.0.iter().zip(names);
        pairs.all(|(wanted, name)| wanted.as_ref().is_none_or(|wanted| wanted == name))
    }

    /// How many parts it names.
    fn named(&self) -> usize {
        self.0.iter().flatten().count()
    }
}
