//! After `helm uninstall` the pods work as if the mesh had never been, and the nodes hold no rule
//! and no file of it; without the chart's hook there are such leftovers, and installing over them
//! works.

use ambit_e2e::cluster::{Cluster, Echo, Pod, peer_authentication};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};

use super::BITE;

/// What the mesh may have left on a node: prints a line for each thing.
const LEFTOVERS: &str = r#"
for path in /run/ambit/* /run/ambit-state/* /opt/cni/bin/ambit-cni; do
  [ ! -e "$path" ] || echo "file $path"
done
grep -l ambit /etc/cni/net.d/* 2>/dev/null | sed 's/^/configuration /'
seen=
for space in /proc/[0-9]*/ns/net; do
  pid=${space#/proc/}; pid=${pid%%/*}
  inode=$(readlink "$space") || continue
  case $seen in *"$inode"*) continue;; esac
  seen="$seen $inode"
  for ask in "nft list ruleset" "iptables-legacy-save" "ip6tables-legacy-save" "ip rule" "ip -6 rule"; do
    nsenter -t "$pid" -n $ask 2>/dev/null | grep -iE 'ambit|0x539|1500[168]' |
      sed "s/^/pid $pid, $ask: /"
  done
done
true
"#;

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster.clear()?;
    let shop = cluster.sandbox("uninstall")?;
    shop.enrol()?;
    let (server, client) = (Echo::one("server"), Echo::one("client"));
    let (server, client) = (server.on(cluster.node(1)?), client.on(cluster.node(0)?));
    shop.apply(&server.objects(&shop))?;
    shop.apply(&client.objects(&shop))?;
    shop.apply(&[peer_authentication("STRICT")])?;
    shop.ready(&server.selector(), 1)?;
    let found = shop.ready(&client.selector(), 1)?;
    let client = found.first().context("no client")?.name();
    shop.captured("", BITE)?;
    shop.curl(client, "http://server/")?;

    cluster.release.uninstall()?;
    nothing_left(cluster)?;
    shop.curl(client, "http://server/")
        .context("after the uninstall")?;
    let pods = shop.pods("")?;
    ensure!(pods.iter().all(Pod::is_ready), "pods are no longer ready");
    let restarts: u32 = pods.iter().map(Pod::restarts).sum();
    ensure!(restarts == 0, "pods were restarted {restarts} times");
    ensure!(
        pods.iter().all(|pod| pod.redirection().is_none()),
        "pods are still recorded as captured"
    );

    cluster.release.install().context("once more")?;
    shop.captured("", BITE)?;
    shop.curl(client, "http://server/")
        .context("after the reinstall")?;
    cluster.release.uninstall_without_hooks()?;
    for node in &cluster.nodes {
        let left = cluster.on_node(node, LEFTOVERS)?;
        ensure!(
            left.contains("file /run/ambit-state") && left.contains("pid "),
            "nothing is left on {node} to install over: {left}"
        );
    }
    cluster.release.install().context("over what was left")?;
    wait_until("pods to serve again", BITE, || {
        shop.curl(client, "http://server/").is_ok()
    })?;
    cluster.release.uninstall()?;
    nothing_left(cluster)?;
    Ok(format!("{} nodes are clean, twice", cluster.nodes.len()))
}

/// kube-proxy takes a moment to forget the mesh's own service.
fn nothing_left(cluster: &Cluster) -> Result<()> {
    for node in &cluster.nodes {
        let mut left = String::new();
        let clean = wait_until("a clean node", BITE, || {
            left = cluster
                .on_node(node, LEFTOVERS)
                .unwrap_or_else(|error| format!("{error:#}"));
            left.trim().is_empty()
        });
        clean.with_context(|| format!("left on {node}: {}", left.trim()))?;
    }
    Ok(())
}
