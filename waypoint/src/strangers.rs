//! Clients that have not proved yet who they are: anybody who reaches the port. What they hold is
//! bounded so that they cannot keep those out who would prove it, and few lines tell of them.
//!
//! Half of the handshakes are for addresses that workloads of the mesh are known to have. The waypoint
//! does not know all of its clients by address before they come, so the other half is for them too.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ambit_decide::Reason;
use ambit_identity::HandshakeFailure;
use ambit_kit::seldom::Seldom;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::room::{ClientSlot, Room};

/// Handshakes under way at once, and of one client.
const HANDSHAKES: (usize, usize) = (256, 32);
/// The same of clients whose address is not known.
const UNKNOWN: (usize, usize) = (128, 16);
/// How long a client may take for its hello, which it has ready when it connects.
const HELLO: Duration = Duration::from_secs(2);
/// Bytes of a hello that are waited for; the largest have less.
const HELLO_BYTES: usize = 4096;
/// How often to look whether the rest of a hello has come.
const LOOK: Duration = Duration::from_millis(20);
/// Sources of refusals that are told apart.
const SOURCES: usize = 1024;

/// What clients without a tunnel hold.
#[derive(Debug)]
pub(crate) struct Strangers {
    all: Room,
    unknown: Room,
    told: Mutex<HashMap<(IpAddr, Reason), Seldom>>,
}

/// The right to shake hands, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_unknown: Option<ClientSlot>,
    _of_all: ClientSlot,
}

impl Strangers {
    /// Nobody is there.
    pub(crate) fn new() -> Self {
        Self {
            all: Room::new(HANDSHAKES.0, HANDSHAKES.1),
            unknown: Room::new(UNKNOWN.0, UNKNOWN.1),
            told: Mutex::default(),
        }
    }

    /// A client's turn to shake hands; `None` if there is no room for it.
    pub(crate) fn turn(&self, client: IpAddr, is_known: bool) -> Option<Turn> {
        let of_unknown = match is_known {
            true => None,
            false => Some(self.unknown.take(client)?),
        };
        Some(Turn {
            _of_unknown: of_unknown,
            _of_all: self.all.take(client)?,
        })
    }

    /// Whether a line is due for a refusal. Of one client for one reason it is once a second.
    pub(crate) fn is_due(&self, client: IpAddr, reason: Reason) -> bool {
        let mut told = self.told.lock();
        let key = (client.to_canonical(), reason);
        if told.len() >= SOURCES && !told.contains_key(&key) {
            told.clear();
        }
        told.entry(key).or_default().due().is_some()
    }
}

/// Waits for all of a client's hello to have come. It stays where it is.
pub(crate) async fn hello(tcp: &TcpStream) -> Result<(), HandshakeFailure> {
    let mut bytes = vec![0; HELLO_BYTES];
    let coming = async {
        loop {
            let came = tcp.peek(&mut bytes).await?;
            if is_whole(bytes.get(..came).unwrap_or_default()) {
                return Ok(());
            }
            // The socket stays readable: only a look tells that there is more.
            sleep(LOOK).await;
        }
    };
    let came: io::Result<()> = timeout(HELLO, coming)
        .await
        .map_err(|_elapsed| HandshakeFailure::Timeout)?;
    came.map_err(HandshakeFailure::from_io)
}

/// Whether the first record is there, or this is none and TLS may say so (RFC 8446, 5.1).
fn is_whole(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [22] | [22, 3, ..] if bytes.len() < 5 => false,
        [22, 3, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low])) + 5;
            bytes.len() >= length.min(HELLO_BYTES)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
