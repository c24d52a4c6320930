//! Resource limits of the calling process.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the number of open descriptors to the most that is allowed, and says what it is now.
///
/// A process with `CAP_SYS_RESOURCE` first asks for `wanted`.
///
/// # Errors
/// As `getrlimit` and `setrlimit`.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if wanted > hard && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Limits private writable memory; an allocation above it fails.
///
/// # Errors
/// As `setrlimit`.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?)
}

/// No core dump of this process, ever: it would hold keys.
///
/// # Errors
/// As `setrlimit`.
pub fn no_core_dumps() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Limits processes and threads of the user id that the process will have.
///
/// # Errors
/// As `setrlimit`.
pub fn limit_processes(count: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NPROC, count, count)?)
}

/// No locked memory and no message queues: both count against the user id, not the process.
///
/// # Errors
/// As `setrlimit`.
pub fn no_shared_resources() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0)?;
    Ok(setrlimit(Resource::RLIMIT_MSGQUEUE, 0, 0)?)
}

#[cfg(test)]
mod tests;
