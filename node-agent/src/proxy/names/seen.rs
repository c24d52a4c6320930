//! Which name a connection was meant for that is refused: the one that the pod was given the address for,
//! else the one in the first bytes, of TLS or HTTP. They are looked at where they lie, not for long, and
//! only once it is certain that they go nowhere. It is for people to read, and decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::proxy::pods::LocalPod;

/// How long the first bytes are waited for.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often it is looked whether there are more.
const AGAIN: Duration = Duration::from_millis(10);
/// As many bytes are looked at.
const MOST: usize = 4096;
/// Longest name.
const LONGEST: usize = 253;

/// What bytes say of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// This name.
    Name(String),
    /// Nothing yet.
    More,
    /// Nothing.
    Nothing,
}

/// The name that a refused connection was meant for, if that can be known.
pub(crate) async fn host_of(
    pod: &LocalPod,
    client: &TcpStream,
    destination: SocketAddr,
    refusal: &Refusal,
) -> Option<Arc<str>> {
    if let Some(name) = pod.given.name_of(destination.ip()) {
        return Some(name);
    }
    if refusal.reason != Reason::UnknownDestination {
        return None;
    }
    timeout(PATIENCE, peek(client)).await.ok().flatten()
}

async fn peek(client: &TcpStream) -> Option<Arc<str>> {
    let mut buffer = vec![0; MOST];
    loop {
        let length = client.peek(&mut buffer).await.ok()?;
        match said(buffer.get(..length)?) {
            Said::Name(name) => return Some(name.into()),
            // Nothing more comes, or fits.
            Said::More if length == 0 || length == MOST => return None,
            Said::More => sleep(AGAIN).await,
            Said::Nothing => return None,
        }
    }
}

fn said(bytes: &[u8]) -> Said {
    match bytes.first() {
        None => Said::More,
        Some(0x16) => match hello(bytes) {
            Ok(Some(name)) => named(name),
            Ok(None) => Said::Nothing,
            Err(Short) => Said::More,
        },
        Some(byte) if byte.is_ascii_uppercase() => request(bytes),
        Some(_) => Said::Nothing,
    }
}

/// More bytes are needed.
struct Short;

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, Short> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    }

    /// A length of so many bytes, and what is so long.
    fn sized(&mut self, bytes: usize) -> Result<&'a [u8], Short> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

/// The server name of a client's hello (RFC 8446, RFC 6066); of the first record only.
fn hello(bytes: &[u8]) -> Result<Option<&[u8]>, Short> {
    let mut record = Rest(bytes);
    record.take(3)?;
    let length = record.number(2)?;
    // Of a long record the beginning is enough, where the name is in it.
    let is_whole = record.0.len() >= length;
    let mut message = Rest(record.0.get(..length).unwrap_or(record.0));
    if message.number(1)? != 1 {
        return Ok(None);
    }
    message.take(3 + 2 + 32)?;
    message.sized(1)?;
    message.sized(2)?;
    message.sized(1)?;
    message.take(2)?;
    while !message.0.is_empty() {
        let kind = message.number(2)?;
        let extension = message.sized(2)?;
        if kind == 0 {
            let mut list = Rest(extension);
            list.take(2)?;
            return match list.number(1)? {
                0 => list.sized(2).map(Some),
                _ => Ok(None),
            };
        }
    }
    if is_whole { Ok(None) } else { Err(Short) }
}

/// The `Host` of a request of HTTP/1.
fn request(bytes: &[u8]) -> Said {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.next();
    for line in lines {
        let Some(line) = line.strip_suffix(b"\n") else {
            return Said::More;
        };
        let line = line.trim_ascii();
        if line.is_empty() {
            return Said::Nothing;
        }
        if let Some((name, value)) = line.split_at_checked(5)
            && name.eq_ignore_ascii_case(b"host:")
        {
            return named(value.trim_ascii());
        }
    }
    Said::More
}

/// A name without its port, if it looks like one.
fn named(bytes: &[u8]) -> Said {
    let name = bytes.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match std::str::from_utf8(name) {
        Ok(text) if (1..=LONGEST).contains(&name.len()) && name.iter().all(is_letter) => {
            Said::Name(text.to_ascii_lowercase())
        }
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello as a client of ours sends it.
    fn hello_for(name: &str) -> Vec<u8> {
        let roots = rustls::RootCertStore::empty();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn names_are_found_in_what_clients_say_first() {
        let name = |text: &str| Said::Name(text.to_owned());
        assert_eq!(said(&hello_for("api.Example.com")), name("api.example.com"));
        assert_eq!(said(&hello_for("192.0.2.1")), Said::Nothing);
        for (bytes, wanted) in [
            (
                &b"GET / HTTP/1.1\r\nAccept: */*\r\nhOST:  api.example.com:80 \r\n\r\n"[..],
                name("api.example.com"),
            ),
            (
                b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\nHost: a\r\n",
                Said::Nothing,
            ),
            (b"GET / HTTP/1.1\r\nHost: api.exam", Said::More),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n", Said::Nothing),
            (b"GET / HTTP/1.1\r\nHost: \"\xff\r\n", Said::Nothing),
            (b"", Said::More),
            (b"\x16\x03", Said::More),
            (b"SSH-2.0-x\r\n", Said::More),
            (b"\0\0\0\x08", Said::Nothing),
        ] {
            assert_eq!(said(bytes), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn a_beginning_says_nothing_or_what_the_whole_says() {
        let whole = hello_for("api.example.com");
        for end in 0..whole.len() {
            let early = said(&whole[..end]);
            assert!(
                matches!(early, Said::More) || early == said(&whole),
                "{end}: {early:?}"
            );
            // Whatever is wrong with a byte, something is said.
            let mut broken = whole.clone();
            broken[end] ^= 0xFF;
            said(&broken);
        }
    }
}
