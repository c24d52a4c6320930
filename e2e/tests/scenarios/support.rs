//! What several scenarios ask of a world.

use std::io::Read as _;
use std::time::Duration;

use ambit_e2e::clients::connect;
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::AccessLine;
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::World;

/// How long something may take to show in a log or on a page.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Fails unless the agent of `node` logs a refusal for this reason, and counts it.
pub(crate) fn assert_refused(world: &World, node: u8, reason: &str) -> AccessLine {
    let agent = world.mesh.agent(node).unwrap();
    let logged = wait_for(&format!("a line with reason {reason}"), SOON, || {
        agent
            .pages()
            .access_log()
            .into_iter()
            .find(|line| line.reason() == reason)
    });
    let line = logged.unwrap_or_else(|error| {
        let seen: Vec<_> = agent
            .pages()
            .access_log()
            .iter()
            .map(|line| line.0.to_string())
            .collect();
        panic!(
            "{error:#}; the log of node {node} has:\n{}",
            seen.join("\n")
        )
    });
    let label = format!("reason=\"{reason}\"");
    let counted = || {
        agent
            .pages()
            .metric("ambit_refusals_total", &[&label])
            .unwrap()
            >= 1.0
    };
    wait_until(
        &format!("refusals for {reason} to be counted"),
        SOON,
        counted,
    )
    .unwrap();
    line
}

/// Whom the server behind a service port sees as its client, which must greet with an address.
pub(crate) fn seen_by_server(world: &World, client: &str, service: &str, family: Family) -> String {
    let at = world.service(service, family, 9000).unwrap();
    let mut stream = connect(world.pod(client).unwrap().namespace(), at).unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).unwrap();
    seen
}

/// The log lines of all agents about connections that did not end well, for a failed assertion.
pub(crate) fn ended_badly(world: &World) -> String {
    let mut text = String::new();
    for agent in &world.mesh.agents {
        let log = agent.pages().access_log();
        for line in log.iter().filter(|line| line.text("level") == "error") {
            text.push_str(&format!("{}: {}\n", agent.node().name, line.0));
        }
    }
    text
}

/// All packet rules in a pod, whoever wrote them and by whatever packet filter, without counters.
pub(crate) fn rules(pod: &Pod) -> String {
    let show = "nft list ruleset 2>/dev/null && iptables-legacy-save && ip6tables-legacy-save";
    let shown = pod.run("sh", &["-c", show]).unwrap();
    let lines = shown.lines().filter(|line| !line.starts_with('#'));
    let without_counters = lines.map(|line| line.split(" [").next().unwrap_or_default());
    without_counters.collect::<Vec<_>>().join("\n")
}
