//! Carries rules, routes and settings into a pod's network namespace.
//!
//! A child process and a file below `/proc/sys/net` belong to the namespace of the *thread* that
//! starts or opens them, so each step runs on a thread that has entered the pod's namespace; the
//! role itself never leaves the node's.

mod programs;

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::NetNs;

use self::programs::{TIME, run};
use super::rules::{Duty, Loader, Program, Rules, Setting, Step};

/// How often handshakes are looked at.
const HANDSHAKE_LOOK: Duration = Duration::from_millis(20);
/// Iproute2's words for a rule that is there already.
const EXISTS: &str = "File exists";

/// A setting as it was before: path below `/proc/sys` and value.
pub(crate) type Former = (String, String);

/// Why a change of a namespace failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    /// The namespace could not be entered.
    #[error("cannot enter the pod's network namespace: {0}; the host role needs CAP_SYS_ADMIN")]
    Enter(#[source] io::Error),
    /// The program could not be started.
    #[error(
        "cannot run {program}: {source}; install iproute2, and nftables or iptables, beside the agent"
    )]
    Start {
        program: &'static str,
        source: io::Error,
    },
    /// The program said no.
    #[error("{command} failed in the pod's network namespace: {stderr}")]
    Command { command: String, stderr: String },
    /// The program did not end.
    #[error("{command} did not end within {TIME:?} and was killed")]
    TimedOut { command: String },
    /// A setting could not be made.
    #[error("cannot set {path} in the pod's network namespace: {source}")]
    Setting { path: String, source: io::Error },
}

/// Has a pod's rules do this. Whatever fails, the rest is tried too; answers with the first failure.
pub(crate) async fn load(
    netns: &Arc<NetNs>,
    rules: Rules,
    duty: &Duty,
) -> Result<(), FirewallError> {
    let mut result = Ok(());
    for loader in rules.loaders() {
        match load_by(netns, loader, duty).await {
            Err(error) if loader.ipv6_only && !speaks_ipv6(netns) => {
                tracing::debug!(%error, "no rules for IPv6, which the namespace does not speak");
            }
            done => result = result.and(done),
        }
    }
    result
}

async fn load_by(netns: &Arc<NetNs>, loader: &Loader, duty: &Duty) -> Result<(), FirewallError> {
    let found = match loader.look {
        Some(look) => run(netns, look, "").await?,
        None => String::new(),
    };
    let text = (loader.text)(duty, &found);
    if !text.is_empty() {
        run(netns, loader.load, &text).await?;
    }
    Ok(())
}

/// Takes all steps and returns the settings as they were before.
pub(crate) async fn take(netns: &Arc<NetNs>, steps: &[Step]) -> Result<Vec<Former>, FirewallError> {
    let mut before = Vec::new();
    for step in steps {
        match step {
            Step::Ip(arguments) => match run(netns, ip(arguments), "").await {
                Err(FirewallError::Command { stderr, .. }) if stderr.contains(EXISTS) => {}
                done => drop(done?),
            },
            Step::Sysctl(setting) => before.extend(set(netns, setting)?),
        }
    }
    Ok(before)
}

/// Takes all steps that can be taken; for undoing, where half is better than nothing.
pub(crate) async fn take_back(netns: &Arc<NetNs>, steps: &[Step], before: &[Former]) {
    for step in steps {
        let Step::Ip(arguments) = step else { continue };
        if let Err(error) = run(netns, ip(arguments), "").await {
            tracing::debug!(%error, "nothing to undo");
        }
    }
    for (path, value) in before.iter().rev() {
        if let Err(error) = write_setting(netns, path, value) {
            tracing::debug!(%error, "a setting stays as the capture made it");
        }
    }
}

/// Makes a setting and returns what it was, if that was something else.
pub(crate) fn set(netns: &NetNs, setting: &Setting) -> Result<Option<Former>, FirewallError> {
    let path = format!("/proc/sys/{}", setting.path);
    let before = match netns
        .run(|| fs::read_to_string(&path))
        .map_err(FirewallError::Enter)?
    {
        Ok(before) => before.trim().to_owned(),
        Err(error) if setting.optional => {
            tracing::debug!(setting = setting.path, %error, "the namespace lacks a setting");
            return Ok(None);
        }
        Err(source) => {
            return Err(FirewallError::Setting {
                path: setting.path.to_owned(),
                source,
            });
        }
    };
    let fits = before
        .parse::<u32>()
        .is_ok_and(|value| value == setting.value || (setting.at_least && value > setting.value));
    if fits {
        return Ok(None);
    }
    match write_setting(netns, setting.path, &setting.value.to_string()) {
        Err(error) if setting.optional => {
            tracing::debug!(%error, "an optional setting stays as it is");
            Ok(None)
        }
        done => done.map(|()| Some((setting.path.to_owned(), before))),
    }
}

/// Whether the namespace speaks IPv6.
pub(crate) fn speaks_ipv6(netns: &NetNs) -> bool {
    let read = || {
        ["all", "lo"].map(|interface| {
            fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"))
        })
    };
    netns.run(read).is_ok_and(|answers| {
        answers
            .iter()
            .all(|a| a.as_ref().is_ok_and(|a| a.trim() == "0"))
    })
}

/// Whether a TCP connection of the namespace is in the middle of its handshake.
///
/// The kernel writes a line for every connection of the pod, so they are read on another thread.
pub(crate) async fn has_half_open(netns: &Arc<NetNs>) -> io::Result<bool> {
    let look = || {
        ["tcp", "tcp6"].iter().any(|family| {
            let table = fs::read_to_string(format!("/proc/thread-self/net/{family}"));
            table.is_ok_and(|table| lists_half_open(&table))
        })
    };
    let netns = Arc::clone(netns);
    let looked = tokio::task::spawn_blocking(move || netns.run(look)).await;
    looked.map_err(io::Error::other)?
}

/// Waits, not for ever, until no TCP connection of the namespace is in its handshake.
pub(crate) async fn await_handshakes(netns: &Arc<NetNs>, limit: Duration) {
    let wait = async {
        while has_half_open(netns).await.unwrap_or(false) {
            tokio::time::sleep(HANDSHAKE_LOOK).await;
        }
    };
    if tokio::time::timeout(limit, wait).await.is_err() {
        tracing::debug!("a handshake of the pod did not end; it may be reset");
    }
}

/// Looks for SYN_SENT (02) and SYN_RECV (03) in the state column of a `/proc/net/tcp` table.
fn lists_half_open(table: &str) -> bool {
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(3))
        .any(|state| state == "02" || state == "03")
}

fn write_setting(netns: &NetNs, path: &str, value: &str) -> Result<(), FirewallError> {
    netns
        .run(|| fs::write(format!("/proc/sys/{path}"), value))
        .map_err(FirewallError::Enter)?
        .map_err(|source| FirewallError::Setting {
            path: path.to_owned(),
            source,
        })
}

fn ip(arguments: &'static str) -> Program {
    Program {
        name: "ip",
        arguments,
    }
}

#[cfg(test)]
mod tests;
