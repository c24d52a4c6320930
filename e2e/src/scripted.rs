//! An HTTP/1.1 server that does what a scenario says, also what no server should do; it notes every
//! request.
//!
//! It reads strictly: a request with a body has one Content-Length or is chunked, and what comes
//! after it is the next request. So a proxy that frames wrongly shows.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use socket2::SockRef;

use crate::lab::{Namespace, Pod};
use crate::servers::Server;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The request line and the headers, each line ended by CRLF.
    pub head: String,
    /// The body; chunks joined.
    pub body: Vec<u8>,
    /// Lines of the trailers.
    pub trailers: String,
}

impl Heard {
    /// The target of the request line.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header, its lines joined; names in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        value(&self.head, name)
    }
}

/// What is done about a request.
#[derive(Debug, Clone)]
pub struct Deed {
    say: Vec<u8>,
    then: Then,
}

/// What comes after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    ServeOn,
    /// The end of the connection.
    Close,
    /// A reset of the connection.
    Reset,
    /// Nothing, until the client goes.
    Hang,
}

impl Deed {
    /// Says these bytes and then does that.
    pub fn new(say: impl Into<Vec<u8>>, then: Then) -> Self {
        let say = say.into();
        Self { say, then }
    }

    /// An answer with this status and body.
    pub fn answer(status: u16, body: &str) -> Self {
        Self::with(status, "", body)
    }

    /// The same with more header lines, each ended by CRLF.
    pub fn with(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text =
            format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        Self::new(text, Then::ServeOn)
    }
}

/// A server that does what a script says about each request.
#[derive(Debug)]
pub struct Scripted {
    heard: Arc<Mutex<Notes>>,
    _server: Server,
}

#[derive(Debug, Default)]
struct Notes {
    all: Vec<Heard>,
    by_path: HashMap<String, usize>,
}

impl Notes {
    /// Notes a request; how many with its path came before.
    fn take(&mut self, heard: Heard) -> usize {
        let count = self.by_path.entry(heard.path().to_owned()).or_default();
        let before = *count;
        *count += 1;
        self.all.push(heard);
        before
    }
}

impl Scripted {
    /// Starts it in a pod. The script is told of the request, and how many with its path came before.
    pub fn start<S>(pod: &Pod, port: u16, script: S) -> Result<Self>
    where
        S: Fn(&Heard, usize) -> Deed + Send + Sync + 'static,
    {
        Self::start_in(pod.namespace(), port, script)
    }

    /// The same in a namespace that is no pod's.
    pub fn start_in<S>(namespace: &Namespace, port: u16, script: S) -> Result<Self>
    where
        S: Fn(&Heard, usize) -> Deed + Send + Sync + 'static,
    {
        let heard: Arc<Mutex<Notes>> = Arc::default();
        let (script, notes) = (Arc::new(script), Arc::clone(&heard));
        let server = Server::start_in(
            namespace,
            port,
            move |connection: TcpStream, _: SocketAddr| serve(connection, &notes, &*script),
        )?;
        Ok(Self {
            heard,
            _server: server,
        })
    }

    /// A server that answers everything with this body.
    pub fn saying(pod: &Pod, port: u16, body: &'static str) -> Result<Self> {
        Self::start(pod, port, |_, _| Deed::answer(200, body))
    }

    /// What came so far.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).all.clone()
    }

    /// What came so far for this path.
    pub fn heard_at(&self, path: &str) -> Vec<Heard> {
        let mut heard = self.heard();
        heard.retain(|heard| heard.path() == path);
        heard
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        lock(&self.heard).all.len()
    }
}

fn lock(heard: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    connection: TcpStream,
    notes: &Mutex<Notes>,
    script: &(impl Fn(&Heard, usize) -> Deed + ?Sized),
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some(heard) = read(&mut reader, &mut writer)? {
        let before = lock(notes).take(heard.clone());
        let deed = script(&heard, before);
        writer.write_all(&deed.say)?;
        match deed.then {
            Then::ServeOn => {}
            Then::Close => return Ok(()),
            Then::Reset => return SockRef::from(&writer).set_linger(Some(Duration::ZERO)),
            Then::Hang => return reader.read_to_end(&mut Vec::new()).map(drop),
        }
    }
    Ok(())
}

/// The next request; none when the client has ended.
fn read(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<Option<Heard>> {
    let head = lines(reader)?;
    if head.is_empty() {
        return Ok(None);
    }
    if value(&head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let (mut body, mut trailers) = (Vec::new(), String::new());
    if value(&head, "transfer-encoding").is_some() {
        trailers = chunks(reader, &mut body)?;
    } else if let Some(length) = value(&head, "content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        reader.take(length).read_to_end(&mut body)?;
    }
    Ok(Some(Heard {
        head,
        body,
        trailers,
    }))
}

/// Reads chunks to the last; the trailers.
fn chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<String> {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if size == 0 {
            return lines(reader);
        }
        reader.take(size).read_to_end(body)?;
        reader.read_line(&mut String::new())?;
    }
}

/// The lines up to an empty one, without that.
fn lines(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            return Ok(all);
        }
        all.push_str(&line);
    }
}

/// The value of a header in lines of a head, several joined by commas.
pub(crate) fn value(head: &str, name: &str) -> Option<String> {
    let values = head.split("\r\n").skip(1).filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    let values: Vec<&str> = values.collect();
    (!values.is_empty()).then(|| values.join(","))
}
