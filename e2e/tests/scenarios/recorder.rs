//! A server that writes down every request as it came, byte by byte, and reads in one way only:
//! lines end with CRLF, a body has one Content-Length or is `chunked`. What it cannot read so is
//! written down too, and is a fault of whoever sent it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use ambit_e2e::lab::Pod;
use nix::sys::socket;

/// A request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// From the first byte to the empty line.
    pub(crate) head: String,
    /// The body's own bytes, without chunks.
    pub(crate) body: Vec<u8>,
    /// Why it cannot be read, if it cannot.
    pub(crate) bad: Option<&'static str>,
}

impl Seen {
    /// The request line without its version.
    pub(crate) fn asks(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.strip_suffix(" HTTP/1.1").unwrap_or(line)
    }

    /// The values of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.split("\r\n").skip(1);
        let fields = fields.filter_map(|line| line.split_once(':'));
        let of_name = fields.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.trim()).collect()
    }
}

/// The server.
#[derive(Debug)]
pub(crate) struct Recorder {
    listener: TcpListener,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Listens on a port of a pod.
    pub(crate) fn start(pod: &Pod, port: u16) -> Self {
        let any = SocketAddr::from(([0_u16; 8], port));
        let bound = pod.namespace().run(|| TcpListener::bind(any)).unwrap();
        let listener = bound.unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (accepted, written) = (listener.try_clone().unwrap(), Arc::clone(&seen));
        let accepting = thread::spawn(move || {
            while let Ok((connection, _)) = accepted.accept() {
                let written = Arc::clone(&written);
                // What goes wrong is the client's to notice.
                thread::spawn(move || serve(connection, &written).ok());
            }
        });
        Self {
            listener,
            seen,
            accepting: Some(accepting),
        }
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Wakes the thread that waits in accept.
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn serve(connection: TcpStream, written: &Mutex<Vec<Seen>>) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while !reader.fill_buf()?.is_empty() {
        let seen = read(&mut reader)?;
        let bad = seen.bad.is_some();
        written.lock().unwrap().push(seen);
        if bad {
            return Ok(());
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
    Ok(())
}

/// One request. A body that does not come to its end is an error, and no request.
fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Seen> {
    let mut seen = Seen {
        head: String::new(),
        body: Vec::new(),
        bad: None,
    };
    loop {
        let (line, good) = line(reader)?;
        seen.head.push_str(&line);
        if !good {
            seen.bad = Some("a line does not end with CRLF");
            return Ok(seen);
        }
        if line == "\r\n" {
            break;
        }
    }
    let (lengths, codings) = (
        seen.values("content-length"),
        seen.values("transfer-encoding"),
    );
    match (&lengths[..], &codings[..]) {
        ([], []) => {}
        ([length], []) => match length.parse() {
            Ok(length) => {
                let mut body = vec![0; length];
                reader.read_exact(&mut body)?;
                seen.body = body;
            }
            Err(_) => seen.bad = Some("the length is no number"),
        },
        ([], ["chunked"]) => match chunks(reader)? {
            Some(body) => seen.body = body,
            None => seen.bad = Some("a chunk cannot be read"),
        },
        _ => seen.bad = Some("the length is told in several ways"),
    }
    Ok(seen)
}

fn chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let (size, good) = line(reader)?;
        let Ok(size) = usize::from_str_radix(size.trim_end(), 16) else {
            return Ok(None);
        };
        if size == 0 {
            let (end, _) = line(reader)?;
            return Ok((good && end == "\r\n").then_some(body));
        }
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        if !good || !chunk.ends_with(b"\r\n") {
            return Ok(None);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

/// A line, and whether it ends with CRLF and has no other CR or NUL.
fn line(reader: &mut BufReader<TcpStream>) -> io::Result<(String, bool)> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if !line.ends_with(b"\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let content = line.strip_suffix(b"\r\n");
    let good = content.is_some_and(|line| !line.contains(&b'\r') && !line.contains(&0));
    Ok((String::from_utf8_lossy(&line).into_owned(), good))
}
