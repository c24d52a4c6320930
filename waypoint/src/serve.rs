//! The program: everything is made and started here, and ends here.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ambit_decide::Reason;
use ambit_identity::outside::OutsideRoots;
use ambit_kit::metrics::Registry;
use ambit_kit::signals::StopSignals;
use ambit_kit::tasks::Tasks;
use ambit_logformat::Redaction;
use ambit_model::{SpiffeId, TrustDomain};
use ambit_telemetry::Telemetry;
use ambit_tunnel::Settings;
use ambit_uplink::{Access, Discovery, Target, Want, node_of, trust};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::args::Args;
use crate::callers::Callers;
use crate::clusters::Clusters;
use crate::drain::{Drain, Step};
use crate::follow::{self, Follower, Kind};
use crate::gauges::{Away, Gauges};
use crate::identity::Identity;
use crate::outside::asked::Hosts;
use crate::outside::names::{self, Asker, Counts, Names, System};
use crate::outside::tls::Originator;
use crate::pages::{self, Own, Pages};
use crate::plain;
use crate::pressure::{self, Pressure};
use crate::proxy::{Bounds, Proxy};
use crate::review::Review;
use crate::room::Room;
use crate::telling::Tellings;
use crate::traces::Traces;
use crate::upstream::link::Linker;
use crate::upstream::pool::HttpPools;
use crate::verdicts::Verdicts;
use crate::view::View;

/// Resources that may wait to be taken in.
const EVENTS: usize = 16;
/// Callers that may wait to be asked for.
const WANTS: usize = 1024;
/// How long new connections are still taken after the first signal: until agents know that this
/// waypoint is about to go.
const LINGER: Duration = Duration::from_secs(3);
/// How long tasks may take to go when they are cut.
const LAST: Duration = Duration::from_secs(1);
/// How often addresses that no longer call are looked for.
const FORGET: Duration = Duration::from_secs(60);

/// Runs the waypoint until it is asked to stop.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let _logs = ambit_kit::logs::init(args.log_json, &args.log_level)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if args.threads > 0 {
        runtime.worker_threads(args.threads);
    }
    let runtime = runtime
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let telemetry = Telemetry::start(ambit_telemetry::Settings {
        reporter: args.reporter,
        log_queries: args.log_queries.then_some(without_secrets),
    })
    .context("the access log cannot start")?;
    let telemetry = Arc::new(telemetry);
    let served = runtime.block_on(serve(args, &telemetry));
    // What was still open is written down when its task is dropped.
    runtime.shutdown_timeout(LAST);
    telemetry.flush();
    served
}

/// A path whose query has what is usual for secrets masked.
fn without_secrets(path: &[u8]) -> Vec<u8> {
    static USUAL: LazyLock<Redaction> = LazyLock::new(Redaction::default);
    USUAL.address(path)
}

async fn serve(args: &Args, telemetry: &Arc<Telemetry>) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen().context("signals cannot be handled")?;
    let access = Access::open(Target {
        address: args.control_plane.clone(),
        server_name: args.server_name.clone(),
        cluster: args.cluster.clone(),
        token_file: args.token_file.clone(),
        root_file: args.root_cert.clone(),
    })
    .context("the waypoint cannot reach a control plane")?;
    let listener = bind(args.listen).await?;
    let (tasks, connections) = (Tasks::new(), Tasks::new());
    let shared = Shared {
        tasks: tasks.clone(),
        connections: connections.clone(),
        telemetry: Arc::clone(telemetry),
    };
    let (proxy, mut told) = start(args, access, shared).await?;
    tokio::select! {
        told = told.wait_for(|complete| *complete) => drop(told),
        signal = signals.asked() => {
            tracing::info!(signal, "stopped before the first state was complete");
            return Ok(());
        }
    }
    tracing::info!(listen = %args.listen, "serving");
    let settings = Settings::default();
    drop(tasks.spawn(
        "listener",
        accept::listen(Arc::clone(&proxy), listener, settings),
    ));
    for plain in &args.plain {
        let listener = bind(plain.at).await?;
        let listening = plain::listen(Arc::clone(&proxy), listener, plain.destination);
        drop(tasks.spawn("plain listener", listening));
    }
    let signal = signals.asked().await;
    tracing::info!(signal, "stopping: open requests may end");
    leave(&proxy, &connections, args.drain_time).await;
    proxy.over.cancel();
    Ok(())
}

/// The way out, step by step.
async fn leave(proxy: &Proxy, connections: &Tasks, drain_time: Duration) {
    proxy.drain.go_on(Step::Leaving);
    tokio::time::sleep(LINGER).await;
    proxy.drain.go_on(Step::Draining);
    proxy.own.stop();
    let (first, rest) = (drain_time / 2, drain_time - drain_time / 2);
    if connections.finish(first).await.is_ok() {
        return;
    }
    proxy.drain.go_on(Step::Closing);
    if let Err(left) = connections.finish(rest).await {
        let running = connections.running();
        tracing::warn!(reason = %Reason::Draining, ?running, "stopped with work left: {left}");
    }
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// What there is before anything is known.
struct Shared {
    tasks: Tasks,
    connections: Tasks,
    telemetry: Arc<Telemetry>,
}

/// Makes what connections share, starts what keeps it up to date, and shows the pages.
async fn start(
    args: &Args,
    access: Arc<Access>,
    shared: Shared,
) -> anyhow::Result<(Arc<Proxy>, watch::Receiver<bool>)> {
    let tasks = shared.tasks.clone();
    let (complete, is_complete) = watch::channel(false);
    let identity = Identity::new();
    let linker = Linker::new(identity.clone(), &args.pod_uid).beginning(originator(args)?);
    let shown = pages::Shown {
        registry: Registry::new(),
        telemetry: shared.telemetry,
        linker: linker.clone(),
        identity: identity.clone(),
        complete: is_complete.clone(),
        drain: Arc::new(Drain::new()),
    };
    let pages = Pages::new(&shown);
    let mut view = View::new(args.own_service(), args.pod_ip);
    view.unread.hold_everywhere(&args.root_namespaces);
    let (views, seen) = watch::channel(Arc::new(view.clone()));
    let (wants, wanted) = mpsc::channel(WANTS);
    let (verdicts, found) = Verdicts::new();
    let bounds = Bounds {
        connections: args.max_connections,
        ..Bounds::default()
    };
    let proxy = Arc::new(Proxy {
        view: ArcSwap::from_pointee(view.clone()),
        views: seen.clone(),
        identity,
        http: HttpPools::new(linker.clone(), tasks.clone()),
        linker,
        callers: Callers::new(wants, seen),
        room: Room::new(bounds.connections, bounds.connections.div_ceil(4)),
        bounds,
        idempotent_only: args.retry_idempotent_only,
        normalization: args.path_normalization,
        pressure: Pressure::new(args.memory()),
        verdicts,
        review: Review::new(),
        tasks: shared.connections,
        own: Own::new(args, &pages),
        lookups: Counts::default(),
        hosts: Hosts::new(Arc::new(System), args.pod_ip),
        drain: shown.drain,
        over: CancellationToken::new(),
        telemetry: shown.telemetry,
        tellings: Tellings::new((&args.namespace, &args.gateway), &args.pod_name),
        traces: Traces::new(
            (&args.namespace, &args.gateway),
            &args.pod_name,
            tasks.clone(),
        ),
        gone: Notify::new(),
        away: Away::default(),
    });
    drop(tasks.spawn("sweep connections", proxy.http.clone().sweep()));
    pressure::watch(Arc::clone(&proxy)).context("start the thread that watches memory")?;
    shown.registry.register_collector(Box::new(Gauges {
        proxy: Arc::clone(&proxy),
        tasks: tasks.clone(),
    }));
    let clusters = Clusters(Arc::clone(&proxy));
    shown.registry.register_collector(Box::new(clusters));
    let asker = Asker::new(Arc::new(System), args.pod_ip, names::AT_ONCE);
    let (answers, answered) = mpsc::channel(EVENTS);
    let follower = Follower {
        names: Names::new(asker, answers),
        answered,
        found,
        proxy: Arc::clone(&proxy),
        view,
        views,
        trust_domain: args.trust_domain.as_str().into(),
        reader: follow::SharedReader::default(),
        complete,
        told: std::collections::BTreeSet::new(),
    };
    follow(args, access, follower, wanted, &tasks)?;
    show(args, &pages, &proxy, &tasks).await?;
    Ok((proxy, is_complete))
}

/// Begins TLS with hosts outside of the mesh, by the authorities that are given or the system has.
fn originator(args: &Args) -> anyhow::Result<Originator> {
    let Some(file) = &args.outside_roots else {
        return Ok(Originator::default());
    };
    let roots = OutsideRoots::system().and_file(file);
    Ok(Originator::believing(roots.context("--outside-roots")?))
}

/// Shows the pages on their ports.
async fn show(args: &Args, pages: &Pages, proxy: &Arc<Proxy>, tasks: &Tasks) -> anyhow::Result<()> {
    let admin = Arc::new(pages::admin(Arc::clone(proxy)));
    for (name, address, routes) in [
        ("metrics page", args.metrics, &pages.metrics),
        ("ready page", args.ready, &pages.ready),
        ("admin page", args.admin, &admin),
    ] {
        let listener = bind(address).await?;
        let showing = ambit_kit::pages::serve(listener, Arc::clone(routes), tasks.token());
        drop(tasks.spawn(name, showing));
    }
    Ok(())
}

/// Starts what keeps the view, the certificate and the trust up to date.
fn follow(
    args: &Args,
    access: Arc<Access>,
    follower: Follower,
    wanted: mpsc::Receiver<Want<Kind>>,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let domain: TrustDomain = TrustDomain::new(&args.trust_domain).context("--trust-domain")?;
    let own = SpiffeId::from_parts(&args.trust_domain, &args.namespace, args.account());
    let channel = access.channel()?;
    let (proxy, identity) = (Arc::clone(&follower.proxy), follower.proxy.identity.clone());
    let (events, discovered) = mpsc::channel(EVENTS);
    let node = node_of(&args.pod_name, &args.pod_ip.to_string(), &args.cluster);
    let subscriptions =
        follow::subscriptions(&follower.trust_domain, &proxy.telemetry, &follower.reader);
    let way = (Arc::clone(&access), channel.clone());
    let discovery = Discovery::new(way, node, subscriptions, wanted, events);
    drop(tasks.spawn("discovery", discovery.run()));
    drop(tasks.spawn("follower", follower.run(discovered)));

    let (bundles, trusted) = mpsc::channel(EVENTS);
    let following = trust::run(Arc::clone(&access), channel.clone(), 0, bundles);
    drop(tasks.spawn("trust stream", following));
    let trusting = follow::trust::follow(
        identity.clone(),
        Arc::clone(&access),
        domain.clone(),
        trusted,
    );
    drop(tasks.spawn("trust", trusting));
    let certificate = follow::certificate::keep(identity, access, channel, own, domain);
    drop(tasks.spawn("certificate", certificate));
    drop(tasks.spawn("sweep series", follow::sweep::series(Arc::clone(&proxy))));
    drop(tasks.spawn("forget callers", async move {
        loop {
            tokio::time::sleep(FORGET).await;
            proxy.hosts.forget();
            proxy.callers.forget();
        }
    }));
    Ok(())
}
