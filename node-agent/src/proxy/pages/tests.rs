use ambit_decide::EgressMode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::proxy::access_log::AccessLog;
use crate::proxy::identities::Identities;
use crate::proxy::ledger::Ledger;
use crate::proxy::probes::Probes;

fn shown() -> Shown {
    let (wanted, _) = mpsc::channel(1);
    let ledger = Ledger::default();
    let path = DataPath::new(
        Identities::new(wanted),
        Probes::new().0,
        ambit_tunnel::Settings::default(),
        EgressMode::AllowAny,
        "cluster.local".into(),
        (ledger.clone(), AccessLog::start(ledger).unwrap()),
    );
    Shown {
        path: Arc::new(path),
        pods: Arc::default(),
        feed: Arc::default(),
        ready: watch::channel(true).1,
        generation: 1,
    }
}

/// The first line and the rest of the answer to a request.
async fn answer(to: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request =
        format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn whoever_runs_on_the_node_may_look_but_not_change() {
    let logs = ambit_kit::logs::init(false, "error").unwrap();
    let registry = Arc::new(registry(&shown()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let pages = admin(&shown(), registry, logs);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(ambit_kit::pages::serve(listener, pages, stop.clone()));
    let refused = answer(to, "POST /logging?level=debug").await;
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
    let level = answer(to, "GET /logging").await;
    assert!(level.ends_with("\r\n\r\nerror\n"), "{level}");
    let contents = answer(to, "GET /").await;
    assert!(!contents.contains("POST"), "{contents}");
    stop.cancel();
    serving.await.unwrap();
}
