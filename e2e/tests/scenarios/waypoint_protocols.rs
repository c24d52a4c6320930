//! HTTP in all its forms through a real waypoint: what each side says reaches the other with its
//! meaning unchanged.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use ambit_e2e::process::resident_kib;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::{programs, stream, websocket};

use crate::fronted::{Fronted, route};

const GIB: u64 = 1 << 30;
/// What a waypoint may take in memory beside what it has at rest, while a gibibyte goes by.
const ROOM_KIB: u64 = 64 * 1024;

/// Answers by path.
fn odd(heard: &ambit_e2e::scripted::Heard, _before: usize) -> Deed {
    match heard.path() {
        "/early" => Deed::new(
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate",
            Then::ServeOn,
        ),
        "/none" => Deed::new("HTTP/1.1 204 No Content\r\n\r\n", Then::ServeOn),
        "/same" => Deed::new(
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
            Then::ServeOn,
        ),
        "/endless" => Deed::new("HTTP/1.0 200 OK\r\n\r\nto the end", Then::Close),
        "/head" => Deed::new(
            "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
            Then::ServeOn,
        ),
        "/hop" => Deed::with(
            200,
            "Connection: x-private\r\nX-Private: yes\r\nKeep-Alive: timeout=5\r\nX-Kept: yes\r\n",
            "",
        ),
        "/trailers" => Deed::new(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
             5;quality=high\r\nfirst\r\n0\r\nX-Sum: 5\r\n\r\n",
            Then::ServeOn,
        ),
        _ => Deed::answer(200, &format!("{}:{}", heard.path(), heard.body.len())),
    }
}

#[test]
fn http_1_keeps_its_meaning_however_it_is_written() {
    let fronted = Fronted::start(&[]);
    let server = Scripted::start(&fronted.pod("server"), 8080, odd).unwrap();
    let mut client = fronted.connect(80);

    // Three requests in one piece are answered in their order.
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n");
    client
        .send(format!("{}{}{}", get("/1"), get("/2"), get("/3")))
        .unwrap();
    for path in ["/1:0", "/2:0", "/3:0"] {
        assert_eq!(client.answer().unwrap().body, path);
    }
    for (path, status, body) in [
        ("/early", 200, "late"),
        ("/none", 204, ""),
        ("/same", 304, ""),
        ("/endless", 200, "to the end"),
    ] {
        let answer = client.get(path, "").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{path}"
        );
    }
    // HEAD has a length and no body; the connection goes on.
    client
        .send("HEAD /head HTTP/1.1\r\nHost: server\r\n\r\n")
        .unwrap();
    let (status, head) = client.head().unwrap();
    assert_eq!(status, 200);
    assert!(
        head.to_ascii_lowercase().contains("content-length: 12345"),
        "{head}"
    );
    assert_eq!(client.get("/after", "").unwrap().body, "/after:0");

    headers(&mut client, &server);
    bodies(&mut client, &server);

    // HTTP/1.0: no Host, and the connection ends with the answer.
    let mut old = fronted.connect(80);
    old.send("GET /old HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(old.answer().unwrap().body, "/old:0");
    assert!(old.rest().unwrap().is_empty());
    let mut kept = fronted.connect(80);
    for path in ["/kept", "/kept"] {
        let request =
            format!("GET {path} HTTP/1.0\r\nHost: server\r\nConnection: keep-alive\r\n\r\n");
        kept.send(request).unwrap();
        assert_eq!(kept.answer().unwrap().body, "/kept:0");
    }
}

/// What is for one hop ends there; who called is told.
fn headers(client: &mut ambit_e2e::keepalive::Connection, server: &Scripted) {
    let answer = client.get(
        "/hop",
        "Connection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\n\
         X-Forwarded-For: 192.0.2.1\r\nX-Kept: 1\r\n",
    );
    let answer = answer.unwrap();
    assert_eq!(answer.header("x-kept").as_deref(), Some("yes"));
    for gone in ["x-private", "keep-alive"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    let heard = server.heard_at("/hop").remove(0);
    assert_eq!(heard.header("x-kept").as_deref(), Some("1"));
    for gone in ["x-mine", "keep-alive", "connection", "transfer-encoding"] {
        assert_eq!(heard.header(gone), None, "{gone}");
    }
    let by = heard.header("x-forwarded-for").unwrap_or_default();
    assert_eq!(by, "192.0.2.1,10.244.1.10");
    assert_eq!(heard.header("x-request-id").unwrap_or_default().len(), 36);
}

fn bodies(client: &mut ambit_e2e::keepalive::Connection, server: &Scripted) {
    // Chunks with extensions, and trailers.
    let request = "POST /chunks HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\
                   Trailer: x-sum\r\n\r\n5;a=b;c=\"d e\"\r\nhello\r\n6\r\n world\r\n0\r\n\
                   X-Sum: 11\r\n\r\n";
    client.send(request).unwrap();
    assert_eq!(client.answer().unwrap().body, "/chunks:11");
    let heard = server.heard_at("/chunks").remove(0);
    assert_eq!(heard.body, b"hello world");
    assert_eq!(heard.trailers.to_ascii_lowercase(), "x-sum: 11\r\n");

    let answer = client.get("/trailers", "TE: trailers\r\nConnection: te\r\n");
    assert_eq!(answer.unwrap().body, "first");
    assert_eq!(client.trailers().to_ascii_lowercase(), "x-sum: 5\r\n");

    // The body is asked for before it is sent.
    client
        .send("POST /asked HTTP/1.1\r\nHost: server\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert_eq!(client.head().unwrap().0, 100);
    client.send("body").unwrap();
    assert_eq!(client.answer().unwrap().body, "/asked:4");
}

#[test]
fn curl_and_h2load_reach_nginx_over_http_1_and_2() {
    let fronted = Fronted::start(&[]);
    let dir = fronted.world.dir("nginx");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("page"), "a page of nginx\n".repeat(64)).unwrap();
    let block = |listen: &str| {
        format!(
            "server {{ listen {listen}; listen [::]:{listen}; root {}; }}",
            dir.display()
        )
    };
    let servers = format!("{}\n{}", block("8080"), block("9000 http2"));
    let _nginx = programs::nginx(&fronted.pod("server"), &dir, &servers, 8080).unwrap();
    // The last asks for HTTP/2 by an upgrade, which is answered in HTTP/1.1.
    for args in [
        &["http://server/page"][..],
        &["-0", "http://server/page"][..],
        &["--http2-prior-knowledge", "http://server:9000/page"][..],
        &["--http2", "http://server/page", "http://server/page"][..],
    ] {
        let page = fronted.run("curl", &[&["-sS", "-m", "10", "-f"], args].concat());
        assert!(page.lines().count() >= 64, "{args:?}");
    }
    for args in [
        &["--h1", "http://server/page"][..],
        &["-m10", "http://server:9000/page"][..],
    ] {
        let load = fronted.run("h2load", &[&["-n2000", "-c8"], args].concat());
        assert!(load.contains("2000 2xx"), "{load}");
    }
}

#[test]
fn a_connection_goes_on_with_another_protocol() {
    let fronted = Fronted::start(&[]);
    let pod = fronted.pod("server");
    let _websocket = Server::start(&pod, 8080, servers::websocket).unwrap();
    let other = Scripted::start(&pod, 9000, |heard, _| match heard.path() {
        "/no" => Deed::answer(200, "no"),
        _ => Deed::new(
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: chat/2\r\n\r\nswitched",
            Then::Close,
        ),
    });
    let other = other.unwrap();
    let client = fronted.pod("client");
    let dial = |port| ambit_e2e::clients::connect(client.namespace(), fronted.at(port)).unwrap();
    let mut socket = websocket::Client::upgrade(dial(80)).unwrap();
    for length in [1, 100, 1000, 60_000] {
        let text = "ü".repeat(length / 2);
        assert_eq!(socket.ask(&text).unwrap(), text);
    }
    assert!(socket.close().unwrap());

    let mut chat = fronted.connect(9000);
    chat.send(
        "GET /chat HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: chat/1, chat/2\r\n\r\n",
    )
    .unwrap();
    let (status, head) = chat.head().unwrap();
    assert_eq!(status, 101);
    assert!(
        head.to_ascii_lowercase().contains("upgrade: chat/2"),
        "{head}"
    );
    assert_eq!(chat.rest().unwrap(), b"switched");
    let asked = other.heard_at("/chat").remove(0);
    assert_eq!(asked.header("upgrade").as_deref(), Some("chat/1, chat/2"));

    // Nobody would look at what follows.
    let mut tunnel = fronted.connect(9000);
    tunnel
        .send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n")
        .unwrap();
    assert_eq!(tunnel.head().unwrap().0, 404);
    assert!(other.heard_at("db.example:5432").is_empty());

    // Not agreed to: what comes after the answer is not taken for a request.
    let mut refused = fronted.connect(9000);
    refused
        .send(
            "GET /no HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n\
             GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n",
        )
        .unwrap();
    assert_eq!(refused.answer().unwrap().body, "no");
    assert!(refused.rest().unwrap().is_empty());
    assert!(other.heard_at("/smuggled").is_empty());
}

#[test]
fn grpc_calls_of_every_kind_go_through() {
    let fronted = Fronted::start(&[]);
    let _server = programs::grpc(&fronted.pod("server"), 8080).unwrap();
    let client = fronted.pod("client");
    let target = format!("ipv4:{}", fronted.at(80));
    assert_eq!(programs::call_grpc(&client, &target).unwrap(), "all well\n");
    let rules = "    - matches: [{method: {service: shop.Echo}}]\n      \
                 backendRefs: [{name: server, port: 80}]\n";
    let version = "gateway.networking.k8s.io/v1";
    let text = route(version, "GRPCRoute", "echo", "", rules);
    fronted.route(&text, "GRPCRoute/shop/echo/0");
    assert_eq!(programs::call_grpc(&client, &target).unwrap(), "all well\n");
}

#[test]
fn events_reach_the_client_one_by_one_as_they_are_sent() {
    let fronted = Fronted::start(&[]);
    let (seen, next) = mpsc::channel::<()>();
    let next = Arc::new(Mutex::new(next));
    let events = move |mut connection: TcpStream, _: SocketAddr| -> std::io::Result<()> {
        let mut line = String::new();
        let mut reader = BufReader::new(connection.try_clone()?);
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        connection.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        let next = next.lock().map_err(|_poisoned| std::io::ErrorKind::Other)?;
        for number in 0..20 {
            let event = format!("data: {number}\n\n");
            let length = event.len();
            connection.write_all(format!("{length:x}\r\n{event}\r\n").as_bytes())?;
            // The next one is sent when the client has seen this.
            next.recv().map_err(std::io::Error::other)?;
        }
        connection.write_all(b"0\r\n\r\n")
    };
    let _server = Server::start(&fronted.pod("server"), 8080, events).unwrap();
    let mut client = fronted.connect(80);
    client
        .send("GET /events HTTP/1.1\r\nHost: server\r\n\r\n")
        .unwrap();
    assert_eq!(client.head().unwrap().0, 200);
    for number in 0..20 {
        let event = client.chunk().unwrap().unwrap();
        assert_eq!(event, format!("data: {number}\n\n").as_bytes());
        seen.send(()).unwrap();
    }
    assert_eq!(client.chunk().unwrap(), None);
}

/// Reads a body of known length, answers with what it was.
fn upload(mut connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    use std::io::Read as _;
    let mut reader = BufReader::new(connection.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if lower.starts_with("expect:") {
            connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        line.clear();
    }
    let received = stream::digest(&mut reader.take(length))?.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        received.len()
    );
    connection.write_all(format!("{head}{received}").as_bytes())
}

#[test]
fn a_gibibyte_goes_up_and_down_in_constant_memory() {
    let fronted = Fronted::start(&[]);
    let pod = fronted.pod("server");
    let _up = Server::start(&pod, 9000, upload).unwrap();
    let dir = fronted.world.dir("nginx");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("gibibyte");
    let sent = stream::send(&mut fs::File::create(&file).unwrap(), GIB).unwrap();
    let block = format!("server {{ listen 8080; root {}; }}", dir.display());
    let _nginx = programs::nginx(&pod, &dir, &block, 8080).unwrap();

    let waypoint = fronted.waypoint.program.pid().as_raw();
    let at_rest = resident_kib(waypoint).unwrap();
    let path = file.display().to_string();
    let got = fronted.run(
        "curl",
        &["-sS", "-m", "120", "-T", &path, "http://server:9000/up"],
    );
    assert_eq!(got, sent.to_string());
    let after_up = resident_kib(waypoint).unwrap();
    let got = fronted.run(
        "sh",
        &["-c", "curl -sSf -m 120 http://server/gibibyte | sha256sum"],
    );
    assert!(got.starts_with(&sent.sha256), "{got}");
    let after_down = resident_kib(waypoint).unwrap();
    fs::remove_file(&file).unwrap();
    for after in [after_up, after_down] {
        assert!(
            after < at_rest + ROOM_KIB,
            "{at_rest} KiB became {after} KiB"
        );
    }
}
