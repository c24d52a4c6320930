//! A collector of ours that speaks OTLP over gRPC, or does what no collector should.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambit_e2e::lab::Pod;
use anyhow::{Result, ensure};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::otlp::{Span, spans};

/// Where collectors take OTLP over gRPC.
pub(super) const PORT: u16 = 4317;
const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Bytes before a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// What it does about what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes it.
    Takes,
    /// Refuses it with this status of gRPC, without a message.
    Refuses(&'static str),
    /// Resets the stream.
    ResetsStreams,
    /// Resets each connection as soon as it is there.
    ResetsConnections,
    /// Says something that is no HTTP/2.
    Garbage,
    /// Reads all, and never answers.
    Hangs,
    /// Takes connections, and says nothing on them, not even that it speaks HTTP/2.
    Silent,
}

/// A collector; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    state: Arc<State>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    told: Mutex<Told>,
}

/// What it was told.
#[derive(Debug, Default)]
struct Told {
    spans: Vec<Span>,
    /// Calls and connections that were not as they shall be, and why.
    wrong: Vec<String>,
    connections: usize,
    calls: usize,
}

impl Collector {
    /// One in this pod.
    pub(super) fn start(pod: &Pod) -> Result<Self> {
        Self::start_at(pod, PORT)
    }

    /// The same at another port: a server of gRPC in some way.
    pub(crate) fn start_at(pod: &Pod, port: u16) -> Result<Self> {
        let any = SocketAddr::from(([0_u16; 8], port));
        let listener = pod.namespace().run(|| TcpListener::bind(any))??;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let state = Arc::new(State {
            manner: Mutex::new(Manner::Takes),
            told: Mutex::default(),
        });
        let serves = Arc::clone(&state);
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                serves.note(|told| told.connections += 1);
                // What goes wrong on a connection is the client's to notice.
                tokio::spawn(serve(tcp, Arc::clone(&serves)));
            }
        });
        Ok(Self {
            state,
            _runtime: runtime,
        })
    }

    /// Does so from now on.
    pub(crate) fn does(&self, manner: Manner) {
        *self
            .state
            .manner
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// All spans that it took, or was told before it did something else.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.state.note(|told| told.spans.clone())
    }

    /// What was wrong with calls.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.state.note(|told| told.wrong.clone())
    }

    /// How many connections and calls there were.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.state.note(|told| (told.connections, told.calls))
    }
}

impl State {
    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, note: impl FnOnce(&mut Told) -> T) -> T {
        note(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(mut tcp: TcpStream, state: Arc<State>) -> Result<()> {
    match state.manner() {
        Manner::ResetsConnections => {
            SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
            return Ok(());
        }
        Manner::Garbage => {
            tcp.write_all(b"what is this?\r\n\r\n").await?;
            return Ok(());
        }
        Manner::Silent => {
            while tcp.read(&mut [0; 4096]).await? > 0 {}
            return Ok(());
        }
        _ => {}
    }
    let mut connection = h2::server::handshake(tcp).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        match state.manner() {
            // From the next connection on.
            Manner::ResetsConnections | Manner::Garbage | Manner::Silent => return Ok(()),
            manner => drop(tokio::spawn(answer(
                Arc::clone(&state),
                manner,
                request,
                respond,
            ))),
        }
    }
    Ok(())
}

async fn answer(
    state: Arc<State>,
    manner: Manner,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<()> {
    let (head, mut body) = request.into_parts();
    let mut message = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        message.extend_from_slice(&part);
    }
    let is = |name: &str, value: &str| head.headers.get(name).is_some_and(|is| is == value);
    let length = message.len().checked_sub(PREFIX);
    let length = length.and_then(|length| u32::try_from(length).ok());
    let prefix = length.map(|length| [&[0][..], &length.to_be_bytes()].concat());
    let is_well = head.method == "POST"
        && head.uri.path() == METHOD
        && is("content-type", "application/grpc")
        && is("te", "trailers")
        && prefix.is_some_and(|prefix| message.starts_with(&prefix));
    state.note(|told| {
        told.calls += 1;
        match is_well {
            true => told.spans.extend(spans(&message[PREFIX..])),
            false => told.wrong.push(format!("{head:?}")),
        }
    });
    let answer = Response::builder().header("content-type", "application/grpc");
    match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::ResetsStreams => respond.send_reset(Reason::INTERNAL_ERROR),
        Manner::Refuses(status) => {
            let answer = answer.header("grpc-status", status).body(())?;
            respond.send_response(answer, true)?;
        }
        _ => {
            let mut stream = respond.send_response(answer.body(())?, false)?;
            // An empty message.
            stream.send_data(Bytes::from_static(&[0; PREFIX]), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            stream.send_trailers(trailers)?;
        }
    }
    ensure!(is_well, "a call that is none");
    Ok(())
}
