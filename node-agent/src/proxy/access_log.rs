//! The access log: one line for each connection, at its end, and for each refusal.

use ambit_telemetry::{Connection, LineWriter};

use super::ledger::{Family, Ledger};

/// Where connections are written down.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: LineWriter,
    ledger: Ledger,
}

impl AccessLog {
    /// Starts the writing thread; it ends when the last clone of the log is dropped.
    pub(crate) fn start(ledger: Ledger) -> std::io::Result<Self> {
        Ok(Self {
            lines: LineWriter::start()?,
            ledger,
        })
    }

    /// Writes one connection down, or counts that there was no room.
    pub(crate) fn write(&self, connection: &Connection<'_>) {
        if !self.lines.write(connection.to_line()) {
            self.ledger.count(Family::LogDrops, &[]);
        }
    }

    /// Waits, not for long, until what has been written down is out.
    pub(crate) fn flush(&self) {
        self.lines.flush();
    }
}
