//! Leaves each node but a few addresses for new pods.

use ambit_e2e::cluster::Cluster;
use anyhow::{Result, ensure};

/// Prints the first three numbers of a node's addresses for pods.
const NARROW: &str = r#"
for file in /etc/cni/net.d/*.conflist; do
  range='"subnet": *"\([0-9]*\.[0-9]*\.[0-9]*\)\.0\/24"'
  grep -q "$range" "$file" || continue
  sed -n "s/.*$range.*/\1/p" "$file"
  sed "s/$range/&, \"rangeStart\": \"\1.100\", \"rangeEnd\": \"\1.123\"/" "$file" > "$file.new"
  mv "$file.new" "$file"
done
"#;
const WIDEN: &str = r#"
for file in /etc/cni/net.d/*.conflist; do
  sed 's/, "rangeStart": "[0-9.]*", "rangeEnd": "[0-9.]*"//' "$file" > "$file.new"
  mv "$file.new" "$file"
done
"#;
const FIRST: u8 = 100;
const LAST: u8 = 123;

/// Nodes with few addresses, until this is dropped.
pub(super) struct Narrow<'a> {
    cluster: &'a Cluster,
    /// All of them.
    pub(super) addresses: Vec<String>,
}

impl<'a> Narrow<'a> {
    /// Narrows every node whose addresses are given out of a configured range.
    pub(super) fn all(cluster: &'a Cluster) -> Result<Self> {
        let addresses = Vec::new();
        let mut narrow = Self { cluster, addresses };
        for node in &cluster.nodes {
            let said = cluster.on_node(node, NARROW)?;
            let start = said.trim();
            ensure!(
                !start.is_empty(),
                "{node} has no range of addresses for pods"
            );
            let addresses = (FIRST..=LAST).map(|last| format!("{start}.{last}"));
            narrow.addresses.extend(addresses);
        }
        Ok(narrow)
    }
}

impl Drop for Narrow<'_> {
    fn drop(&mut self) {
        for node in &self.cluster.nodes {
            if let Err(error) = self.cluster.on_node(node, WIDEN) {
                eprintln!("{node} still has few addresses: {error:#}");
            }
        }
    }
}
