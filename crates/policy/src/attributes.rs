//! What policies look at.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ambit_model::SpiffeId;

use crate::claims::Claims;

/// A connection and, if it speaks HTTP, a request of it: borrowed, and cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Identity that the client proved; `None` for plaintext.
    pub peer: Option<&'a SpiffeId>,
    /// Address that the connection comes from.
    pub source_ip: IpAddr,
    /// Address of the first client, as trusted proxies tell it; where none do, that of the source.
    pub remote_ip: IpAddr,
    /// Where the connection goes to.
    pub destination: SocketAddr,
    /// Server name of its TLS hello, if it had one.
    pub sni: Option<&'a str>,
    /// The request; `None` for a connection that is not HTTP.
    pub request: Option<Request<'a>>,
}

/// What policies look at of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// The host that was asked for, with its port if one was given.
    pub host: Option<&'a str>,
    /// Its path in normal form, without the query. Empty for `CONNECT`.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a dyn Headers,
    /// Claims of its token, if it has one that was found to be valid.
    pub claims: Option<&'a Claims>,
}

/// Headers by name.
pub trait Headers: fmt::Debug {
    /// All lines of a header, [`joined`]; `None` if there are none. The name is in lower case.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// Whether one of its lines is such.
    fn any_line(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// The lines of a header as one text, with commas between them; `None` if there is no line.
pub fn joined<'h>(lines: impl IntoIterator<Item = &'h [u8]>) -> Option<Cow<'h, [u8]>> {
    lines.into_iter().fold(None, |before, line| {
        let Some(before) = before else {
            return Some(Cow::Borrowed(line));
        };
        let mut text = before.into_owned();
        text.push(b',');
        text.extend_from_slice(line);
        Some(Cow::Owned(text))
    })
}

impl Attributes<'_> {
    /// With addresses of IPv4 where they are IPv4-mapped.
    pub(crate) fn canonical(self) -> Self {
        let (address, port) = (self.destination.ip(), self.destination.port());
        Self {
            source_ip: self.source_ip.to_canonical(),
            remote_ip: self.remote_ip.to_canonical(),
            destination: SocketAddr::new(address.to_canonical(), port),
            ..self
        }
    }
}
