//! Running a program in a pod's network namespace, within bounds.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::NetNs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};

use super::FirewallError;
use crate::host::rules::Program;

/// How long one program may take; they need 20 ms, under heavy load a second.
pub(super) const TIME: Duration = Duration::from_secs(10);
/// How much a program may print about a pod's rules: the pod may have as many as it likes.
const MOST_PRINTED: u64 = 4 << 20;

/// Runs a program inside the namespace and returns what it printed.
pub(super) async fn run(
    netns: &Arc<NetNs>,
    program: Program,
    input: &str,
) -> Result<String, FirewallError> {
    let command = || format!("{} {}", program.name, program.arguments);
    let child = start(netns, program).await?;
    let stderr = match tokio::time::timeout(TIME, feed(child, input)).await {
        Ok(Ok(Output {
            success: true,
            stdout,
            ..
        })) => return Ok(stdout),
        Ok(Ok(Output { stderr, .. })) => stderr,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => return Err(FirewallError::TimedOut { command: command() }),
    };
    Err(FirewallError::Command {
        command: command(),
        stderr,
    })
}

/// Starts the program on a thread inside the namespace; its end is awaited outside.
async fn start(netns: &Arc<NetNs>, program: Program) -> Result<Child, FirewallError> {
    let netns = Arc::clone(netns);
    let runtime = tokio::runtime::Handle::current();
    let spawn = move || {
        let _entered = runtime.enter();
        Command::new(program.name)
            .args(program.arguments.split_ascii_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    let spawned = tokio::task::spawn_blocking(move || netns.run(spawn)).await;
    spawned
        .map_err(|error| FirewallError::Enter(io::Error::other(error)))?
        .map_err(FirewallError::Enter)?
        .map_err(|source| FirewallError::Start {
            program: program.name,
            source,
        })
}

/// How a program ended and what it said.
struct Output {
    success: bool,
    stdout: String,
    stderr: String,
}

async fn feed(mut child: Child, input: &str) -> io::Result<Output> {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that rejects its input may close the pipe early; its words matter more.
        if let Err(error) = stdin.write_all(input.as_bytes()).await {
            tracing::debug!(%error, "the program did not read all of its input");
        }
    }
    let stdout = match child.stdout.take() {
        Some(stdout) => printed(stdout).await?,
        None => String::new(),
    };
    let output = child.wait_with_output().await?;
    Ok(Output {
        success: output.status.success(),
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

async fn printed(stdout: ChildStdout) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut limited = stdout.take(MOST_PRINTED);
    limited.read_to_end(&mut bytes).await?;
    if limited.limit() == 0 {
        return Err(io::Error::other(format!(
            "it printed more than {MOST_PRINTED} bytes about the pod's rules"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
