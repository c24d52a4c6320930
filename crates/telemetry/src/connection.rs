//! The line of a connection, written at its end or when it is refused. Field names are those of
//! Istio's node proxy, with `reason` added, and `src.forwarded_addr` for the client behind a
//! waypoint and `dst.host` for the name that the client meant, where it is not a service's.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_decide::Refusal;

use crate::ends::Ends;
use crate::object::Object;

/// One connection, ended or refused.
#[derive(Debug)]
pub struct Connection<'a> {
    /// Which way it goes, as the reporter sees it: `outbound`, `inbound` or `waypoint`.
    pub direction: &'static str,
    /// Who is who.
    pub ends: &'a Ends,
    /// Address of the client, or of the waypoint that connects for it.
    pub source: SocketAddr,
    /// Address of the client, as the waypoint that connects for it tells.
    pub forwarded: Option<SocketAddr>,
    /// Address that the client wanted, or of the application.
    pub destination: SocketAddr,
    /// The name that the client meant by it, as far as somebody said it: for reading only.
    pub host: Option<&'a str>,
    /// Other end of the tunnel, if there is one.
    pub tunnel: Option<SocketAddr>,
    /// Bytes that the reporting side sent towards the server.
    pub sent: u64,
    /// Bytes that came back.
    pub received: u64,
    /// How long the connection was open.
    pub duration: Duration,
    /// Why it was refused or cut, if it was.
    pub refusal: Option<&'a Refusal>,
    /// What ended it, if that was an error.
    pub error: Option<&'a str>,
}

impl Connection<'_> {
    /// One line of JSON with its end, for the [`LineWriter`](crate::LineWriter).
    pub fn to_line(&self) -> Vec<u8> {
        let failed = self.refusal.is_some() || self.error.is_some();
        let mut line = Object::new("level", if failed { "error" } else { "info" });
        line.now("time");
        line.text("scope", b"access");
        let message = match self.refusal {
            Some(_) => "connection refused",
            None => "connection complete",
        };
        line.text("message", message.as_bytes());
        line.address("src.addr", self.source);
        if let Some(forwarded) = self.forwarded {
            line.address("src.forwarded_addr", forwarded);
        }
        line.address("dst.addr", self.destination);
        line.known("dst.host", self.host);
        if let Some(tunnel) = self.tunnel {
            line.address("dst.hbone_addr", tunnel);
        }
        line.ends(self.ends);
        line.text("direction", self.direction.as_bytes());
        line.number("bytes_sent", self.sent);
        line.number("bytes_recv", self.received);
        line.span("duration", self.duration);
        self.write_failure(&mut line);
        line.into_line()
    }

    fn write_failure(&self, line: &mut Object) {
        if let Some(refusal) = self.refusal {
            line.text("reason", refusal.reason.word().as_bytes());
            if let Some(policy) = &refusal.policy {
                line.text("policy", policy.to_string().as_bytes());
            }
        }
        let detail = self.refusal.map(|refusal| refusal.detail.as_str());
        line.known("error", self.error.or(detail));
    }
}

#[cfg(test)]
mod tests;
