//! What this process uses, as metrics under the names that every exporter gives them.
//!
//! Read from `/proc/self` when asked for; where there is no `/proc`, as in the proxy's empty root,
//! the metrics are left out.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Field of `/proc/self/stat` after the command's name that holds user time; system time follows
/// (proc_pid_stat(5), fields 14 and 15, counted from field 3).
const USER_TIME: usize = 11;

/// Memory, processor time and descriptors of this process.
#[derive(Debug)]
pub struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let metric = ConstGauge::new(bytes);
            let help = "Resident memory.";
            metric.encode(encoder.encode_descriptor(
                "process_resident_memory_bytes",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let metric = ConstCounter::new(seconds);
            let help = "User and system time.";
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        if let Some(open) = open_descriptors() {
            let metric = ConstGauge::new(open);
            let help = "Open file descriptors.";
            metric.encode(encoder.encode_descriptor(
                "process_open_fds",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// Resident memory of this process.
pub fn resident_bytes() -> Option<i64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(page)
}

/// User and system time of this process.
pub fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name is in parentheses and may hold anything, parentheses too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(USER_TIME);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    let ticks = u32::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some((f64::from(user) + f64::from(system)) / f64::from(ticks))
}

/// Open file descriptors of this process.
pub fn open_descriptors() -> Option<i64> {
    // One of them is that of the listing itself.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    i64::try_from(open).ok()
}

#[cfg(test)]
mod tests;
