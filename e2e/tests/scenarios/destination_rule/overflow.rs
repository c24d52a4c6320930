//! What is more than there may be at once is answered with 503 and `UO`, and counted.

use ambit_e2e::keepalive::Connection;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::{apply, await_series};
use crate::fronted::{Fronted, pool};

/// A request that is under way, and stays so.
fn hangs(fronted: &Fronted, path: &str) -> Connection {
    let mut connection = fronted.connect(80);
    let get = format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n");
    connection.send(get).unwrap();
    connection
}

fn await_heard(server: &Scripted, path: &str) {
    let heard = || !server.heard_at(path).is_empty();
    wait_until("the request to hang", SPREAD, heard).unwrap();
}

#[test]
fn what_is_too_much_at_once_is_refused_and_counted() {
    let fronted = Fronted::start(&[]);
    let server = Scripted::start(&fronted.pod("server"), 8080, |heard, _| {
        match heard.path().starts_with("/hang") {
            true => Deed::new("", Then::Hang),
            false => Deed::answer(200, "well"),
        }
    });
    let server = server.unwrap();
    // Requests in flight.
    apply(
        &fronted,
        &pool(
            "server.shop.svc.cluster.local",
            "maxConnections: 100",
            "http2MaxRequests: 2",
        ),
        |traffic| traffic["whole"]["any"]["connections"]["requests"] == 2,
    );
    let held = [hangs(&fronted, "/hang/1"), hangs(&fronted, "/hang/2")];
    for path in ["/hang/1", "/hang/2"] {
        await_heard(&server, path);
    }
    await_series(&fronted, "envoy_cluster_upstream_rq_active", 2.0);
    let answer = fronted.get("/third", "");
    assert_eq!(
        (answer.status, answer.body.trim()),
        (503, "request_overflow")
    );
    assert_eq!(fronted.logged("/third").field("response_flags"), "UO");
    await_series(&fronted, "envoy_cluster_upstream_rq_pending_overflow", 1.0);
    drop(held);
    await_series(&fronted, "envoy_cluster_upstream_rq_active", 0.0);
    assert_eq!(fronted.get("/again", "").status, 200);
    // Those of the requests that were broken off have ended.
    await_series(&fronted, "envoy_cluster_upstream_cx_active", 1.0);

    // Connections, and requests that wait for one.
    let bounds = pool("server", "maxConnections: 1", "http1MaxPendingRequests: 1");
    apply(&fronted, &bounds, |traffic| {
        traffic["whole"]["any"]["connections"]["pending"] == 1
    });
    let first = hangs(&fronted, "/hang/3");
    await_heard(&server, "/hang/3");
    let mut second = hangs(&fronted, "/waits");
    await_series(&fronted, "envoy_cluster_upstream_rq_pending_active", 1.0);
    await_series(&fronted, "envoy_cluster_upstream_cx_overflow", 1.0);
    let answer = fronted.get("/fourth", "");
    assert_eq!(
        (answer.status, answer.body.trim()),
        (503, "pending_overflow")
    );
    assert_eq!(fronted.logged("/fourth").field("response_flags"), "UO");
    await_series(&fronted, "envoy_cluster_upstream_rq_pending_overflow", 2.0);
    // When the first has gone the second has its turn.
    drop(first);
    assert_eq!(second.answer().unwrap().status, 200);
    await_series(&fronted, "envoy_cluster_upstream_rq_pending_active", 0.0);
}
