//! A live capture of what goes over a link, and what can be said of it afterwards.
//!
//! tcpdump writes the file; reading it is ours (`packets`), so that a scenario can look for an
//! application's bytes in every payload and for TLS records on a port.

mod packets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

pub use self::packets::{Packet, Protocol};
use crate::lab::{Namespace, Program};
use crate::wait::wait_until;

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);
/// A file that has not grown for so long holds all that went over the link.
const QUIET: Duration = Duration::from_millis(200);

/// Written packet by packet and as root: the file is read while the capture goes on.
const OPTIONS: [&str; 9] = [
    "-U",
    "--immediate-mode",
    "-n",
    "-s",
    "0",
    "-B",
    "16384",
    "-Z",
    "root",
];

/// A capture that goes on.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Program,
    file: PathBuf,
}

/// What a capture saw.
#[derive(Debug)]
pub struct Captured {
    packets: Vec<Packet>,
}

impl Capture {
    /// Starts to capture on a link of `namespace` ("any" for all), into a file in `dir`.
    /// Answers once the capture listens, so that nothing sent from now on is missed.
    pub fn start(namespace: &Namespace, link: &str, dir: &Path, name: &str) -> Result<Self> {
        let file = dir.join(format!("{name}.pcap"));
        let mut command = namespace.enter("tcpdump");
        command.args(OPTIONS).args(["-i", link, "-w"]).arg(&file);
        let tcpdump = Program::start(&format!("{name}-tcpdump"), command, dir)?;
        Self::once_listening(tcpdump, file)
    }

    /// Like [`Self::start`], where `tcpdump` is a command that runs it somewhere else: what it
    /// captures comes back over its stdout. `name` must not have been used in `dir` before.
    pub fn through(mut tcpdump: Command, link: &str, dir: &Path, name: &str) -> Result<Self> {
        tcpdump.args(OPTIONS).args(["-i", link, "-w", "-"]);
        let tcpdump = Program::start(&format!("{name}-tcpdump"), tcpdump, dir)?;
        let file = tcpdump.output_file().to_owned();
        Self::once_listening(tcpdump, file)
    }

    fn once_listening(tcpdump: Program, file: PathBuf) -> Result<Self> {
        wait_until("tcpdump to listen", START, || {
            tcpdump.errors().contains("listening on")
        })?;
        Ok(Self { tcpdump, file })
    }

    /// What it saw so far.
    pub fn so_far(&self) -> Result<Captured> {
        let bytes =
            fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        Ok(Captured {
            packets: packets::parse(&bytes)?,
        })
    }

    /// Ends it and answers what it saw.
    pub fn stop(mut self) -> Result<Captured> {
        // tcpdump drops what the kernel still holds when it is told to end: let it catch up.
        let mut last = (0, Instant::now());
        let quiet = || {
            let length = fs::metadata(&self.file).map_or(0, |file| file.len());
            if length != last.0 {
                last = (length, Instant::now());
            }
            last.1.elapsed() >= QUIET
        };
        wait_until("the captured link to fall silent", STOP, quiet)?;
        // The group, because tcpdump may have been started through another program.
        self.tcpdump.signal_group(Signal::SIGINT)?;
        self.tcpdump.wait(STOP)?;
        self.so_far()
    }
}

impl Captured {
    /// All IP packets, in order.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// Packets whose TCP or UDP payload holds `marker`.
    pub fn holding<'a>(&'a self, marker: &'a [u8]) -> impl Iterator<Item = &'a Packet> {
        self.packets
            .iter()
            .filter(move |packet| holds(&packet.payload, marker))
    }

    /// Payload bytes to or from a TCP port.
    pub fn tcp_bytes(&self, port: u16) -> usize {
        self.on_port(port).map(|packet| packet.payload.len()).sum()
    }

    /// TCP packets to or from a port.
    pub fn on_port(&self, port: u16) -> impl Iterator<Item = &Packet> {
        self.packets.iter().filter(move |packet| {
            packet.protocol == Protocol::Tcp && packet.ports().contains(&port)
        })
    }

    /// The version each TLS server hello on a port selected.
    pub fn tls_versions(&self, port: u16) -> Vec<u16> {
        self.on_port(port)
            .filter_map(|packet| packets::server_hello_version(&packet.payload))
            .collect()
    }

    /// TCP ports that carried payload, with how many bytes: the lower port of each packet, which
    /// is the server's in every scenario.
    pub fn bytes_by_port(&self) -> Vec<(u16, usize)> {
        let mut ports: Vec<(u16, usize)> = Vec::new();
        let carried =
            |packet: &&Packet| packet.protocol == Protocol::Tcp && !packet.payload.is_empty();
        for packet in self.packets.iter().filter(carried) {
            let port = packet.source.port().min(packet.destination.port());
            match ports.iter_mut().find(|(known, _)| *known == port) {
                Some((_, bytes)) => *bytes = bytes.saturating_add(packet.payload.len()),
                None => ports.push((port, packet.payload.len())),
            }
        }
        ports.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        ports
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len().max(1))
        .any(|window| window == needle)
}
