//! What only HTTP/2 has: streams that a server refuses, connections that it asks to leave, and
//! WebSocket in a stream.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use ambit_e2e::clients::connect;
use ambit_e2e::servers::{self, Server};
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, client, server};
use http::{Method, Request, Response, StatusCode};

use crate::fronted::Fronted;

/// Streams after which a connection is to be left.
const STREAMS: usize = 20;
/// How often a stream of `/refused` is refused.
const REFUSALS: usize = 2;

/// Refuses each path below `/refused` at first, and answers all else.
async fn serve(tcp: TcpStream, asked: &Mutex<HashMap<String, usize>>) -> Result<(), h2::Error> {
    tcp.set_nonblocking(true)
        .map_err(|_error| Reason::INTERNAL_ERROR)?;
    let tcp = tokio::net::TcpStream::from_std(tcp).map_err(|_error| Reason::INTERNAL_ERROR)?;
    let mut connection = server::handshake(tcp).await?;
    let mut streams = 0;
    while let Some(stream) = connection.accept().await {
        let (request, mut respond) = stream?;
        let path = request.uri().path();
        let before = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let count = asked.entry(path.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        if path.starts_with("/refused") && before < REFUSALS {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        streams += 1;
        if streams == STREAMS {
            connection.graceful_shutdown();
        }
        let mut body = respond.send_response(Response::new(()), false)?;
        body.send_data(Bytes::from_static(b"well"), true)?;
    }
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn refused_streams_and_connections_to_be_left_cost_no_request() {
    let fronted = Fronted::start(&[]);
    let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&asked);
    let serving = move |tcp: TcpStream, _: SocketAddr| -> io::Result<()> {
        runtime()
            .block_on(serve(tcp, &counted))
            .map_err(io::Error::other)
    };
    let _server = Server::start(&fronted.pod("server"), 8080, serving).unwrap();

    // No route says anything about retries: what was not taken may be sent again all the same.
    let file = fronted.world.dir("body");
    std::fs::write(&file, "body").unwrap();
    let file = file.display().to_string();
    let urls: Vec<String> = (1..=30)
        .map(|number| format!("http://server/refused/{number}"))
        .collect();
    let mut args = vec!["-n30", "-c1", "-m2", "-d", &file];
    args.extend(urls.iter().map(String::as_str));
    let load = fronted.run("h2load", &args);
    assert!(load.contains("30 2xx"), "{load}");
    let count = |path: &str| asked.lock().unwrap().get(path).copied();
    let all = (1..=30).filter_map(|number| count(&format!("/refused/{number}")));
    assert_eq!(all.sum::<usize>(), 30 * (REFUSALS + 1));

    let load = fronted.run("h2load", &["-n3000", "-c4", "-m10", "http://server/left"]);
    assert!(load.contains("3000 2xx"), "{load}");
}

#[test]
fn a_websocket_in_a_stream_of_http_2_reaches_a_server_of_http_1() {
    let fronted = Fronted::start(&[]);
    let _server = Server::start(&fronted.pod("server"), 8080, servers::websocket).unwrap();
    let tcp = connect(fronted.pod("client").namespace(), fronted.at(80)).unwrap();
    runtime().block_on(async {
        tcp.set_nonblocking(true).unwrap();
        let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
        let (mut sender, connection) = client::handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        // The first answer comes behind the settings.
        let plain = Request::get("http://server/chat").body(()).unwrap();
        let (answer, _) = sender.send_request(plain, true).unwrap();
        drop(answer.await);
        let mut sender = sender.ready().await.unwrap();
        assert!(sender.is_extended_connect_protocol_enabled());
        let mut asked = Request::new(());
        *asked.method_mut() = Method::CONNECT;
        *asked.uri_mut() = "http://server/chat".parse().unwrap();
        asked
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let (answer, mut body) = sender.send_request(asked, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut echo = answer.into_body();
        // A text message with a mask of zeros (RFC 6455, 5.2), and what comes back without one.
        body.send_data(Bytes::from_static(b"\x81\x85\0\0\0\0hello"), false)
            .unwrap();
        let back = echo.data().await.unwrap().unwrap();
        assert_eq!(&*back, b"\x81\x05hello");
        body.send_data(Bytes::from_static(b"\x88\x80\0\0\0\0"), true)
            .unwrap();
        assert_eq!(&*echo.data().await.unwrap().unwrap(), b"\x88\x00");
    });
}
