//! Commands that cannot hang and cannot fill the memory: what the cluster is driven through.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::wait_for;

/// Time-out of a command that only asks or tells.
pub const USUAL: Duration = Duration::from_secs(60);
/// Most that is kept of each stream: a list of some thousand pods, or a build gone wrong.
const LONGEST: u64 = 64 << 20;

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
}

/// Runs a command, which must succeed, and answers its stdout.
pub fn run(command: Command, limit: Duration) -> Result<String> {
    succeed(command, &[], limit)
}

/// Runs a command, which must succeed, with `input` on its stdin.
pub fn succeed(command: Command, input: &[u8], limit: Duration) -> Result<String> {
    let what = shown(&command);
    let said = say(command, input, limit)?;
    if !said.status.success() {
        let (err, out) = (said.err.trim(), said.out.trim());
        bail!("`{what}` ended with {}: {err}{out}", said.status);
    }
    Ok(said.out)
}

/// Runs a command, however it ends.
pub fn say(mut command: Command, input: &[u8], limit: Duration) -> Result<Said> {
    let what = shown(&command);
    let mut child = command
        // Of its own, so that all that it starts can be ended with it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{what}`"))?;
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends without reading says itself what it missed.
            stdin.map(|mut stdin| stdin.write_all(input))
        });
        let out = scope.spawn(move || read(out));
        let err = scope.spawn(move || read(err));
        let ended = end_of(&mut child, &what, limit);
        let (out, err) = (
            out.join().unwrap_or_default(),
            err.join().unwrap_or_default(),
        );
        match ended {
            Ok(status) => Ok(Said { status, out, err }),
            Err(error) => Err(error.context(format!("it said: {}{}", err.trim(), out.trim()))),
        }
    })
}

/// Waits for the end, and enforces it.
fn end_of(child: &mut Child, what: &str, limit: Duration) -> Result<ExitStatus> {
    let ended = wait_for(&format!("`{what}`"), limit, || child.try_wait().transpose());
    if ended.is_err() {
        killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).ok();
        child.wait().ok();
    }
    ended?.with_context(|| format!("waiting for `{what}`"))
}

fn read(stream: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        // Half a stream is better than none, and the rest must not block the program.
        stream.by_ref().take(LONGEST).read_to_end(&mut kept).ok();
        io::copy(&mut stream, &mut io::sink()).ok();
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
