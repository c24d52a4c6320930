//! The life of the host role: take over or restore, serve, make way or stop.

use std::fs::{DirBuilder, File, OpenOptions};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::signals::StopSignals;
use ambit_netsys::{NetNs, limits};
use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::args::HostArgs;
use super::handover::{self, Phase};
use super::kept::{self, KeptPods};
use super::resolvers::Resolvers;
use super::rules::Rules;
use super::state::{Host, Parts};
use super::{
    addresses, agent_socket, cni_config, cni_list, control, filters, firewall, leave, listeners,
    older, proxies, reconcile, resolvers, restore, vanished, watch as listener_watch,
};

/// Open files: every connection of a proxy is none of ours, but pods have six listeners each and
/// sockets travel in batches.
const OPEN_FILES: u64 = 65_536;
/// How long a former role may hold the lock after it said that it makes way, or was killed.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// How often the lock is tried.
const LOCK_TRY: Duration = Duration::from_millis(20);
/// How long page sockets may still be held by the proxies of a killed role.
const PAGES_TIME: Duration = Duration::from_secs(5);
/// How long tasks may take to end.
const END_TIME: Duration = Duration::from_secs(5);

/// The two sockets of the role and the lock that makes them its own.
#[derive(Debug)]
struct Sockets {
    agent: UnixListener,
    handover: UnixListener,
    lock: Flock<File>,
}

/// Runs the host role until it is told to stop or a successor has taken over.
pub fn run(args: &HostArgs) -> anyhow::Result<()> {
    let _logs = ambit_kit::logs::init(args.log_json, &args.log_level)?;
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "the host role enters network namespaces and must run as root"
    );
    let runtime = crate::runtime::one_thread().context("the runtime cannot start")?;
    runtime.block_on(serve(args))
}

async fn serve(args: &HostArgs) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen().context("signals cannot be handled")?;
    let files = limits::raise_open_files(OPEN_FILES).context("limit of open files")?;
    let resolvers = Resolvers::of_node(&args.dns_upstreams);
    let dns = captured(args, &resolvers);
    let chosen = filters::choose(args.firewall, !dns.is_empty()).await;
    let rules = chosen.context("--firewall")?;
    let host = set_up(args, rules, &resolvers, dns)?;
    tracing::info!(files, node_ips = ?host.node_ips(), "the host role starts");
    let begun = handover::begin(&host, &args.run_dir.join("handover.sock")).await?;
    let held = match begun {
        Some(takeover) => {
            start(&host);
            tokio::select! {
                concluded = takeover.conclude(&host) => concluded?,
                signal = signals.asked() => anyhow::bail!("{signal} while taking over"),
            }
            None
        }
        None => {
            // Without a role to take over from, nobody else may touch this node's pods.
            let lock = lock(&args.run_dir).await?;
            // One that was leaving the node may have removed the folders while we waited for it.
            KeptPods::open(&args.state_dir)?;
            open_pages(&host).await?;
            restore::restore(&host).await;
            start(&host);
            let of_task = Arc::clone(&host);
            let rules = async move { restore::load_rules_again(&of_task).await };
            host.tasks.spawn("rules", rules);
            Some(lock)
        }
    };
    let lock = match held {
        Some(lock) => lock,
        None => lock(&args.run_dir).await?,
    };
    let sockets = Sockets {
        agent: agent_socket::bind(&args.run_dir.join("agent.sock")).context("agent.sock")?,
        handover: agent_socket::bind(&args.run_dir.join("handover.sock"))
            .context("handover.sock")?,
        lock,
    };
    let unsucceeded = serve_until_over(&host, sockets, &mut signals).await;
    let leaves = unsucceeded.filter(|_lock| host.departure.asked.is_cancelled());
    let mut concluded = Ok(());
    if leaves.is_some() {
        let hurry = async {
            let signal = signals.asked().await;
            tracing::info!(signal, "asked to stop again: open connections are cut");
        };
        concluded = leave::conclude(&host, hurry).await;
        if let Err(error) = &concluded {
            tracing::error!(%error, "the mesh has not left the node as it should");
        }
    }
    tracing::info!("the host role ends");
    let finished = host.tasks.finish(END_TIME).await;
    // What the next agent needs to remove rules that are left stays with them.
    concluded?;
    if leaves.is_some() {
        let swept = leave::sweep(&[&args.state_dir, &args.run_dir]).await;
        swept.context("files of the mesh are left on the node")?;
    }
    finished.context("the host role ends with tasks still running")
}

/// The resolvers questions to which are redirected: none where nobody could be asked in their place.
fn captured(args: &HostArgs, resolvers: &Resolvers) -> Vec<IpAddr> {
    if !args.dns_capture {
        return Vec::new();
    }
    if resolvers.captured.is_empty() {
        tracing::warn!(
            "--dns-capture is without effect, questions of pods are left alone: {} names no resolver that \
             pods can reach; give --dns-upstream, or in a cluster dnsPolicy ClusterFirstWithHostNet",
            resolvers::FILE
        );
    } else {
        tracing::info!(resolvers = ?resolvers.captured, "questions of pods to these resolvers are redirected");
    }
    resolvers.captured.clone()
}

/// Puts the role together; nothing runs yet.
fn set_up(
    args: &HostArgs,
    rules: Rules,
    resolvers: &Resolvers,
    dns: Vec<IpAddr>,
) -> anyhow::Result<Arc<Host>> {
    make_run_dir(&args.run_dir).context("--run-dir")?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(&args.state_dir)
        .with_context(|| format!("cannot make --state-dir {}", args.state_dir.display()))?;
    let node = NetNs::current().context("the node's network namespace")?;
    let node_ips = addresses::of_node(&args.node_ips);
    let host = Host::new(Parts {
        children: Box::new(args.roles(&node_ips, &resolvers.asked)),
        node,
        node_ips,
        rules,
        limits: args.limits(),
        dns,
        kept: KeptPods::open(&args.state_dir)?,
        cni: args.cni(),
    });
    if let Ok(host) = &host
        && let Some(cni) = &host.cni
        && let Some(namespaces) = cni_list::read(&cni.list)
    {
        host.roster.remember(namespaces);
    }
    host.context("the thread that makes sockets")
}

/// Makes the folder of the sockets, which root alone may enter.
fn make_run_dir(run_dir: &Path) -> anyhow::Result<()> {
    if let Some(parent) = run_dir.parent() {
        DirBuilder::new().recursive(true).create(parent)?;
    }
    Ok(kept::private_folder(run_dir)?)
}

/// Opens the page sockets, which the proxies of a killed role may hold for a moment more.
async fn open_pages(host: &Host) -> anyhow::Result<()> {
    let addresses = listeners::page_addresses(firewall::speaks_ipv6(&host.node));
    let open = async {
        loop {
            match listeners::open(&host.node, &addresses) {
                Err(error) if error.is_taken() => tokio::time::sleep(LOCK_TRY).await,
                done => return done,
            }
        }
    };
    let opened = match tokio::time::timeout(PAGES_TIME, open).await {
        Ok(opened) => opened,
        Err(_elapsed) => listeners::open(&host.node, &addresses),
    };
    *host.pages.lock() = opened.context("ports 15000, 15020 and 15021 of the node")?;
    Ok(())
}

/// Starts everything that runs for the whole life of the role.
fn start(host: &Arc<Host>) {
    host.tasks
        .spawn("control", control::supervise(Arc::clone(host)));
    host.tasks
        .spawn("proxies", proxies::keep_one(Arc::clone(host)));
    host.tasks
        .spawn("reconcile", reconcile::run(Arc::clone(host)));
    host.tasks.spawn("older", older::run(Arc::clone(host)));
    host.tasks
        .spawn("addresses", addresses::follow(Arc::clone(host)));
    let keeping = host.retired.child_token();
    let mut keepers = Vec::new();
    if let Some(cni) = &host.cni {
        let known = host.roster.namespaces();
        let list = cni_list::keep_written(cni.list.clone(), known, keeping.clone());
        keepers.push(host.tasks.spawn("namespace list", list));
        let kept = cni_config::keep_installed(cni.keeper.clone(), keeping.clone());
        keepers.push(host.tasks.spawn("CNI configuration", kept));
    }
    let leaving = leave::run(Arc::clone(host), keeping, keepers);
    host.tasks.spawn("leave", leaving);
    let (retired, watching) = (host.retired.clone(), Arc::clone(host));
    host.tasks.spawn("watch", async move {
        tokio::select! {
            () = vanished::watch(Arc::clone(&watching)) => {}
            () = listener_watch::watch(watching) => {}
            () = retired.cancelled() => {}
        }
    });
}

/// Makes the node's pods this process' own; another role in the same folder must be gone first.
async fn lock(run_dir: &Path) -> anyhow::Result<Flock<File>> {
    let path = run_dir.join("host.lock");
    let open = || {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
    };
    let mut file = open().with_context(|| format!("cannot open {}", path.display()))?;
    let try_lock = async {
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return lock,
                Err((again, _held)) => file = again,
            }
            tokio::time::sleep(LOCK_TRY).await;
        }
    };
    tokio::time::timeout(LOCK_TIME, try_lock)
        .await
        .with_context(|| {
            format!(
                "another host role holds {} and hands nothing over: stop it first",
                path.display()
            )
        })
}

/// Serves until stopped without a successor, which gives back the lock, or until the last connection
/// after a handover.
async fn serve_until_over(
    host: &Arc<Host>,
    sockets: Sockets,
    signals: &mut StopSignals,
) -> Option<Flock<File>> {
    let Sockets {
        agent,
        handover,
        lock,
    } = sockets;
    let requests = host
        .tasks
        .spawn("agent.sock", agent_socket::serve(Arc::clone(host), agent));
    host.tasks
        .spawn("SIGUSR2", replace_on_signal(Arc::clone(host)));
    let (phase, watched) = watch::channel(Phase::Idle);
    let mut stopping = false;
    let offer = handover::offer(host, &handover, &phase);
    let patience = no_successor(host, watched, signals, &mut stopping);
    let successor = tokio::select! {
        frames = offer => frames,
        () = patience => return Some(lock),
    };
    requests.abort();
    drop((lock, handover));
    drain(host, signals, stopping).await;
    // Its end tells the successor that this role holds no connection any more.
    drop(successor);
    None
}

/// Resolves when the role was told to stop and nobody has begun to take over in time.
async fn no_successor(
    host: &Host,
    mut phase: watch::Receiver<Phase>,
    signals: &mut StopSignals,
    stopping: &mut bool,
) {
    let signal = signals.asked().await;
    *stopping = true;
    let patience = if host.departure.asked.is_cancelled() {
        Duration::ZERO
    } else {
        host.limits.handover_wait
    };
    tracing::info!(signal, ?patience, "asked to stop; waiting for a successor");
    tokio::time::sleep(patience).await;
    // A handover that has begun ends by itself, one way or the other.
    if phase.wait_for(|phase| *phase == Phase::Idle).await.is_err() {
        tracing::debug!("the handover is over");
    }
}

/// Waits for the last connections of the proxies after a handover.
async fn drain(host: &Arc<Host>, signals: &mut StopSignals, stopping: bool) {
    let none_left = || host.generations.lock().is_empty();
    if !stopping {
        tokio::select! {
            _ = host.wait_until(host.limits.drain_time, none_left) => return,
            signal = signals.asked() => tracing::info!(signal, "asked to stop while draining"),
        }
    }
    if !host.wait_until(host.limits.stop_time, none_left).await {
        tracing::warn!("connections of this host role's proxies are cut");
    }
}

/// SIGUSR2 asks for a new generation of the proxy.
async fn replace_on_signal(host: Arc<Host>) {
    let Ok(mut asked) = signal(SignalKind::user_defined2()) else {
        return tracing::error!("SIGUSR2 cannot be handled");
    };
    loop {
        tokio::select! {
            Some(()) = asked.recv() => host.replacement.notify_one(),
            () = host.retired.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests;
