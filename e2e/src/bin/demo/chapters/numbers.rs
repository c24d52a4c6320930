//! Numbers: requests per second with and without the mesh, and what the mesh uses.

use std::net::SocketAddr;

use ambit_e2e::process;
use anyhow::{Context as _, Result};

use crate::screen::Screen;
use crate::shop::Shop;

/// One measurement of the shop's front page.
#[derive(Debug)]
pub(crate) struct Before {
    rate: String,
    latency: Latency,
}

#[derive(Debug)]
struct Latency {
    half: String,
    ninety_nine: String,
}

impl Before {
    /// Loads the front page directly.
    pub(crate) fn measure(shop: &Shop, at: SocketAddr) -> Result<Self> {
        load(shop, &format!("http://{at}/"))
    }
}

/// Shows the same load over the mesh, and the agents' memory.
pub(crate) fn numbers(screen: &Screen, shop: &Shop, before: &Before) -> Result<()> {
    screen.chapter("Numbers (a debug build on one machine; `make bench` has the careful ones)");
    screen.command("shopper", "wrk -t1 -c16 -d3s --latency http://storefront/");
    let after = load(shop, "http://storefront/")?;
    let heading = ["", "requests/s", "p50", "p99"].map(str::to_owned);
    let row = |name: &str, load: &Before| {
        let Latency { half, ninety_nine } = &load.latency;
        vec![
            name.to_owned(),
            load.rate.clone(),
            half.clone(),
            ninety_nine.clone(),
        ]
    };
    screen.table(&[
        heading.to_vec(),
        row("without mesh", before),
        row("with mesh", &after),
    ]);
    let mut rows = vec![["process", "memory"].map(str::to_owned).to_vec()];
    for agent in &shop.mesh()?.agents {
        let node = &agent.node().name;
        let host = agent
            .program()
            .context("an agent has ended")?
            .pid()
            .as_raw();
        rows.push(vec![format!("{node} host role"), memory(host)]);
        for proxy in agent.proxies()? {
            rows.push(vec![format!("{node} proxy role"), memory(proxy)]);
        }
    }
    if let Some(program) = shop.mesh()?.control_plane.program() {
        rows.push(vec![
            "control plane".to_owned(),
            memory(program.pid().as_raw()),
        ]);
    }
    screen.table(&rows);
    Ok(())
}

fn load(shop: &Shop, url: &str) -> Result<Before> {
    let report = shop
        .pod("shopper")?
        .run("wrk", &["-t1", "-c16", "-d3s", "--latency", url])?;
    let after = |label: &str| {
        let line = report
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.map(|rest| rest.trim().to_owned())
            .with_context(|| format!("wrk without {label}: {report}"))
    };
    let latency = Latency {
        half: after("50%")?,
        ninety_nine: after("99%")?,
    };
    Ok(Before {
        rate: after("Requests/sec:")?,
        latency,
    })
}

/// Resident memory of a process, as the kernel says it.
fn memory(pid: i32) -> String {
    process::resident_kib(pid).map_or_else(|| "gone".to_owned(), |kib| format!("{kib} KiB"))
}
