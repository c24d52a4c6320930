//! Two generations of the proxy at once: the old one drains, the new one serves, and what both
//! count is one set of numbers on the new one's `/metrics`.
//!
//! The host role gives each of the two an end of one socket. The old one tells what it counted:
//! everything in its first line, then what was added, until its last connection has ended
//! ([`tell`]). The new one adds that to its own ([`inherit`]), and serves its pages only after the
//! first line, so that no scraper sees a counter fall.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::ledger::{Delta, Ledger};

/// How often the old generation tells.
const EVERY: Duration = Duration::from_millis(250);
/// Longest line believed of an ancestor: some ten thousand series.
const LONGEST_LINE: u64 = 32 << 20;

/// Tells the heir what this generation counts, until `ended`, and once more then. Before each
/// time `book` brings the ledger up to date.
pub(crate) async fn tell<W>(
    mut heir: W,
    ledger: Ledger,
    book: impl Fn(),
    ended: CancellationToken,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut told = HashMap::new();
    loop {
        let last = ended.is_cancelled();
        book();
        let mut line = serde_json::to_vec(&ledger.deltas(&mut told))?;
        line.push(b'\n');
        heir.write_all(&line).await?;
        if last {
            return heir.shutdown().await;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = ended.cancelled() => {}
        }
    }
}

/// Adds what the ancestor counts to this generation's ledger; `first` is told after its first
/// line.
pub(crate) async fn inherit<R>(
    ancestor: R,
    ledger: Ledger,
    first: oneshot::Sender<()>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
{
    let mut first = Some(first);
    let mut lines = tokio::io::BufReader::new(ancestor);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(());
        }
        let deltas: Vec<Delta> = serde_json::from_slice(&line)?;
        ledger.add(&deltas);
        if let Some(first) = first.take() {
            // Nobody waits any more if the first line came late.
            first.send(()).ok();
        }
    }
}

#[cfg(test)]
mod tests;
