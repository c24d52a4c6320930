//! What goes over a node's link, as a passer-by sees it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Access;
use crate::capture::{Capture, Captured};
use crate::wait::wait_for;

/// The link between nodes.
const LINK: &str = "eth0";
/// Until a packet that was sent is in the file.
const ARRIVE: Duration = Duration::from_secs(10);

/// A capture on a node.
#[derive(Debug)]
pub struct Wire {
    capture: Capture,
}

impl Wire {
    pub(super) fn tap(access: &Access, node: &str, dir: &Path, name: &str) -> Result<Self> {
        let tcpdump = access.node(node, "tcpdump")?;
        Ok(Self {
            capture: Capture::through(tcpdump, LINK, dir, name)?,
        })
    }

    /// What went over the link until a text did that was sent in the clear on purpose: proof that
    /// the capture sees plaintext where there is some, and that what was sent before is in it.
    pub fn until(&self, sent_last: &str) -> Result<Captured> {
        let what = format!("{sent_last:?} on the wire");
        wait_for(&what, ARRIVE, || {
            let seen = self.capture.so_far().ok()?;
            let there = seen.holding(sent_last.as_bytes()).next().is_some();
            there.then_some(seen)
        })
    }
}
