//! OTLP over gRPC, to a collector that is a server of HTTP/2.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;

use super::*;

/// What a collector was sent: what it asks for, and the body.
type Heard = Arc<Mutex<Vec<(String, Bytes)>>>;

/// A collector that answers each request with the next of these statuses of gRPC, the last one for good.
async fn collector(statuses: &'static [&'static str]) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let hears = Arc::clone(&hears);
            let service = service_fn(move |request: Request<Incoming>| {
                let hears = Arc::clone(&hears);
                async move {
                    let (head, body) = request.into_parts();
                    assert_eq!(head.version, Version::HTTP_2);
                    assert_eq!(head.headers["content-type"], "application/grpc");
                    assert_eq!(head.headers["te"], "trailers");
                    let body = body.collect().await.unwrap().to_bytes();
                    let before = {
                        let mut heard = hears.lock();
                        heard.push((head.uri.path().to_owned(), body));
                        heard.len() - 1
                    };
                    let status = statuses.get(before).or_else(|| statuses.last()).unwrap();
                    let answer = Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", *status)
                        .body(Full::new(Bytes::new()));
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            tokio::spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ended = builder.serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    });
    (address, heard)
}

fn traces(address: &str) -> Traces {
    let traces = Traces::new(("shop", "waypoint"), "waypoint-0", Tasks::new());
    traces.set(&MeshTelemetry {
        tracing: Some(MeshTracing {
            protocol: TraceProtocol::Grpc,
            ..to(address, 100_000_000, false)
        }),
        ..MeshTelemetry::default()
    });
    traces
}

fn request(traces: &Traces) {
    let trace = traces.begin(&HeaderMap::new(), &Tracing::default(), clock::now());
    trace.unwrap().end(&exchange(&Ends::default(), 200));
}

#[tokio::test]
async fn spans_go_in_one_message_and_again_where_the_collector_is_away() {
    let (address, heard) = collector(&["14", "0"]).await;
    let traces = traces(&address);
    request(&traces);
    await_sent(&traces, 1).await;
    let heard = heard.lock().clone();
    assert_eq!(heard.len(), 2, "once more after UNAVAILABLE");
    let (path, body) = &heard[1];
    assert_eq!(
        path,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    );
    let length = u32::try_from(body.len() - 5).unwrap().to_be_bytes();
    assert_eq!(body[..5], [&[0][..], &length].concat());
    assert_eq!(heard[0].1, *body);
}

#[tokio::test]
async fn what_a_collector_refuses_is_not_sent_again() {
    let (address, heard) = collector(&["3"]).await;
    let traces = traces(&address);
    request(&traces);
    let refused = async {
        while traces.counts()[2].1 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .unwrap();
    assert_eq!(
        traces.counts(),
        [("sent", 0), ("dropped", 0), ("failed", 1)]
    );
    assert_eq!(heard.lock().len(), 1);
}
