//! A request that has ended, with all that is told of it: its labels, and its line in the log.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_model::PolicyName;

use crate::ends::Ends;
use crate::shape::Shaped;

mod line;

/// What is spoken, for the label `request_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP of any version.
    Http,
    /// gRPC, as its content type says.
    Grpc,
}

impl Protocol {
    /// The value of the label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// What was sent on, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Nothing was: the request was answered here, or nobody could be reached.
    Nothing,
    /// The request, in plaintext.
    Clear,
    /// The request, to a server that proved its identity.
    MutualTls,
}

/// A request and what became of it. Bytes are as the client sent them: what is not fit for a line
/// is made so when it is written.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Who is who: the client that asked, and the endpoint that was chosen last.
    pub ends: &'a Ends,
    /// What is spoken.
    pub protocol: Protocol,
    /// Version of HTTP that the client speaks, such as `HTTP/1.1`.
    pub version: &'static str,
    /// Method.
    pub method: &'a [u8],
    /// Path, with its query if it has one.
    pub path: &'a [u8],
    /// Host that was asked for.
    pub host: &'a [u8],
    /// `x-request-id`, empty if there is none.
    pub request_id: &'a [u8],
    /// `user-agent`, empty if there is none.
    pub user_agent: &'a [u8],
    /// Status that the client got; none if it went away before.
    pub status: Option<u16>,
    /// gRPC status that the client got.
    pub grpc_status: Option<u32>,
    /// Envoy's short words for what went wrong, `-` if nothing did.
    pub flags: &'static str,
    /// Our word for why it was refused or failed here.
    pub reason: Option<&'static str>,
    /// The policy that refused it.
    pub policy: Option<&'a PolicyName>,
    /// What went wrong, in this case.
    pub error: Option<&'a str>,
    /// Name of the route that it met.
    pub route: Option<&'a str>,
    /// Address of the client.
    pub source: SocketAddr,
    /// Address that the client wanted.
    pub destination: SocketAddr,
    /// Address of the endpoint that was chosen last.
    pub upstream: Option<SocketAddr>,
    /// What was sent on.
    pub onward: Onward,
    /// Bytes of the request, towards the server.
    pub sent: u64,
    /// Bytes of the response, which came back.
    pub received: u64,
    /// gRPC messages in the request.
    pub request_messages: u64,
    /// gRPC messages in the response.
    pub response_messages: u64,
    /// Time from the first byte of the request to the last of the response.
    pub duration: Duration,
    /// How often it was sent on.
    pub tries: u32,
    /// The trace that it is part of, and its span, if it is traced.
    pub trace: Option<(&'a str, &'a str)>,
    /// How its series differ from the usual.
    pub shaped: Option<Shaped<'a>>,
}

impl Exchange<'_> {
    /// True if the client proved who it is, and nothing went on in plaintext.
    pub fn is_mutual_tls(&self) -> bool {
        self.ends.source_id.is_some() && self.onward != Onward::Clear
    }
}

#[cfg(test)]
mod tests;
