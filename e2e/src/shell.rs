//! Running a short command to its end: what the lab uses `ip`, `nsenter` and `sysctl` through.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs `program` and returns what it printed; a failure says what it printed on stderr.
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    finish(Command::new(program).args(args), program)
}

/// Runs a command that is ready to go and returns its stdout.
pub fn finish(command: &mut Command, what: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| {
        format!("starting `{what}` (is it installed? see e2e/install-packages.sh)")
    })?;
    answer(&output, what)
}

/// Runs `program` with `input` on its stdin.
pub fn feed(program: &str, args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{program}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .with_context(|| format!("writing to `{program}`"))?;
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("waiting for `{program}`"))?;
    answer(&output, &format!("{program} {}", args.join(" ")))
}

fn answer(output: &Output, what: &str) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{what}` ended with {}: {}{}",
            output.status,
            stderr.trim(),
            stdout.trim()
        );
    }
    Ok(stdout)
}
