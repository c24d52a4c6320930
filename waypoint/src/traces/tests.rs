mod grpc;

use std::cell::RefCell;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use ambit_model::TraceTag;
use ambit_telemetry::{Ends, Onward};
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traces(address: &str, sampling: u32, keep_errors: bool) -> Traces {
    let traces = Traces::new(("shop", "waypoint"), "waypoint-0", Tasks::new());
    traces.set(&MeshTelemetry {
        tracing: Some(to(address, sampling, keep_errors)),
        ..MeshTelemetry::default()
    });
    traces
}

fn to(address: &str, sampling: u32, keep_errors: bool) -> MeshTracing {
    MeshTracing {
        address: address.into(),
        protocol: TraceProtocol::Http("".into()),
        sampling,
        keep_errors,
    }
}

#[tokio::test]
async fn rules_name_another_collector_and_add_tags() {
    let (address, requests) = collector().await;
    let traces = Traces::new(("shop", "waypoint"), "waypoint-0", Tasks::new());
    let mesh = MeshTelemetry {
        providers: [("other".into(), to(&address, 100_000_000, false))].into(),
        ..MeshTelemetry::default()
    };
    traces.set(&mesh);
    let named = |name: &str| Tracing {
        provider: Some(name.into()),
        tags: [("tenant".into(), TraceTag::Header("x-tenant".into(), None))].into(),
        ..Tracing::default()
    };
    let headers = headers("x-tenant", "blue");
    assert!(
        traces
            .begin(&headers, &Tracing::default(), clock::now())
            .is_none()
    );
    assert!(
        traces
            .begin(&headers, &named("nobody"), clock::now())
            .is_none()
    );
    let trace = traces
        .begin(&headers, &named("other"), clock::now())
        .unwrap();
    let ends = Ends::default();
    let exchange = exchange(&ends, 200);
    let told = trace.attributes(&exchange);
    assert!(told.contains(&("tenant", "blue".into())), "{told:?}");
    trace.end(&exchange);
    // What is wanted as before is the same queue.
    let tracer = |traces: &Traces| Arc::clone(&traces.now.load().named["other"]);
    let before = tracer(&traces);
    traces.set(&MeshTelemetry {
        tracing: Some(to(&address, 100_000_000, false)),
        ..mesh
    });
    assert!(Arc::ptr_eq(&before, &tracer(&traces)));
    let usual = traces.now.load().usual.clone().unwrap();
    assert!(Arc::ptr_eq(&before, &usual));
    await_sent(&traces, 1).await;
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

fn exchange(ends: &Ends, status: u16) -> Exchange<'_> {
    Exchange {
        ends,
        protocol: ambit_telemetry::Protocol::Http,
        version: "HTTP/1.1",
        method: b"GET",
        path: b"/a?token=secret",
        host: b"server",
        request_id: b"5f3c",
        user_agent: b"",
        status: Some(status),
        grpc_status: None,
        flags: "-",
        reason: None,
        policy: None,
        error: None,
        route: None,
        source: "10.244.1.10:4000".parse().unwrap(),
        destination: "10.96.0.10:80".parse().unwrap(),
        upstream: None,
        onward: Onward::Nothing,
        sent: 0,
        received: 0,
        request_messages: 0,
        response_messages: 0,
        duration: Duration::ZERO,
        tries: 1,
        trace: None,
        shaped: None,
    }
}

fn headers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
}

/// A collector that takes everything, and how many requests it had.
async fn collector() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 64 << 10];
            while let Ok(read @ 1..) = tcp.read(&mut bytes).await {
                if bytes[..read].starts_with(b"POST /v1/traces HTTP/1.1\r\n") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                tcp.write_all(answer).await.unwrap();
            }
        }
    });
    (address, count)
}

/// Waits until so many were sent, and none was lost.
async fn await_sent(traces: &Traces, sent: u64) {
    let waiting = async {
        while traces.counts()[0].1 < sent {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.unwrap_or_else(|_| panic!("{:?}", traces.counts()));
    assert_eq!(
        traces.counts(),
        [("sent", sent), ("dropped", 0), ("failed", 0)]
    );
}

#[tokio::test]
async fn the_caller_s_trace_goes_on_with_a_span_for_each_try() {
    let (address, requests) = collector().await;
    let traces = traces(&address, 0, false);
    let mut trace = traces
        .begin(
            &headers("traceparent", PARENT),
            &Tracing::default(),
            clock::now(),
        )
        .unwrap();
    assert_eq!(trace.texts().0, "4bf92f3577b34da6a3ce929d0e0e4736");
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut sent = headers("traceparent", PARENT);
        trace
            .try_begins("10.0.0.1:8080".parse().unwrap())
            .write(&mut sent);
        trace.try_ended(Some(503), None);
        told.push(sent["traceparent"].to_str().unwrap().to_owned());
    }
    assert!(told[0].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert!(told[0].ends_with("-01"));
    assert_ne!(told[0], told[1]);
    assert!(!told[0].contains("00f067aa0ba902b7") && !told[0].contains(trace.texts().1));
    let ends = Ends::default();
    trace.end(&exchange(&ends, 200));
    // Two tries, and the request.
    await_sent(&traces, 3).await;
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn spans_have_their_parents_and_times() {
    let traces = traces("127.0.0.1:1", 0, false);
    let incoming = headers("traceparent", PARENT);
    let begun = traces.begin(&incoming, &Tracing::default(), clock::now());
    let mut trace = begun.unwrap();
    let begin_try = |trace: &mut Trace| {
        let mut sent = HeaderMap::new();
        let address = "10.0.0.1:8080".parse().unwrap();
        trace.try_begins(address).write(&mut sent);
        let told = sent["traceparent"].to_str().unwrap();
        told.split('-').nth(2).unwrap().to_owned()
    };
    let first = begin_try(&mut trace);
    trace.try_ended(Some(503), None);
    let last = begin_try(&mut trace);
    // Its story takes four seconds: the first try begins after one and ends after two, the last begins
    // after three and goes on.
    let (seconds, now) = (Duration::from_secs, clock::now());
    trace.began = now - seconds(4);
    trace.tries[0].began = now - seconds(3);
    trace.tries[0].ended = Some(now - seconds(2));
    trace.tries[1].began = now - seconds(1);
    let told = RefCell::new(Vec::new());
    let wall = clock::wall();
    let ago = |time: SystemTime| match wall.duration_since(time) {
        Ok(ago) => ago.as_secs_f64().round(),
        Err(later) => later.duration().as_secs_f64().round(),
    };
    trace.tell(&exchange(&Ends::default(), 200), false, |span| {
        let ids = [Some(span.id), span.parent].map(|id| id.unwrap().to_string());
        let error = span.error.map(str::to_owned);
        told.borrow_mut()
            .push((ids, [ago(span.began), ago(span.ended)], error));
    });
    let own = trace.texts().1.to_owned();
    let error = |text: &str| Some(text.to_owned());
    assert_eq!(
        told.into_inner(),
        [
            ([first, own.clone()], [3.0, 2.0], error("it answered 503")),
            ([last, own.clone()], [1.0, 0.0], error("it was given up")),
            ([own, "00f067aa0ba902b7".to_owned()], [4.0, 0.0], None),
        ]
    );
}

#[tokio::test]
async fn what_is_not_recorded_is_told_so_and_errors_are_kept_if_asked() {
    let (address, _) = collector().await;
    let ends = Ends::default();
    for (keep_errors, status, sent) in [(false, 500, 0), (true, 200, 0), (true, 500, 1)] {
        let traces = traces(&address, 0, keep_errors);
        let mut trace = traces
            .begin(&HeaderMap::new(), &Tracing::default(), clock::now())
            .unwrap();
        let mut told = HeaderMap::new();
        trace
            .try_begins("10.0.0.1:8080".parse().unwrap())
            .write(&mut told);
        assert!(told["traceparent"].to_str().unwrap().ends_with("-00"));
        trace.tries.clear();
        trace.end(&exchange(&ends, status));
        let sampled = traces
            .begin(&headers("b3", "1"), &Tracing::default(), clock::now())
            .unwrap();
        sampled.end(&exchange(&ends, 200));
        await_sent(&traces, sent + 1).await;
    }
}

#[tokio::test]
async fn errors_of_grpc_are_errors() {
    let (address, _) = collector().await;
    let traces = traces(&address, 0, true);
    let ends = Ends::default();
    // 5 is "not found", 13 "internal": of the client's making and of the server's.
    for (grpc_status, sent) in [(None, 0), (Some(0), 0), (Some(5), 0), (Some(13), 1)] {
        let begun = traces.begin(&HeaderMap::new(), &Tracing::default(), clock::now());
        begun.unwrap().end(&Exchange {
            grpc_status,
            ..exchange(&ends, 200)
        });
        await_sent(&traces, sent).await;
    }
}

#[tokio::test]
async fn a_share_is_sampled() {
    let traces = traces("127.0.0.1:1", 10_000_000, false);
    let sampled = (0..10_000).filter(|_| {
        traces
            .begin(&HeaderMap::new(), &Tracing::default(), clock::now())
            .unwrap()
            .is_sampled
    });
    let count = sampled.count();
    assert!((800..1200).contains(&count), "{count}");
}

#[tokio::test]
async fn nothing_is_traced_without_a_collector() {
    let traces = traces("127.0.0.1:1", 100_000_000, false);
    traces.set(&MeshTelemetry::default());
    assert!(
        traces
            .begin(
                &headers("traceparent", PARENT),
                &Tracing::default(),
                clock::now()
            )
            .is_none()
    );
}

#[tokio::test]
async fn rules_change_the_share_and_what_is_told() {
    let (address, _) = collector().await;
    let traces = traces(&address, 0, false);
    let rules = |sampling, unreported| Tracing {
        sampling: Some(sampling),
        unreported,
        ..Tracing::default()
    };
    let ends = Ends::default();
    let all = rules(100_000_000, false);
    let trace = traces.begin(&HeaderMap::new(), &all, clock::now()).unwrap();
    assert!(trace.is_sampled);
    trace.end(&exchange(&ends, 200));
    let silent = rules(100_000_000, true);
    let trace = traces
        .begin(&HeaderMap::new(), &silent, clock::now())
        .unwrap();
    // Others are told so all the same.
    assert!(trace.is_sampled);
    trace.end(&exchange(&ends, 200));
    await_sent(&traces, 1).await;
}
