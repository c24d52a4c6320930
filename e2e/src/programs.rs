//! Real servers in a pod, each with the least configuration that shows what it is used for.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clients::connect;
use crate::lab::address::Family;
use crate::lab::{Pod, Program};
use crate::shell;
use crate::wait::wait_until;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(30);

/// Starts nginx with these `server` blocks; `dir` gets its files and is where `root` may point.
pub fn nginx(pod: &Pod, dir: &Path, servers: &str, port: u16) -> Result<Program> {
    fs::create_dir_all(dir).context("making nginx's folder")?;
    let config = dir.join("nginx.conf");
    let here = dir.display();
    let text = format!(
        "daemon off;\nworker_processes 1;\npid {here}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000;\n  proxy_http_version 1.1;\n\
         \x20 client_body_temp_path {here}/body;\n  proxy_temp_path {here}/proxy;\n\
         \x20 fastcgi_temp_path {here}/fastcgi;\n  uwsgi_temp_path {here}/uwsgi;\n\
         \x20 scgi_temp_path {here}/scgi;\n{servers}\n}}\n"
    );
    fs::write(&config, text).context("writing nginx.conf")?;
    let program = pod.start("nginx", &["-c", &config.display().to_string()])?;
    await_listener(pod, port, program)
}

/// Starts redis without persistence.
pub fn redis(pod: &Pod, port: u16) -> Result<Program> {
    let listen = port.to_string();
    let args = [
        "--port",
        &listen,
        "--bind",
        "*",
        "-::*",
        "--protected-mode",
        "no",
    ];
    let volatile = ["--save", "", "--appendonly", "no", "--daemonize", "no"];
    let program = pod.start("redis-server", &[&args[..], &volatile[..]].concat())?;
    await_listener(pod, port, program)
}

/// Starts dnsmasq with these records; it writes every question into a log.
pub fn dnsmasq(pod: &Pod, log: &Path, records: &[String]) -> Result<Program> {
    let log = format!("--log-facility={}", log.display());
    let listen = format!("--listen-address={},{}", pod.v4, pod.v6);
    let fixed = [
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--no-poll",
        "--bind-interfaces",
    ];
    let more = [
        "--conf-file=/dev/null",
        "--pid-file",
        "--user=root",
        "--log-queries",
        &log,
        &listen,
    ];
    let records = records.iter().map(String::as_str);
    let args: Vec<&str> = fixed.into_iter().chain(more).chain(records).collect();
    let program = pod.start("dnsmasq", &args)?;
    await_listener(pod, 53, program)
}

/// Makes a database cluster in `dir` and starts PostgreSQL on it, trusting every client.
pub fn postgres(pod: &Pod, dir: &Path, port: u16) -> Result<Program> {
    let tools = postgres_tools()?;
    let data = dir.join("postgres");
    fs::create_dir_all(&data).context("making the database's folder")?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).context("closing the folder")?;
    let shown = data.display().to_string();
    shell::run("chown", &["postgres:", &shown])?;
    let initdb = tools.join("initdb").display().to_string();
    shell::run(
        "runuser",
        &[
            "-u",
            "postgres",
            "--",
            &initdb,
            "--no-sync",
            "-A",
            "trust",
            "-D",
            &shown,
        ],
    )?;
    let hosts = "host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n";
    fs::write(data.join("pg_hba.conf"), hosts).context("writing pg_hba.conf")?;
    let server = tools.join("postgres").display().to_string();
    let (port_arg, sockets) = (port.to_string(), format!("unix_socket_directories={shown}"));
    let program = pod.start(
        "runuser",
        &[
            "-u",
            "postgres",
            "--",
            &server,
            "-D",
            &shown,
            "-p",
            &port_arg,
            "-c",
            "fsync=off",
            "-c",
            "listen_addresses=*",
            "-c",
            &sockets,
        ],
    )?;
    await_listener(pod, port, program)
}

/// Starts Prometheus, which scrapes these targets every second, and answers on `port` of the pod's
/// loopback.
pub fn prometheus(pod: &Pod, dir: &Path, targets: &[SocketAddr], port: u16) -> Result<Program> {
    fs::create_dir_all(dir).context("making Prometheus's folder")?;
    let targets: Vec<String> = targets
        .iter()
        .map(|target| format!("\"{target}\""))
        .collect();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: mesh\n  \
         static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    );
    let file = dir.join("prometheus.yaml");
    fs::write(&file, config).context("writing prometheus.yaml")?;
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let args = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        format!("--web.listen-address={at}"),
    ];
    let program = pod.start("prometheus", &args.each_ref().map(String::as_str))?;
    await_listener_at(pod, at, program)
}

/// Starts Envoy on a configuration, and waits until it listens on `port`.
pub fn envoy(pod: &Pod, dir: &Path, config: &str, port: u16) -> Result<Program> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop/envoy");
    if !program.is_file() {
        anyhow::bail!(
            "{} is not there: run e2e/install-packages.sh --interop",
            program.display()
        );
    }
    let file = dir.join("envoy.yaml");
    fs::write(&file, config).context("writing envoy.yaml")?;
    let (program, file) = (program.display().to_string(), file.display().to_string());
    let args = [
        "-c",
        &file,
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "-l",
        "warning",
    ];
    let program = pod.start(&program, &args)?;
    await_listener_at(
        pod,
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
        program,
    )
}

/// Starts HAProxy on a configuration, and waits until it listens on `port`.
pub fn haproxy(pod: &Pod, dir: &Path, config: &str, port: u16) -> Result<Program> {
    let file = dir.join("haproxy.cfg");
    fs::write(&file, config).context("writing haproxy.cfg")?;
    let program = pod.start("haproxy", &["-db", "-f", &file.display().to_string()])?;
    await_listener(pod, port, program)
}

/// Starts a gRPC server of grpcio, which knows all kinds of calls.
pub fn grpc(pod: &Pod, port: u16) -> Result<Program> {
    let command = grpc_peer(pod, &["serve", &port.to_string()])?;
    let program = pod.start_command("grpc", command)?;
    await_listener(pod, port, program)
}

/// Calls that server in every way, from a pod.
pub fn call_grpc(pod: &Pod, target: &str) -> Result<String> {
    let mut command = grpc_peer(pod, &["call", target])?;
    shell::finish(&mut command, &format!("calls of gRPC to {target}"))
}

fn grpc_peer(pod: &Pod, args: &[&str]) -> Result<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = here.join("../target/interop/grpc");
    if !library.is_dir() {
        anyhow::bail!(
            "{} is not there: run e2e/install-packages.sh --interop",
            library.display()
        );
    }
    let mut command = pod.namespace().command("python3");
    command
        .arg(here.join("src/programs/grpc_peer.py"))
        .args(args);
    command.env("PYTHONPATH", library);
    Ok(command)
}

/// Where Debian keeps the server's programs: `/usr/lib/postgresql/VERSION/bin`.
fn postgres_tools() -> Result<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let mut tools: Vec<_> = installed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    tools.sort();
    Ok(tools
        .pop()
        .context("PostgreSQL is not installed")?
        .join("bin"))
}

fn await_listener(pod: &Pod, port: u16, program: Program) -> Result<Program> {
    await_listener_at(pod, SocketAddr::new(pod.ip(Family::V4), port), program)
}

fn await_listener_at(pod: &Pod, at: SocketAddr, mut program: Program) -> Result<Program> {
    let what = format!("a listener on {at} in pod {}", pod.name);
    let listening = wait_until(&what, START, || {
        !program.is_running() || connect(pod.namespace(), at).is_ok()
    });
    if !program.is_running() || listening.is_err() {
        anyhow::bail!(
            "no server on {at}: {}{}",
            program.errors(),
            program.output()
        );
    }
    Ok(program)
}
