//! What pods may leave behind on a node: namespaces, links, rules, and what the agent holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ambit_e2e::cluster::Cluster;
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result};

/// Prints `WHAT NUMBER` lines.
const COUNT: &str = r#"
descriptors=0; threads=0; held=0
for at in /proc/[0-9]*; do
  case $(cat "$at/comm" 2>/dev/null) in
    ambit-node-agen*)
      descriptors=$((descriptors + $(ls "$at/fd" | wc -l)))
      threads=$((threads + $(ls "$at/task" | wc -l)))
      held=$((held + $(ls -l "$at/fd" | grep -c 'net:\['))) ;;
  esac
done
echo "descriptors $descriptors"
echo "threads $threads"
echo "namespaces $(ls /run/netns | wc -l)"
echo "links $(ip -o link | wc -l)"
echo "held $held"
echo "series $(curl -s -m 5 http://127.0.0.1:15020/metrics | grep -vc '^#')"
"#;
/// Fewer than a pod each would leave, more than a moment's work takes.
const ALLOWANCE: i64 = 30;
/// Series are of workloads: whenever two kinds of ends meet for the first time there are some more.
/// One for each pod would be half of all pods on a node, and there are four of each kind.
const SERIES: i64 = 120;
/// A node that has not changed for so long is at rest.
const REST: Duration = Duration::from_secs(3);

type Counts = BTreeMap<String, i64>;

/// What there is on each node.
pub(super) struct Leftovers(Vec<Counts>);

impl Leftovers {
    /// Counts once nothing changes any more.
    pub(super) fn settled(cluster: &Cluster, limit: Duration) -> Result<Self> {
        let mut last = Vec::new();
        let mut since = Instant::now();
        wait_until("the nodes to come to rest", limit, || {
            let now = count(cluster).unwrap_or_default();
            let names = |counts: &Vec<Counts>| -> Vec<_> {
                let of = |counts: &Counts| counts.get("namespaces").copied();
                counts.iter().map(of).collect()
            };
            if names(&now) != names(&last) {
                since = Instant::now();
            }
            last = now;
            since.elapsed() > REST
        })?;
        Ok(Self(last))
    }

    /// An error if a node does not come back to what there was.
    pub(super) fn are_back(&self, cluster: &Cluster, limit: Duration) -> Result<()> {
        let mut last = Vec::new();
        let back = wait_until("nothing to be left", limit, || {
            last = count(cluster).unwrap_or_default();
            last.len() == self.0.len() && last.iter().zip(&self.0).all(fits)
        });
        back.with_context(|| format!("{:?} became {last:?}", self.0))?;
        Ok(())
    }
}

/// Whether there is no more than before; of what the agent holds, a little more.
fn fits((now, before): (&Counts, &Counts)) -> bool {
    before.iter().all(|(what, before)| {
        let allowance = match what.as_str() {
            "namespaces" | "links" | "held" => 0,
            "series" => SERIES,
            _ => ALLOWANCE,
        };
        now.get(what)
            .is_some_and(|now| *now <= before.saturating_add(allowance))
    })
}

fn count(cluster: &Cluster) -> Result<Vec<Counts>> {
    let of_node = |node: &String| {
        let said = cluster.on_node(node, COUNT)?;
        let line = |line: &str| {
            let (what, number) = line.split_once(' ')?;
            Some((what.to_owned(), number.parse().ok()?))
        };
        Ok(said.lines().filter_map(line).collect())
    };
    cluster.nodes.iter().map(of_node).collect()
}
