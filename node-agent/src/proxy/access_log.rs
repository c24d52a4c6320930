//! The access log: one JSON line on standard output for each connection, at its end, and for each
//! refusal. Field names are those of Istio's node proxy, with `reason` added, and
//! `src.forwarded_addr` for the client behind a waypoint.
//!
//! The data path never waits for the log: lines go through a bounded channel to a thread of their
//! own; when the reader of standard output is too slow, lines are dropped and counted.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use ambit_decide::Refusal;
use ambit_kit::clock;
use serde::Serialize;

use super::labels::{Ends, Reporter};
use super::ledger::{Family, Ledger};

/// Lines that may wait for a slow reader: about a second of a busy node, some megabytes.
const DEPTH: usize = 8192;

/// Rest after writing: on a busy node lines are then written by the dozen, and the data path does
/// not have to wake the writing thread for each.
const REST: Duration = Duration::from_millis(5);

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where connections are written down.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: SyncSender<Message>,
    ledger: Ledger,
}

/// What the writing thread is given.
enum Message {
    /// A line with its end.
    Line(Vec<u8>),
    /// To be dropped when everything before has been written.
    Mark(SyncSender<()>),
}

/// One connection, ended or refused.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// Which end reports.
    pub(crate) reporter: Reporter,
    /// Who is who.
    pub(crate) ends: &'a Ends,
    /// Address of the client, or of the waypoint that connects for it.
    pub(crate) source: SocketAddr,
    /// Address of the client, as the waypoint that connects for it tells.
    pub(crate) forwarded: Option<SocketAddr>,
    /// Address that the client wanted, or of the application.
    pub(crate) destination: SocketAddr,
    /// Other end of the tunnel, if there is one.
    pub(crate) tunnel: Option<SocketAddr>,
    /// Bytes that the reporting side sent towards the server.
    pub(crate) sent: u64,
    /// Bytes that came back.
    pub(crate) received: u64,
    /// How long the connection was open.
    pub(crate) duration: Duration,
    /// Why it was refused or cut, if it was.
    pub(crate) refusal: Option<&'a Refusal>,
    /// What ended it, if that was an error.
    pub(crate) error: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    time: String,
    scope: &'static str,
    message: &'static str,
    #[serde(rename = "src.addr")]
    source: SocketAddr,
    #[serde(rename = "src.forwarded_addr", skip_serializing_if = "Option::is_none")]
    forwarded: Option<SocketAddr>,
    #[serde(rename = "src.workload", skip_serializing_if = "Option::is_none")]
    source_workload: Option<&'a str>,
    #[serde(rename = "src.namespace", skip_serializing_if = "Option::is_none")]
    source_namespace: Option<&'a str>,
    #[serde(rename = "src.identity", skip_serializing_if = "Option::is_none")]
    source_identity: Option<&'a str>,
    #[serde(rename = "dst.addr")]
    destination: SocketAddr,
    #[serde(rename = "dst.hbone_addr", skip_serializing_if = "Option::is_none")]
    tunnel: Option<SocketAddr>,
    #[serde(rename = "dst.service", skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(rename = "dst.workload", skip_serializing_if = "Option::is_none")]
    destination_workload: Option<&'a str>,
    #[serde(rename = "dst.namespace", skip_serializing_if = "Option::is_none")]
    destination_namespace: Option<&'a str>,
    #[serde(rename = "dst.identity", skip_serializing_if = "Option::is_none")]
    destination_identity: Option<&'a str>,
    direction: &'static str,
    bytes_sent: u64,
    bytes_recv: u64,
    duration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl AccessLog {
    /// Starts the writing thread; it ends when the last clone of the log is dropped.
    pub(crate) fn start(ledger: Ledger) -> std::io::Result<Self> {
        let (lines, waiting) = sync_channel(DEPTH);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_lines(&waiting))?;
        Ok(Self { lines, ledger })
    }

    /// Writes one connection down, or counts that there was no room.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Ok(mut line) = serde_json::to_vec(&line(entry)) else {
            return;
        };
        line.push(b'\n');
        // No room, or a standard output that is closed.
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.ledger.count(Family::LogDrops, &[]);
        }
    }

    /// Waits, not for long, until what has been written down is out.
    pub(crate) fn flush(&self) {
        let (mark, written) = sync_channel(1);
        if self.lines.try_send(Message::Mark(mark)).is_ok() {
            // An end of the channel is the answer; without one the reader is too slow.
            written.recv_timeout(LAST_LINES).ok();
        }
    }
}

fn write_lines(waiting: &Receiver<Message>) {
    let mut out = std::io::stdout();
    while let Ok(first) = waiting.recv() {
        let (mut batch, mut marks) = (Vec::new(), Vec::new());
        for message in std::iter::once(first).chain(waiting.try_iter().take(DEPTH)) {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Mark(mark) => marks.push(mark),
            }
        }
        // A closed standard output is not a reason to stop carrying traffic.
        if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
            return;
        }
        drop(marks);
        std::thread::sleep(REST);
    }
}

fn line<'a>(entry: &'a Entry<'_>) -> Line<'a> {
    let ends = entry.ends;
    let (source, destination) = (ends.source.as_deref(), ends.destination.as_deref());
    let refused = entry.refusal.is_some();
    Line {
        level: if refused || entry.error.is_some() {
            "error"
        } else {
            "info"
        },
        time: clock::rfc3339(clock::wall()),
        scope: "access",
        message: if refused {
            "connection refused"
        } else {
            "connection complete"
        },
        source: entry.source,
        forwarded: entry.forwarded,
        source_workload: source.map(|w| &*w.name),
        source_namespace: source.map(|w| &*w.namespace),
        source_identity: ends.source_id.as_ref().map(ambit_model::SpiffeId::as_str),
        destination: entry.destination,
        tunnel: entry.tunnel,
        service: ends.service.as_deref().map(|s| &*s.name.hostname),
        destination_workload: destination.map(|w| &*w.name),
        destination_namespace: destination.map(|w| &*w.namespace),
        destination_identity: ends
            .destination_id
            .as_ref()
            .map(ambit_model::SpiffeId::as_str),
        direction: match entry.reporter {
            Reporter::Source => "outbound",
            Reporter::Destination => "inbound",
        },
        bytes_sent: entry.sent,
        bytes_recv: entry.received,
        duration: format!("{}ms", entry.duration.as_millis()),
        reason: entry.refusal.map(|r| r.reason.word()),
        policy: entry
            .refusal
            .and_then(|r| r.policy.as_ref())
            .map(ToString::to_string),
        error: entry
            .error
            .or_else(|| entry.refusal.map(|r| r.detail.as_str())),
    }
}

#[cfg(test)]
mod tests;
