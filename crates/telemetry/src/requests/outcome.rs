//! What became of a request, as far as it has labels: few values, whatever servers answer.

use std::sync::Arc;

use crate::ends::{Pairs, security_policy};
use crate::exchange::{Exchange, Protocol};
use crate::labels::UNKNOWN;

/// The highest status that gRPC has.
const LAST_GRPC_STATUS: u32 = 16;

/// Protocol, status and security of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    protocol: Protocol,
    status: Status,
    grpc_status: Option<Status>,
    flags: &'static str,
    is_mutual_tls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Known(u16),
    /// One that the protocol does not have.
    Unknown,
}

impl Status {
    fn text(self) -> Arc<str> {
        match self {
            Self::Known(number) => number.to_string().into(),
            Self::Unknown => UNKNOWN.into(),
        }
    }
}

impl Outcome {
    /// The outcome of a request.
    pub(super) fn of(exchange: &Exchange<'_>) -> Self {
        Self {
            protocol: exchange.protocol,
            status: http_status(exchange.status),
            grpc_status: match exchange.protocol {
                Protocol::Http => None,
                Protocol::Grpc => exchange.grpc_status.map(grpc_status),
            },
            flags: exchange.flags,
            is_mutual_tls: exchange.is_mutual_tls(),
        }
    }

    /// True if messages are counted as well.
    pub(super) fn is_grpc(self) -> bool {
        self.protocol == Protocol::Grpc
    }

    /// Adds the labels of `istio_requests` and its histograms to those of the ends.
    pub(super) fn label(self, pairs: &mut Pairs) {
        let mut add = |name: &str, value| pairs.push((name.to_owned(), value));
        add("request_protocol", self.protocol.word().into());
        add("response_code", self.status.text());
        if let Some(status) = self.grpc_status {
            add("grpc_response_status", status.text());
        }
        add("response_flags", self.flags.into());
        add("connection_security_policy", self.security());
    }

    /// The labels of gRPC messages: a message has no status.
    pub(super) fn label_messages(self, mut pairs: Pairs) -> Pairs {
        pairs.push(("request_protocol".into(), self.protocol.word().into()));
        pairs.push(("connection_security_policy".into(), self.security()));
        pairs
    }

    fn security(self) -> Arc<str> {
        security_policy(self.is_mutual_tls).into()
    }
}

/// As Istio has it, 0 stands for a client that went away before the answer.
fn http_status(status: Option<u16>) -> Status {
    match status {
        None => Status::Known(0),
        Some(number @ 100..=599) => Status::Known(number),
        Some(_) => Status::Unknown,
    }
}

fn grpc_status(status: u32) -> Status {
    let known = u16::try_from(status).ok();
    let known = known.filter(|_| status <= LAST_GRPC_STATUS);
    known.map_or(Status::Unknown, Status::Known)
}
