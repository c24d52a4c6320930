//! Requests at a steady rate while a scenario changes something: on kept connections, on new ones,
//! and on HTTP/2. Clients behave as they should and no better: a connection that the server has
//! closed, or said it will close, is not used again; a request is never sent twice.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ambit_e2e::clients::connect;
use ambit_e2e::lab::Pod;
use ambit_e2e::wait::wait_until;
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::runtime::{Builder, Runtime};

/// How long clients may take for what they are waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a client uses connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// One of HTTP/1.1 for as long as it lives; every other request is a POST.
    Kept,
    /// A new one of HTTP/1.1 for each request.
    Once,
    /// One of HTTP/2 for as long as it takes requests.
    Http2,
}

/// A request that got no 200.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// How the client uses connections.
    #[expect(dead_code, reason = "shown by Debug when a scenario fails")]
    pub(crate) by: Use,
    /// When it was sent.
    pub(crate) began: Instant,
    /// How long it took to fail.
    pub(crate) took: Duration,
    /// What happened, for a person.
    #[expect(dead_code, reason = "shown by Debug when a scenario fails")]
    pub(crate) what: String,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    failed: Mutex<Vec<Failed>>,
}

/// The clients.
#[derive(Debug)]
pub(crate) struct Requests {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients of a scenario do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How, and how many clients do it so.
    pub(crate) clients: &'static [(Use, u32)],
    /// Requests per second of all together.
    pub(crate) rate: u32,
    /// What is asked for.
    pub(crate) path: &'static str,
}

impl Requests {
    /// Starts the clients in a pod.
    pub(crate) fn start(from: &Arc<Pod>, to: SocketAddr, plan: Plan) -> Self {
        let shared = Arc::<Shared>::default();
        let all = plan.clients.iter().map(|(_, count)| count).sum::<u32>();
        let every = Duration::from_secs(1) * all / plan.rate;
        let kinds = plan.clients.iter();
        let kinds = kinds.flat_map(|(by, count)| (0..*count).map(|_| *by));
        let clients = kinds.zip(0..).map(|(by, index)| {
            let (from, shared) = (Arc::clone(from), Arc::clone(&shared));
            // Spread over the interval, not all at once.
            let first = Instant::now() + every * index / all;
            thread::spawn(move || {
                let mut client = Client::new(from, to, plan.path, by);
                client.run(&shared, first, every);
            })
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// Requests that have come to an end.
    pub(crate) fn count(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits for so many more.
    pub(crate) fn go_on_for(&self, more: u64) {
        let wanted = self.count() + more;
        wait_until("more requests", PATIENCE, || self.count() >= wanted).unwrap();
    }

    /// What has failed so far.
    pub(crate) fn failed(&self) -> Vec<Failed> {
        self.shared.failed.lock().unwrap().clone()
    }

    /// Lets every client finish; how many requests there were, and what failed.
    pub(crate) fn stop(self) -> (u64, Vec<Failed>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let failed = self.shared.failed.lock().unwrap().clone();
        (self.shared.sent.load(Ordering::Relaxed), failed)
    }
}

/// One client.
struct Client {
    from: Arc<Pod>,
    to: SocketAddr,
    path: &'static str,
    by: Use,
    sent: u64,
    kept: Option<BufReader<TcpStream>>,
    runtime: Option<Runtime>,
    http2: Option<SendRequest<Bytes>>,
}

impl Client {
    fn new(from: Arc<Pod>, to: SocketAddr, path: &'static str, by: Use) -> Self {
        let runtime =
            (by == Use::Http2).then(|| Builder::new_current_thread().enable_all().build());
        Self {
            from,
            to,
            path,
            by,
            sent: 0,
            kept: None,
            runtime: runtime.transpose().unwrap(),
            http2: None,
        }
    }

    fn run(&mut self, shared: &Shared, first: Instant, every: Duration) {
        let mut next = first;
        while !shared.stop.load(Ordering::Relaxed) {
            self.rest(next);
            let began = Instant::now();
            // What a slow machine missed is not made up for at once.
            next = (next + every).max(began);
            let result = self.once();
            if !matches!(result, Ok(200)) {
                let failed = Failed {
                    by: self.by,
                    began,
                    took: began.elapsed(),
                    what: format!("{result:?}"),
                };
                (self.kept, self.http2) = (None, None);
                shared.failed.lock().unwrap().push(failed);
            }
            shared.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Until the next request; a connection of HTTP/2 goes on meanwhile.
    fn rest(&self, until: Instant) {
        if let Some(runtime) = &self.runtime {
            return runtime.block_on(async { tokio::time::sleep_until(until.into()).await });
        }
        while let Some(pause) = until.checked_duration_since(Instant::now()) {
            thread::park_timeout(pause.max(Duration::from_micros(1)));
        }
    }

    fn once(&mut self) -> anyhow::Result<u16> {
        self.sent += 1;
        if self.by == Use::Http2 {
            return self.over_http2();
        }
        let kept = self.kept.take().filter(is_usable);
        let mut connection = match kept {
            Some(connection) => connection,
            None => BufReader::new(connect(self.from.namespace(), self.to)?),
        };
        let (close, body) = match self.by {
            Use::Once => ("Connection: close\r\n", None),
            _ => ("", self.sent.is_multiple_of(2).then_some("a body\r\n")),
        };
        let (method, length) = match body {
            Some(body) => ("POST", format!("Content-Length: {}\r\n", body.len())),
            None => ("GET", String::new()),
        };
        let (path, body) = (self.path, body.unwrap_or_default());
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: shop\r\n{length}{close}\r\n{body}");
        connection.get_mut().write_all(request.as_bytes())?;
        let (status, goes_on) = read_answer(&mut connection)?;
        self.kept = goes_on.then_some(connection);
        Ok(status)
    }

    /// What GOAWAY says was not looked at is asked again on a new connection, as RFC 9113 (6.8) has
    /// it: a request that meets GOAWAY before it is sent is such a one.
    fn over_http2(&mut self) -> anyhow::Result<u16> {
        let untouched = |error: &h2::Error| {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        };
        match self.on_http2()? {
            Err(error) if untouched(&error) => Ok(self.on_http2()??),
            result => Ok(result?),
        }
    }

    fn on_http2(&mut self) -> anyhow::Result<Result<u16, h2::Error>> {
        let runtime = self.runtime.as_ref().unwrap();
        let kept = self.http2.take();
        let ready = kept.and_then(|client| runtime.block_on(client.ready()).ok());
        let mut client = match ready {
            Some(client) => client,
            None => {
                let tcp = connect(self.from.namespace(), self.to)?;
                tcp.set_nonblocking(true)?;
                runtime.block_on(async {
                    let tcp = tokio::net::TcpStream::from_std(tcp)?;
                    let (client, connection) = h2::client::handshake(tcp).await?;
                    // Ends with the connection.
                    tokio::spawn(connection);
                    anyhow::Ok(client)
                })?
            }
        };
        let request = Request::get(format!("http://shop{}", self.path)).body(())?;
        let asked = async {
            let (answer, _) = client.send_request(request, true)?;
            let mut answer = answer.await?;
            while let Some(bytes) = answer.body_mut().data().await {
                let length = bytes?.len();
                answer.body_mut().flow_control().release_capacity(length)?;
            }
            Ok(answer.status().as_u16())
        };
        let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await })?;
        if asked.is_ok() {
            self.http2 = Some(client);
        }
        Ok(asked)
    }
}

/// Whether the server has neither closed a kept connection nor sent what nobody asked for.
fn is_usable(connection: &BufReader<TcpStream>) -> bool {
    let tcp = connection.get_ref();
    let looked = tcp
        .set_nonblocking(true)
        .and_then(|()| tcp.peek(&mut [0]))
        .map_err(|error| error.kind());
    let quiet = looked == Err(io::ErrorKind::WouldBlock);
    quiet && tcp.set_nonblocking(false).is_ok()
}

/// Status, and whether the connection may be used again.
fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<(u16, bool)> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let bad = || io::Error::other(format!("no answer but {line:?}"));
    let status = status.ok_or_else(bad)?;
    let (mut length, mut goes_on) = (0, true);
    loop {
        let mut field = String::new();
        connection.read_line(&mut field)?;
        let field = field.trim_end().to_ascii_lowercase();
        if field.is_empty() {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length: ") {
            length = value.parse().map_err(io::Error::other)?;
        }
        goes_on &= field != "connection: close";
    }
    connection.read_exact(&mut vec![0; length])?;
    Ok((status, goes_on))
}
