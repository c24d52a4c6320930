//! Carries rules, routes and settings into a pod's network namespace.
//!
//! A child process and a file below `/proc/sys/net` belong to the namespace of the *thread* that
//! starts or opens them, so each step runs on a thread that has entered the pod's namespace; the
//! role itself never leaves the node's. Every packet filter change is one transaction.

use std::fs;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::NetNs;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::rules::{Rules, Setting, Step};

/// How long one `nft` or `ip` may take; they need 20 ms, under heavy load a second.
const COMMAND_TIME: Duration = Duration::from_secs(10);
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
    #[error("cannot run {program}: {source}; install nftables and iproute2 beside the agent")]
    Start {
        program: &'static str,
        source: io::Error,
    },
    /// The program said no.
    #[error("{command} failed in the pod's network namespace: {stderr}")]
    Command { command: String, stderr: String },
    /// The program did not end.
    #[error("{command} did not end within {COMMAND_TIME:?} and was killed")]
    TimedOut { command: String },
    /// A setting could not be made.
    #[error("cannot set {path} in the pod's network namespace: {source}")]
    Setting { path: String, source: io::Error },
}

/// Loads a text of the packet filter.
pub(crate) async fn load(
    netns: &Arc<NetNs>,
    rules: Rules,
    text: &str,
) -> Result<(), FirewallError> {
    let (program, arguments) = rules.command();
    run(netns, program, arguments, text).await
}

/// Takes all steps and returns the settings as they were before.
pub(crate) async fn take(netns: &Arc<NetNs>, steps: &[Step]) -> Result<Vec<Former>, FirewallError> {
    let mut before = Vec::new();
    for step in steps {
        match step {
            Step::Ip(arguments) => match run(netns, "ip", arguments, "").await {
                Err(FirewallError::Command { stderr, .. }) if stderr.contains(EXISTS) => {}
                done => done?,
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
        if let Err(error) = run(netns, "ip", arguments, "").await {
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
pub(crate) fn has_half_open(netns: &NetNs) -> io::Result<bool> {
    netns.run(|| {
        ["tcp", "tcp6"].iter().any(|family| {
            let table = fs::read_to_string(format!("/proc/thread-self/net/{family}"));
            table.is_ok_and(|table| lists_half_open(&table))
        })
    })
}

/// Waits, not for ever, until no TCP connection of the namespace is in its handshake.
pub(crate) async fn await_handshakes(netns: &NetNs, limit: Duration) {
    let wait = async {
        while has_half_open(netns).unwrap_or(false) {
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

async fn run(
    netns: &Arc<NetNs>,
    program: &'static str,
    arguments: &'static str,
    input: &str,
) -> Result<(), FirewallError> {
    let command = || format!("{program} {arguments}");
    let child = start(netns, program, arguments).await?;
    let stderr = match tokio::time::timeout(COMMAND_TIME, feed(child, input)).await {
        Ok(Ok((true, _))) => return Ok(()),
        Ok(Ok((false, stderr))) => stderr,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => return Err(FirewallError::TimedOut { command: command() }),
    };
    Err(FirewallError::Command {
        command: command(),
        stderr,
    })
}

/// Starts the program on a thread inside the namespace; its end is awaited outside.
async fn start(
    netns: &Arc<NetNs>,
    program: &'static str,
    arguments: &'static str,
) -> Result<Child, FirewallError> {
    let netns = Arc::clone(netns);
    let runtime = tokio::runtime::Handle::current();
    let spawn = move || {
        let _entered = runtime.enter();
        Command::new(program)
            .args(arguments.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    let spawned = tokio::task::spawn_blocking(move || netns.run(spawn)).await;
    spawned
        .map_err(|error| FirewallError::Enter(io::Error::other(error)))?
        .map_err(FirewallError::Enter)?
        .map_err(|source| FirewallError::Start { program, source })
}

async fn feed(mut child: Child, input: &str) -> io::Result<(bool, String)> {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that rejects its input may close the pipe early; its words matter more.
        if let Err(error) = stdin.write_all(input.as_bytes()).await {
            tracing::debug!(%error, "the program did not read all of its input");
        }
    }
    let output = child.wait_with_output().await?;
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((output.status.success(), stderr))
}

#[cfg(test)]
mod tests;
