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

/// Lets the allocator keep up to `kept` freed bytes at a time instead of giving them back to the
/// kernel at once: memory that comes back fresh costs a page fault for every 4 KiB, which in a
/// process that moves bulk data is more than the encryption. `false` if the allocator refuses.
#[cfg(target_env = "gnu")]
pub fn keep_freed_memory(kept: i32) -> bool {
    // Blocks from this size on are mapped and unmapped one by one; none on the data path is.
    const MAPPED: i32 = 4 << 20;
    // SAFETY: mallopt takes plain numbers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept) == 1
            && libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED) == 1
    }
}

/// As above; other C libraries decide for themselves.
#[cfg(not(target_env = "gnu"))]
pub fn keep_freed_memory(_kept: i32) -> bool {
    false
}

/// Has the allocator give back to the kernel what was freed and lies in whole pages; `false` if this
/// one cannot be asked. It takes a while where there is much.
#[cfg(target_env = "gnu")]
pub fn give_back_freed_memory() -> bool {
    // SAFETY: malloc_trim takes a plain number, may be called at any time, and frees nothing that is
    // in use.
    unsafe { libc::malloc_trim(0) };
    true
}

/// As above; other C libraries decide for themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_freed_memory() -> bool {
    false
}

#[cfg(test)]
mod tests;
