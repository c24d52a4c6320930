//! A client's connection of HTTP/1.1 that is kept open, and on which a scenario says every byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail};

use crate::clients::{Answer, connect};
use crate::lab::Namespace;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    trailers: String,
}

impl Connection {
    /// Connects from inside a namespace.
    pub fn open(from: &Namespace, to: SocketAddr) -> Result<Self> {
        let writer = connect(from, to)?;
        let reader = BufReader::new(writer.try_clone().context("copying a connection")?);
        let trailers = String::new();
        Ok(Self {
            reader,
            writer,
            trailers,
        })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let sent = self.writer.write_all(bytes.as_ref());
        sent.context("sending a request")
    }

    /// A GET with more header lines, each ended by CRLF, and its answer.
    pub fn get(&mut self, path: &str, headers: &str) -> Result<Answer> {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: server\r\n{headers}\r\n"
        ))?;
        self.answer()
    }

    /// The next answer, to a request that is not HEAD.
    pub fn answer(&mut self) -> Result<Answer> {
        let (status, head) = self.head()?;
        let header = |name| crate::scripted::value(&head, name);
        let mut body = Vec::new();
        if header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else if let Some(length) = header("content-length") {
            body.resize(length.parse().context("a Content-Length")?, 0);
            let read = self.reader.read_exact(&mut body);
            read.context("reading a body of known length")?;
        } else if !matches!(status, 100..=199 | 204 | 304) {
            let read = self.reader.read_to_end(&mut body);
            read.context("reading a body to its end")?;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status, head, body })
    }

    /// The next answer's status and head.
    pub fn head(&mut self) -> Result<(u16, String)> {
        let head = self.lines()?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let Some(status) = status else {
            bail!("the answer began with {head:?}")
        };
        Ok((status, head))
    }

    /// The next chunk of a chunked body; at its end none.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let mut size = String::new();
        let read = self.reader.read_line(&mut size);
        read.context("reading a chunk's size")?;
        let length = usize::from_str_radix(size.trim(), 16);
        let length = length.with_context(|| format!("{size:?} is no chunk's size"))?;
        if length == 0 {
            self.trailers = self.lines()?;
            return Ok(None);
        }
        let mut chunk = vec![0; length];
        let read = self.reader.read_exact(&mut chunk);
        read.context("reading a chunk")?;
        self.reader.read_line(&mut size).context("ending a chunk")?;
        Ok(Some(chunk))
    }

    /// Lines of the trailers of the last chunked body.
    pub fn trailers(&self) -> &str {
        &self.trailers
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        let read = self.reader.read_to_end(&mut rest);
        read.context("reading to the end of a connection")?;
        Ok(rest)
    }

    /// Lines up to an empty one.
    pub fn lines(&mut self) -> Result<String> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line);
            if read.context("reading an answer's head")? == 0 {
                bail!("the connection ended after {all:?}");
            }
            if line == "\r\n" {
                return Ok(all);
            }
            all.push_str(&line);
        }
    }
}
