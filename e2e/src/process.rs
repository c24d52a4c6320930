//! What the kernel says about a running process.

use std::fs;

/// The processes that this one has started, directly or through others.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(listed) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut direct: Vec<i32> = pids.filter(|other| parent(*other) == Some(pid)).collect();
    direct.sort_unstable();
    let deeper: Vec<i32> = direct.iter().flat_map(|child| children(*child)).collect();
    direct.extend(deeper);
    direct
}

/// True once no thread of the process runs: it was stopped, and the signal has reached them all.
pub fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    let mut ids = threads.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ids.all(|thread| stat(&format!("{pid}/task/{thread}"), 0).as_deref() == Some("T"))
}

/// Resident memory in KiB; none if the process has ended.
pub fn resident_kib(pid: i32) -> Option<u64> {
    status_kib(pid, "VmRSS:")
}

/// The most resident memory that it has had, in KiB.
pub fn peak_kib(pid: i32) -> Option<u64> {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: i32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn parent(pid: i32) -> Option<i32> {
    stat(&pid.to_string(), 1)?.parse().ok()
}

/// A field of the `stat` of a process or thread, counted from its state, which is 0.
fn stat(of: &str, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
    // The program's name, in brackets, may hold anything.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(field).map(str::to_owned)
}
