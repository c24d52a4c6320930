//! At most two labs at a time in one process: scenarios measure time on small machines.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

const LABS: usize = 2;

static IN_USE: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to have a lab; given back on drop.
#[derive(Debug)]
pub(super) struct Permit(());

impl Permit {
    /// Waits for the right.
    pub(super) fn take() -> Self {
        let mut in_use = lock();
        while *in_use >= LABS {
            in_use = FREED.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        *in_use = in_use.saturating_add(1);
        Self(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut in_use = lock();
        *in_use = in_use.saturating_sub(1);
        FREED.notify_one();
    }
}

// A panicked holder leaves a plain number behind, which stays true.
fn lock() -> MutexGuard<'static, usize> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}
