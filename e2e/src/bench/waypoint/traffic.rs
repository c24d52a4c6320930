//! What is asked of a proxy, and the server that answers. h2load asks: it speaks both versions.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::super::load::{BODY, Work};
use super::proxies::Proxy;
use super::rounds::Contender;
use crate::shell;

/// Port of HTTP/1.1, of the server and of proxies.
pub(super) const HTTP1: u16 = 8080;
/// Port of HTTP/2.
pub(super) const HTTP2: u16 = 9000;

const SMALL: usize = 1024;
const LARGE: usize = 1024 * 1024;
const METHOD: &str = "/bench.Echo/Unary";
/// Share of requests that others may answer badly: what they do is not ours to mend.
const OTHERS_FAIL: f64 = 1e-3;
const HEADERS: [&str; 2] = ["content-type: application/grpc", "te: trailers"];

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Traffic {
    /// HTTP/1.1 with keepalive, answers of 1 KiB.
    Http1,
    /// The same of 1 MiB.
    Http1Large,
    /// HTTP/2, answers of 1 KiB.
    Http2,
    /// The same of 1 MiB.
    Http2Large,
    /// Unary calls of gRPC, messages of 1 KiB both ways.
    Grpc,
}

/// Where a proxy is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    /// The address.
    pub(super) ip: IpAddr,
    /// The port for HTTP/1.1.
    pub(super) http1: u16,
    /// The port for HTTP/2.
    pub(super) http2: u16,
}

impl Traffic {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Http1,
        Self::Http1Large,
        Self::Http2,
        Self::Http2Large,
        Self::Grpc,
    ];

    /// For the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, 1 KiB",
            Self::Http1Large => "HTTP/1.1, 1 MiB",
            Self::Http2 => "HTTP/2, 1 KiB",
            Self::Http2Large => "HTTP/2, 1 MiB",
            Self::Grpc => "gRPC unary, 1 KiB",
        }
    }

    /// Keeps a proxy busy for so long.
    pub(super) fn run(self, proxy: &Contender<'_>, time: Duration) -> Result<Work> {
        let at = proxy.at;
        let (port, path) = match self {
            Self::Http1 => (at.http1, "/small"),
            Self::Http1Large => (at.http1, "/large"),
            Self::Http2 => (at.http2, "/small"),
            Self::Http2Large => (at.http2, "/large"),
            Self::Grpc => (at.http2, METHOD),
        };
        let mut command = proxy.from.command("h2load");
        command
            .arg("--threads=1")
            .arg(format!("--duration={}", time.as_secs().max(1)));
        match self {
            Self::Http1 => command.args(["--h1", "--clients=64"]),
            Self::Http1Large => command.args(["--h1", "--clients=8"]),
            Self::Http2 | Self::Grpc => command.args(["--clients=8", "-m8"]),
            Self::Http2Large => command.args(["--clients=4", "-m2"]),
        };
        if self == Self::Grpc {
            command.arg("--data").arg(proxy.files.join("grpc.bin"));
            command.args(HEADERS.map(|header| format!("--header={header}")));
        }
        command.args(
            proxy
                .headers
                .iter()
                .map(|header| format!("--header={header}")),
        );
        let url = format!("http://{}:{port}{path}", at.ip);
        let said = shell::finish(command.arg(&url), "h2load")?;
        let may_fail = match proxy.proxy {
            Proxy::Ambit => 0.0,
            _ => OTHERS_FAIL,
        };
        read(&said, may_fail).with_context(|| format!("{self:?} from {url}: h2load said:\n{said}"))
    }
}

/// `finished in 4.00s, …` and `requests: … N succeeded, 0 failed, …`. More than such a share of anything but
/// 2xx is an error.
fn read(said: &str, may_fail: f64) -> Result<Work> {
    let line = |start: &str| said.lines().find_map(|line| line.strip_prefix(start));
    let counted = |line: &str, what: &str| -> Option<f64> {
        let mut parts = line.split(", ");
        let part = parts.find_map(|part| part.trim().strip_suffix(what))?;
        part.trim().parse().ok()
    };
    let requests = line("requests: ").context("no number of requests")?;
    let [done, failed] = [" succeeded", " failed"].map(|what| counted(requests, what));
    let (done, failed) = (
        done.context("none succeeded")?,
        failed.context("no failures")?,
    );
    let good = line("status codes: ").and_then(|codes| counted(codes, " 2xx"));
    let bad = failed.max(done - good.unwrap_or_default());
    if bad > may_fail * done {
        bail!("not all were answered well");
    }
    let rate = line("finished in ").and_then(|line| counted(line, " req/s"));
    Ok(Work {
        done,
        seconds: done / rate.context("no rate")?,
    })
}

/// Writes what the server serves.
pub(super) fn write_files(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).context("making the server's folder")?;
    // A message of gRPC: a flag, four bytes of length, and the message.
    let message = [&[0, 0, 0, 4, 0], &[b'm'; SMALL][..]].concat();
    for (name, content) in [
        ("small", vec![b's'; SMALL]),
        ("large", vec![b'l'; LARGE]),
        ("grpc.bin", message),
    ] {
        fs::write(dir.join(name), content).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

/// The server, as nginx knows it.
pub(super) fn site(dir: &Path) -> String {
    let dir = dir.display();
    let site = |listen: &str| {
        // Files are not for POST: where one is asked for so, it is the answer all the same.
        format!(
            "server {{ listen {listen} backlog=4096; root {dir}; default_type text/plain; \
             sendfile on; tcp_nopush on;\n\
             location = / {{ return 200 \"{BODY}\"; }}\n\
             location = {METHOD} {{ error_page 405 =200 /grpc.bin; return 405; }}\n\
             location = /grpc.bin {{ default_type application/grpc; add_trailer grpc-status 0; }} \
             }}\n"
        )
    };
    let both = [site(&HTTP1.to_string()), site(&format!("{HTTP2} http2"))];
    format!(
        "open_file_cache max=10;\nhttp2_max_requests 1000000000;\nhttp2_recv_timeout 60s;\n{}",
        both.concat()
    )
}

#[cfg(test)]
mod tests;
