//! The chapters of the show, in order; each does something and says what came of it.

mod numbers;
mod who;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ambit_e2e::capture::{Capture, Captured};
use ambit_e2e::clients;
use ambit_e2e::lab::address::Family;
use ambit_e2e::wait::wait_until;
use anyhow::{Result, bail};

pub(crate) use self::numbers::{Before, numbers};
pub(crate) use self::who::who;
use crate::screen::Screen;
use crate::shop::{PORT, Shop, examples, read};

/// What a passer-by must not read.
const SECRET: &str = "card=4111-1111";
const HBONE: u16 = 15008;
const TLS13: u16 = 0x0304;
const BITE: Duration = Duration::from_secs(10);

/// What was built.
pub(crate) fn topology(screen: &Screen, shop: &Shop) {
    screen.chapter("Two nodes, six pods, real programs; no mesh yet");
    let mut rows = vec![
        ["node", "pod", "addresses", "runs"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for member in shop.members() {
        let pod = &member.pod;
        rows.push(vec![
            format!("node-{}", pod.node),
            pod.name.clone(),
            format!("{} {}", pod.v4, pod.v6),
            member.runs.to_owned(),
        ]);
    }
    screen.table(&rows);
}

/// The wire without the mesh, and how fast it is.
pub(crate) fn before(screen: &Screen, shop: &Shop) -> Result<Before> {
    screen.chapter("Before: anybody between the nodes reads along");
    let at = SocketAddr::new(shop.pod("storefront")?.ip(Family::V4), PORT);
    let capture = tap(shop, "before")?;
    curl(screen, shop, &format!("http://{at}/?{SECRET}"))?;
    let seen = capture.stop()?;
    for packet in seen.holding(SECRET.as_bytes()) {
        let text = String::from_utf8_lossy(&packet.payload);
        let first = text.lines().next().unwrap_or_default();
        screen.bad(&format!(
            "on the wire: {} > {}  {first}",
            packet.source, packet.destination
        ));
    }
    Before::measure(shop, at)
}

/// The mesh takes the running pods in.
pub(crate) fn enrol(screen: &Screen, shop: &mut Shop) -> Result<()> {
    screen.chapter("The mesh starts and captures the running pods; no program is restarted");
    let start = Instant::now();
    shop.join_mesh()?;
    screen.good(&format!(
        "control plane, two node agents, {} pods captured in {:.1} s",
        shop.members().len(),
        start.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// The wire with the mesh.
pub(crate) fn wire(screen: &Screen, shop: &Shop) -> Result<()> {
    screen.chapter("With the mesh: the same shop, by the services' names");
    let capture = tap(shop, "with")?;
    for family in ["-4", "-6"] {
        for path in ["", "catalog/", "cart/"] {
            curl_with(
                screen,
                shop,
                &[family],
                &format!("http://storefront/{path}?{SECRET}"),
            )?;
        }
    }
    let seen = capture.stop()?;
    say_ports(screen, &seen);
    let versions = seen.tls_versions(HBONE);
    let thirteen = versions.iter().filter(|version| **version == TLS13).count();
    let readable = seen.holding(SECRET.as_bytes()).count();
    if readable > 0 || thirteen == 0 || thirteen != versions.len() {
        bail!("the wire is not as it should be: {readable} readable packets, {versions:x?}");
    }
    screen.good(&format!(
        "on the wire: {} packets, {thirteen} TLS handshakes, all TLS 1.3; \"{SECRET}\" is in none",
        seen.packets().len()
    ));
    Ok(())
}

/// A policy, applied and withdrawn, with the time it takes to bite.
pub(crate) fn policy(screen: &Screen, shop: &Shop) -> Result<()> {
    screen.chapter("A policy: the storefront may not call payments, cart may");
    let name = "payments-refuse-the-storefront";
    let text = read(&examples().join("policies").join(format!("{name}.yaml")))?;
    for line in text.lines().skip_while(|line| !line.starts_with("spec:")) {
        screen.line(&format!("  {line}"));
    }
    let (from, allowed) = (
        shop.pod("storefront")?.namespace(),
        shop.pod("cart")?.namespace(),
    );
    let at = address(shop, "payments")?;
    let passes = || clients::get(from, at, "/").is_ok_and(|answer| answer.status == 200);
    if !passes() {
        bail!("the storefront could not call payments before the policy");
    }
    let configuration = &shop.mesh()?.configuration;
    configuration.apply(name, &text)?;
    let bit = wait_until("the policy to bite", BITE, || !passes())?;
    let still = clients::get(allowed, at, "/")?.status;
    screen.good(&format!(
        "applied: refused after {} ms; cart still gets {still}",
        bit.as_millis()
    ));
    configuration.remove(name)?;
    let lifted = wait_until("the policy to be lifted", BITE, passes)?;
    screen.good(&format!(
        "removed: served again after {} ms",
        lifted.as_millis()
    ));
    let agent = shop.mesh()?.agent(2)?;
    let refused = agent
        .pages()
        .access_log()
        .into_iter()
        .rev()
        .find(|line| !line.reason().is_empty());
    if let Some(line) = refused {
        screen.line(&format!(
            "the log says: {} -> {}: {} ({})",
            line.text("src.identity"),
            line.text("dst.workload"),
            line.reason(),
            line.text("policy"),
        ));
    }
    Ok(())
}

/// Where to look further, as lines to paste.
pub(crate) fn further(screen: &Screen, shop: &Shop) -> Result<()> {
    screen.chapter("Look further, from another terminal (as root)");
    let (node, wan) = (shop.lab.node(1)?.namespace.name(), shop.lab.wan().name());
    let pod = shop.pod("shopper")?.namespace().name();
    let config = shop.mesh()?.configuration.dir().display();
    let ambit = ambit_e2e::mesh::binary("ambit")?;
    let dir = shop.lab.dir().display();
    for (what, command) in [
        (
            "a call",
            format!("ip netns exec {pod} curl -s http://storefront/cart/"),
        ),
        (
            "the wire",
            format!("ip netns exec {wan} tcpdump -ni node1 -A tcp"),
        ),
        (
            "metrics",
            format!("ip netns exec {node} curl -s localhost:15020/metrics"),
        ),
        (
            "what the agent knows",
            format!("ip netns exec {node} curl -s localhost:15000/config_dump"),
        ),
        (
            "open connections",
            format!("ip netns exec {node} curl -s localhost:15000/debug/connections"),
        ),
        (
            "control plane",
            format!("ip netns exec {wan} curl -s localhost:15014/metrics"),
        ),
        ("access logs", format!("tail -f {dir}/agent-node-*.out")),
        ("the objects (edit them)", format!("ls {config}")),
        (
            "why a call is allowed",
            format!(
                "{} explain --from dir:{config} shop/cart payments.shop.svc.cluster.local:80",
                ambit.display()
            ),
        ),
    ] {
        screen.line(&format!("{what}:\n      {command}"));
    }
    Ok(())
}

/// A capture on the wire between the nodes.
fn tap(shop: &Shop, name: &str) -> Result<Capture> {
    Capture::start(shop.lab.wan(), "node1", shop.lab.dir(), name)
}

fn say_ports(screen: &Screen, seen: &Captured) {
    let mut rows = vec![["TCP port", "payload bytes"].map(str::to_owned).to_vec()];
    for (port, bytes) in seen.bytes_by_port() {
        let what = match port {
            HBONE => "15008 (tunnels)".to_owned(),
            15012 => "15012 (control plane, TLS)".to_owned(),
            other => other.to_string(),
        };
        rows.push(vec![what, bytes.to_string()]);
    }
    screen.table(&rows);
}

fn curl(screen: &Screen, shop: &Shop, url: &str) -> Result<()> {
    curl_with(screen, shop, &[], url)
}

fn curl_with(screen: &Screen, shop: &Shop, options: &[&str], url: &str) -> Result<()> {
    let shown: Vec<&str> = ["curl"]
        .iter()
        .chain(options)
        .chain(&[url])
        .copied()
        .collect();
    screen.command("shopper", &shown.join(" "));
    let args = [&["-sS", "--fail-with-body", "-m", "10"], options, &[url]].concat();
    let answer = shop.pod("shopper")?.run("curl", &args)?;
    screen.line(&format!("  {}", answer.trim_end()));
    Ok(())
}

/// Where a service is reached, from the hosts file that the pods have.
fn address(shop: &Shop, service: &str) -> Result<SocketAddr> {
    let found = shop.pod("shopper")?.run("getent", &["ahostsv4", service])?;
    let ip = found.split_whitespace().next().unwrap_or_default();
    Ok(SocketAddr::new(ip.parse()?, 80))
}
