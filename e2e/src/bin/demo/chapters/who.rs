//! Who talked to whom: what the agents' access logs say, added up.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::screen::Screen;
use crate::shop::Shop;

/// Connections and bytes between two identities.
#[derive(Debug, Default)]
struct Talk {
    connections: u64,
    bytes: u64,
}

/// Shows the identities on both ends of every connection that has ended.
pub(crate) fn who(screen: &Screen, shop: &Shop) -> Result<()> {
    screen.chapter("Who talked to whom, as the certificates on both ends prove");
    let mut talks: BTreeMap<[String; 3], Talk> = BTreeMap::new();
    for agent in &shop.mesh()?.agents {
        let log = agent.pages().access_log();
        for line in log
            .iter()
            .filter(|line| line.text("direction") == "outbound")
        {
            let names = ["src.identity", "dst.identity", "dst.service"]
                .map(|key| line.text(key).to_owned());
            let talk = talks.entry(names).or_default();
            talk.connections = talk.connections.saturating_add(1);
            let bytes = line
                .number("bytes_sent")
                .saturating_add(line.number("bytes_recv"));
            talk.bytes = talk.bytes.saturating_add(bytes);
        }
    }
    let heading = ["from", "to", "service", "connections", "bytes"].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    for ([from, to, service], talk) in talks {
        rows.push(vec![
            from,
            to,
            service,
            talk.connections.to_string(),
            talk.bytes.to_string(),
        ]);
    }
    screen.table(&rows);
    Ok(())
}
