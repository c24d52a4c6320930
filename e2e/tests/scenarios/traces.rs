//! Traces: what a real waypoint tells a collector of ours by OTLP over HTTP and gRPC, and endpoints in
//! headers.

pub(crate) mod collector;
mod grpc;
mod hops;
mod otlp;

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ambit_e2e::lab::Pod;
use ambit_e2e::mesh::{Options, sum_of};
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{NAMESPACE, SPREAD, WAYPOINT, World};
use tempfile::TempDir;

use self::otlp::{CLIENT, SERVER, Span, spans};
use crate::fronted::Fronted;
use crate::support::SOON;

/// The mesh's settings with this collector and share.
fn settings(at: Ipv4Addr, sampling: f64) -> String {
    format!(
        "defaultProviders: {{tracing: [ours]}}\n\
         extensionProviders:\n  - name: ours\n    \
         opentelemetry: {{service: {at}, port: 4318, http: {{}}}}\n\
         defaultConfig: {{tracing: {{sampling: {sampling}}}}}\n"
    )
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A world whose waypoint tells a collector of requests.
struct Traced {
    fronted: Fronted,
    collector: Scripted,
    file: PathBuf,
    _folder: TempDir,
}

impl Traced {
    /// With this share of traces, of a hundred.
    fn start(sampling: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mesh.yaml");
        fs::write(&file, "").unwrap();
        let options = Options {
            control_plane: vec!["--mesh-config".to_owned(), file.display().to_string()],
            waypoints: vec!["waypoint".to_owned()],
            bound: vec!["server".to_owned()],
            ..Options::default()
        };
        let pods = [
            ("client", 1),
            ("server", 2),
            ("waypoint", 2),
            ("collector", 1),
        ];
        let world = World::fronted(&pods, &options, &["collector"]).unwrap();
        let waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
        let fronted = Fronted { waypoint, world };
        let collector = Scripted::start(&fronted.pod("collector"), 4318, |_, _| {
            Deed::answer(200, "")
        });
        let traced = Self {
            collector: collector.unwrap(),
            file,
            _folder: folder,
            fronted,
        };
        traced.settle(sampling);
        traced
    }

    /// Writes settings with this share.
    fn settle(&self, sampling: f64) {
        let at = self.fronted.pod("collector").v4;
        fs::write(&self.file, settings(at, sampling)).unwrap();
    }

    /// Spans that the collector was told, of this path.
    fn told(&self, path: &str) -> Vec<Span> {
        let heard = self.collector.heard();
        let all = heard.iter().flat_map(|heard| spans(&heard.body));
        let all: Vec<Span> = all.collect();
        let of_path = |span: &&Span| span.kind == SERVER && span.attribute("http.target") == path;
        let ids: BTreeSet<String> = all
            .iter()
            .filter(of_path)
            .map(|span| span.id.clone())
            .collect();
        let is_of = |span: &Span| ids.contains(&span.id) || ids.contains(&span.parent);
        all.into_iter().filter(is_of).collect()
    }

    fn count(&self, result: &str) -> f64 {
        let page = self.fronted.waypoint.metrics().unwrap();
        sum_of(
            &page,
            "ambit_spans_total",
            &[&format!("result=\"{result}\"")],
        )
    }

    fn server(&self) -> Arc<Pod> {
        self.fronted.pod("server")
    }

    /// Waits until the endpoint is told of a trace.
    fn await_traced(&self, server: &Scripted) {
        let mut number = 0;
        let traced = wait_until("requests to be traced", SPREAD, || {
            number += 1;
            let path = format!("/first/{number}");
            assert_eq!(self.fronted.get(&path, "").status, 200);
            server.heard_at(&path)[0].header("traceparent").is_some()
        });
        traced.unwrap();
    }
}

#[test]
fn tries_are_spans_of_the_caller_s_trace_and_endpoints_go_on_from_them() {
    let traced = Traced::start(0.0);
    let answer = |path: &str, before: usize| match path.starts_with("/retry") && before == 0 {
        true => Deed::answer(503, "again"),
        false => Deed::answer(200, "hello"),
    };
    let server = traced.server();
    let server = Scripted::start(&server, 8080, move |heard, before| {
        answer(heard.path(), before)
    });
    let server = server.unwrap();
    let routes = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
        metadata: {name: server, namespace: shop}\nspec:\n  hosts: [server]\n  http:\n  \
        - {name: all, retries: {attempts: 2, retryOn: 5xx}, route: [{destination: {host: server}}]}\n";
    traced
        .fronted
        .route(routes, "VirtualService/shop/server/all");
    traced.await_traced(&server);
    for (path, headers) in [
        (
            "/retry/w3c",
            format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n"),
        ),
        ("/retry/b3", format!("b3: {TRACE}-{CALLER}-1\r\n")),
        (
            "/retry/many",
            format!("X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {CALLER}\r\nX-B3-Sampled: 1\r\n"),
        ),
    ] {
        assert_eq!(traced.fronted.get(path, &headers).status, 200);
        let three = wait_for("three spans", SOON, || {
            let told = traced.told(path);
            (told.len() == 3).then_some(told)
        });
        let three = three.unwrap_or_else(|error| panic!("{error:#}: {:#?}", traced.told(path)));
        let (tries, whole): (Vec<_>, Vec<_>) = three.iter().partition(|span| span.kind == CLIENT);
        let [whole] = whole[..] else {
            panic!("{whole:#?}");
        };
        assert_eq!((&*whole.trace, &*whole.parent), (TRACE, CALLER), "{path}");
        assert_eq!(whole.attribute("http.status_code"), "200");
        let statuses: Vec<String> = tries
            .iter()
            .map(|span| span.attribute("http.status_code"))
            .collect();
        assert_eq!(statuses, ["503", "200"]);
        // Each try told its endpoint of its own span.
        let heard = server.heard_at(path);
        for (heard, attempt) in heard.iter().zip(&tries) {
            assert_eq!((&*attempt.trace, &*attempt.parent), (TRACE, &*whole.id));
            let parent = format!("00-{TRACE}-{}-01", attempt.id);
            assert_eq!(heard.header("traceparent"), Some(parent));
            match path {
                "/retry/b3" => {
                    let b3 = heard.header("b3").unwrap();
                    assert!(b3.starts_with(&format!("{TRACE}-{}-1", attempt.id)), "{b3}");
                }
                "/retry/many" => assert_eq!(heard.header("x-b3-spanid"), Some(attempt.id.clone())),
                _ => assert_eq!(heard.header("b3"), None),
            }
        }
        let line = traced.fronted.logged(path);
        assert_eq!(line.field("trace_id"), TRACE);
        assert_eq!(line.field("span_id"), whole.id);
    }
    // What the caller does not record is not.
    let headers = format!("traceparent: 00-{TRACE}-{CALLER}-00\r\n");
    assert_eq!(traced.fronted.get("/not", &headers).status, 200);
    assert!(
        server.heard_at("/not")[0]
            .header("traceparent")
            .unwrap()
            .ends_with("-00")
    );
}

#[test]
fn a_tenth_is_recorded_and_a_collector_that_is_away_harms_nobody() {
    let traced = Traced::start(10.0);
    let server = Scripted::saying(&traced.server(), 8080, "hello").unwrap();
    traced.await_traced(&server);
    let load = |path: &str| {
        let url = format!("http://server{path}");
        let args = ["--h1", "-n3000", "-c8", "-t1", &url];
        let report = traced.fronted.run("h2load", &args);
        assert!(report.contains("3000 2xx"), "{report}");
    };
    load("/share");
    let count = || {
        traced
            .told("/share")
            .iter()
            .filter(|span| span.kind == SERVER)
            .count()
    };
    // Otherwise once in ten million times.
    let is_near = || (211..390).contains(&count());
    wait_until("a tenth of the requests", SOON, is_near)
        .unwrap_or_else(|error| panic!("{error:#}: {}", count()));
    for span in traced
        .told("/share")
        .iter()
        .filter(|span| span.kind == SERVER)
    {
        assert_eq!(span.parent, "");
    }
    assert!(traced.count("sent") > 0.0);
    // Nobody is there; then somebody who says garbage, and then one who says nothing at all.
    let at = traced.fronted.pod("collector");
    let text = settings(at.v4, 100.0).replace("4318", "4319");
    fs::write(&traced.file, text).unwrap();
    let rises = |result: &str, path: &str| {
        let before = traced.count(result);
        let risen = wait_until(&format!("{result} spans"), SPREAD * 2, || {
            load(path);
            traced.count(result) > before
        });
        risen.unwrap();
    };
    rises("failed", "/absent");
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = Arc::clone(&is_silent);
    let garbage = Scripted::start(&at, 4319, move |_, _| {
        match silent.load(Ordering::Relaxed) {
            true => Deed::new("", Then::Hang),
            false => Deed::new("what is this?\r\n\r\n", Then::Close),
        }
    });
    let garbage = garbage.unwrap();
    rises("failed", "/garbage");
    assert!(garbage.count() > 0);
    is_silent.store(true, Ordering::Relaxed);
    rises("dropped", "/silent");
}

/// A `Telemetry` of the waypoint's namespace, with this about traces.
fn telemetry(tracing: &str) -> String {
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n\
         metadata: {{name: traces, namespace: {NAMESPACE}}}\nspec: {{tracing: [{tracing}]}}\n"
    )
}

#[test]
fn telemetries_choose_the_share_the_tags_and_the_collector_and_errors_are_kept() {
    let traced = Traced::start(0.0);
    let server = Scripted::start(&traced.server(), 8080, |heard, _| {
        match heard.path().starts_with("/bad") {
            true => Deed::answer(500, "bad"),
            false => Deed::answer(200, "ok"),
        }
    });
    let server = server.unwrap();
    let at = traced.fronted.pod("collector");
    let other = Scripted::start(&at, 4319, |_, _| Deed::answer(200, "")).unwrap();
    let text = settings(at.v4, 0.0).replace("sampling: 0", "sampling: 0, keepErrors: true");
    let second = format!(
        "  - name: other\n    opentelemetry: {{service: {}, port: 4319, http: {{}}}}\ndefaultConfig",
        at.v4
    );
    fs::write(&traced.file, text.replace("defaultConfig", &second)).unwrap();
    let mut number = 0;
    // Asks until a collector is told of a path, and says of which.
    let mut await_told = |collector: &Scripted, kind: &str| {
        let status = if kind == "bad" { 500 } else { 200 };
        wait_for("spans of a request", SPREAD, || {
            number += 1;
            let path = format!("/{kind}/{number}");
            assert_eq!(traced.fronted.get(&path, "").status, status);
            let span = || server_span(collector, &path);
            wait_for("a span", SOON / 10, span).ok()
        })
        .unwrap_or_else(|error| panic!("{kind}: {error:#}"))
    };
    // Of none in a hundred those that failed are kept, and no other.
    let kept = await_told(&traced.collector, "bad");
    assert_eq!(kept.attribute("http.status_code"), "500");
    assert!(traced.collector.heard().iter().all(|heard| {
        let all = spans(&heard.body);
        all.iter()
            .all(|span| !span.attribute("http.target").starts_with("/good"))
    }));

    let apply = |tracing: &str| {
        let configuration = &traced.fronted.world.mesh.configuration;
        configuration
            .apply("telemetry", &telemetry(tracing))
            .unwrap();
    };
    apply(
        "{randomSamplingPercentage: 100, match: {mode: SERVER}, \
         customTags: {team: {literal: {value: shop}}, \
         from: {header: {name: x-from, defaultValue: nobody}}, \
         pod: {environment: {name: POD_NAME, defaultValue: unnamed}}, \
         account: {environment: {name: SERVICE_ACCOUNT, defaultValue: unknown}}}}",
    );
    let span = await_told(&traced.collector, "good");
    assert_eq!(span.attribute("team"), "shop");
    assert_eq!(span.attribute("from"), "nobody");
    assert_eq!(span.attribute("pod"), WAYPOINT);
    assert_eq!(span.attribute("account"), "unknown");
    assert_eq!(other.count(), 0);

    apply("{randomSamplingPercentage: 100, providers: [{name: other}]}");
    await_told(&other, "good");

    // Endpoints are still told of traces when no collector is.
    apply("{randomSamplingPercentage: 100, disableSpanReporting: true}");
    let mut number = 0;
    let is_silent = || {
        number += 1;
        let path = format!("/silent/{number}");
        assert_eq!(traced.fronted.get(&path, "").status, 200);
        let header = server.heard_at(&path)[0].header("traceparent").is_some();
        let told = || {
            [&traced.collector, &other]
                .iter()
                .find_map(|at| server_span(at, &path))
        };
        wait_for("a span", SOON / 10, told).is_err() && header
    };
    wait_until("no more spans", SPREAD, is_silent).unwrap();

    // What is for clients holds for nothing: what failed is told again.
    apply("{disableSpanReporting: true, match: {mode: CLIENT}}");
    let mut number = 0;
    let told = || {
        number += 1;
        let path = format!("/bad/again/{number}");
        assert_eq!(traced.fronted.get(&path, "").status, 500);
        wait_for("a span", SOON / 10, || {
            server_span(&traced.collector, &path)
        })
        .is_ok()
    };
    wait_until("spans again", SPREAD, told).unwrap();
}

/// The span of a request of this path that a collector was told of.
fn server_span(collector: &Scripted, path: &str) -> Option<Span> {
    let heard = collector.heard();
    let mut all = heard.iter().flat_map(|heard| spans(&heard.body));
    all.find(|span| span.kind == SERVER && span.attribute("http.target") == path)
}
