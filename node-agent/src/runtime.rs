//! The runtime of the host and the control role: one thread for everything that does not block, and
//! threads for files and commands that end soon after their last work.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How long an idle thread for blocking work stays. Less than the shortest pause between two
/// regular looks at files: these go round all idle threads and would keep each of them for ever.
const IDLE_THREAD: Duration = Duration::from_millis(500);

/// A runtime of one thread.
pub(crate) fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREAD)
        .build()
}
