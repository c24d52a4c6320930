//! What a waypoint hands in is on its page.

use std::io::Write as _;
use std::time::Duration;

use ambit_decide::{Reason, Refusal};

use super::*;
use crate::fixtures::{self, Sample, sum};

fn page(telemetry: &Telemetry) -> Vec<Sample> {
    let registry = Registry::new();
    telemetry.register(&registry);
    fixtures::samples(&registry.render(None).1)
}

fn connection<'a>(ends: &'a Ends, refusal: Option<&'a Refusal>) -> Connection<'a> {
    Connection {
        direction: "waypoint",
        ends,
        source: "10.0.0.1:40000".parse().unwrap(),
        forwarded: None,
        destination: "10.0.0.2:5432".parse().unwrap(),
        host: None,
        tunnel: None,
        sent: 100,
        received: 700,
        duration: Duration::from_millis(13),
        refusal,
        error: None,
    }
}

#[test]
fn bytes_of_an_open_connection_are_counted_once() {
    let telemetry = Telemetry::start(Settings::default()).unwrap();
    let ends = fixtures::ends();
    let passage = telemetry.opened(&ends, None);
    passage.towards(60);
    passage.back(500);
    let labels = [("reporter", "destination"), ("request_protocol", "tcp")];
    let total = |name: &str| sum(&page(&telemetry), name, &labels);
    assert_eq!(total("istio_tcp_connections_opened_total"), 1.0);
    assert_eq!(total("istio_tcp_connections_closed_total"), 0.0);
    assert_eq!(total("istio_tcp_received_bytes_total"), 60.0);
    assert_eq!(total("istio_tcp_sent_bytes_total"), 500.0);
    passage.towards(40);
    passage.back(200);
    assert_eq!(passage.carried(), (100, 700));
    telemetry.closed(passage, &connection(&ends, None), Line::Usual);
    assert_eq!(total("istio_tcp_connections_closed_total"), 1.0);
    assert_eq!(total("istio_tcp_received_bytes_total"), 100.0);
    assert_eq!(total("istio_tcp_sent_bytes_total"), 700.0);
}

#[test]
fn refusals_are_counted_by_reason() {
    let telemetry = Telemetry::start(Settings::default()).unwrap();
    let ends = fixtures::ends();
    let refusal = Refusal::new(Reason::NoEndpoint, "none is ready");
    telemetry.refused(&connection(&ends, Some(&refusal)), None, Line::Usual);
    let exchange = Exchange {
        reason: Some(Reason::NoEndpoint.word()),
        ..fixtures::exchange(&ends)
    };
    telemetry.record(&exchange, Line::None);
    let samples = page(&telemetry);
    let labels = [("reporter", "destination"), ("reason", "no_endpoint")];
    assert_eq!(sum(&samples, "ambit_refusals_total", &labels), 2.0);
    let failed = "istio_tcp_connections_failed_total";
    assert_eq!(sum(&samples, failed, &[("response_flags", "-")]), 1.0);
    assert_eq!(sum(&samples, "istio_requests_total", &[]), 1.0);
}

#[test]
fn what_goes_wrong_with_tunnels_is_counted() {
    let telemetry = Telemetry::start(Settings::default()).unwrap();
    telemetry.handshakes("server", "ok", 1);
    telemetry.handshakes("client", "ok", 4);
    telemetry.handshakes("server", "no_client_certificate", 1);
    telemetry.tunnel_error("rapid_reset");
    telemetry.accept_paused();
    telemetry.config_rejected();
    let samples = page(&telemetry);
    let handshakes = |labels: &[(&str, &str)]| sum(&samples, "ambit_tls_handshakes_total", labels);
    assert_eq!(handshakes(&[("result", "ok")]), 5.0);
    assert_eq!(handshakes(&[("side", "server")]), 2.0);
    let kind = [("kind", "rapid_reset")];
    assert_eq!(sum(&samples, "ambit_tunnel_errors_total", &kind), 1.0);
    for name in ["ambit_accept_pauses_total", "ambit_config_rejects_total"] {
        assert_eq!(sum(&samples, name, &[]), 1.0, "{name}");
    }
}

#[test]
fn the_reporter_is_what_the_user_chose_on_every_series() {
    let telemetry = Telemetry::start(Settings {
        reporter: Reporter::Waypoint,
        ..Settings::default()
    })
    .unwrap();
    let ends = fixtures::ends();
    drop(telemetry.opened(&ends, None));
    telemetry.record(&fixtures::exchange(&ends), Line::Usual);
    let samples = page(&telemetry);
    assert!(samples.len() > 60, "histograms and connections");
    for sample in samples {
        assert_eq!(sample.labels["reporter"], "waypoint", "{}", sample.name);
    }
}

#[test]
fn a_sweep_takes_connections_and_requests_of_the_gone() {
    let telemetry = Telemetry::start(Settings::default()).unwrap();
    let ends = fixtures::ends();
    drop(telemetry.opened(&ends, None));
    telemetry.record(&fixtures::exchange(&ends), Line::Usual);
    telemetry.sweep(&Mesh::default());
    assert!(page(&telemetry).is_empty());
}

/// What telling of a request costs, on one thread and on two at once. Numbers are for a person:
/// `cargo test -p ambit-telemetry cost -- --ignored --nocapture >/dev/null`
#[test]
#[ignore = "measures"]
fn cost() {
    const REQUESTS: u32 = 200_000;
    for threads in [1, 2] {
        let telemetry = Telemetry::start(Settings::default()).unwrap();
        let ends = fixtures::ends();
        for (what, with_line) in [("counted", false), ("counted and written down", true)] {
            let began = ambit_kit::clock::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..REQUESTS {
                            let exchange = fixtures::exchange(&ends);
                            match with_line {
                                true => telemetry.record(&exchange, Line::Usual),
                                false => telemetry.requests.record(&exchange),
                            }
                        }
                    });
                }
            });
            let each = began.elapsed().as_nanos() / u128::from(REQUESTS);
            let figure = format!("{threads} threads: {what} in {each} ns\n");
            io::stderr().write_all(figure.as_bytes()).unwrap();
        }
        let total = sum(&page(&telemetry), "istio_requests_total", &[]);
        assert_eq!(total, f64::from(2 * threads * REQUESTS));
    }
}
