//! How many retries there may be at once beside the requests that there are.

use ambit_e2e::keepalive::Connection;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;

use super::connections::again;
use super::{apply, await_series, rule};
use crate::fronted::Fronted;
use crate::support::SOON;

/// Puts a budget in force.
fn budget(fronted: &Fronted, percent: u64, minimum: u64) {
    let text = rule(&format!(
        "  host: server\n  trafficPolicy:\n    \
         retryBudget: {{percent: {percent}, minRetryConcurrency: {minimum}}}\n"
    ));
    apply(fronted, &text, |traffic| {
        let share = &traffic["whole"]["any"]["connections"]["retry_share"];
        share["percent"] == percent && share["minimum"] == minimum
    });
}

#[test]
fn retries_are_a_share_of_the_requests_or_a_few_at_least() {
    let fronted = Fronted::start(&[]);
    // Unless it hangs at once, the first try of each request fails, and the second hangs.
    let server = Scripted::start(&fronted.pod("server"), 8080, |heard, before| {
        match before == 0 && !heard.path().starts_with("/hangs") {
            true => Deed::answer(500, "badly"),
            false => Deed::new("", Then::Hang),
        }
    });
    let server = server.unwrap();
    // A request that is under way when it has been heard of so often.
    let begin = |path: &str, tries: usize| -> Connection {
        let mut client = fronted.connect(80);
        let get = format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n");
        client.send(get).unwrap();
        let heard = || server.heard_at(path).len() == tries;
        wait_until("its tries", SOON, heard).unwrap();
        client
    };
    let is_not_tried_again = |path: &str| {
        assert_eq!(fronted.get(path, "").status, 500, "{path}");
        assert_eq!(server.heard_at(path).len(), 1, "{path}");
    };
    budget(&fronted, 50, 1);
    fronted.route(&again(), "VirtualService/shop/again/0");
    let first = begin("/first", 2);
    // Half of two.
    is_not_tried_again("/second");
    let others = ["/hangs/1", "/hangs/2"].map(|path| begin(path, 1));
    // Half of four, and of five.
    let third = begin("/third", 2);
    is_not_tried_again("/fourth");
    // Three, however few requests there are.
    budget(&fronted, 0, 3);
    let fifth = begin("/fifth", 2);
    is_not_tried_again("/sixth");
    await_series(&fronted, "envoy_cluster_upstream_rq_retry_overflow", 3.0);
    drop((first, others, third, fifth));
}
