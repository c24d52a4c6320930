//! The program: everything is made and started here, and ends here.

use std::sync::Arc;
use std::time::Duration;

use ambit_kit::metrics::Registry;
use ambit_kit::pages::{self, Page, Routes};
use ambit_kit::process::ProcessMetrics;
use ambit_kit::signals::StopSignals;
use ambit_kit::tasks::Tasks;
use ambit_model::{SpiffeId, TrustDomain};
use ambit_tunnel::Settings;
use ambit_uplink::{Access, Discovery, Target, node_of, trust};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::args::Args;
use crate::callers::Callers;
use crate::follow::{self, Follower};
use crate::identity::Identity;
use crate::proxy::{Bounds, Proxy};
use crate::upstream::link::Linker;
use crate::upstream::pool::HttpPool;
use crate::view::View;

/// Resources that may wait to be taken in.
const EVENTS: usize = 16;
/// Callers that may wait to be asked for.
const WANTS: usize = 1024;
/// How long new connections are still taken after the first signal: until agents know that this
/// waypoint is about to go.
const LINGER: Duration = Duration::from_secs(3);
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
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> anyhow::Result<()> {
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
    let (proxy, complete) = start(args, access, &tasks, &connections)?;
    pages(args, &proxy, &complete, &tasks).await?;
    let mut told = complete.clone();
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
    let signal = signals.asked().await;
    tracing::info!(signal, "stopping: open requests may end");
    tokio::time::sleep(LINGER).await;
    proxy.drain.cancel();
    if let Err(left) = connections.finish(args.drain_time).await {
        tracing::warn!("stopped with work left: {left}");
    }
    Ok(())
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// Makes what connections share, and starts what keeps it up to date.
fn start(
    args: &Args,
    access: Arc<Access>,
    tasks: &Tasks,
    connections: &Tasks,
) -> anyhow::Result<(Arc<Proxy>, watch::Receiver<bool>)> {
    let domain: TrustDomain = TrustDomain::new(&args.trust_domain).context("--trust-domain")?;
    let own = SpiffeId::from_parts(&args.trust_domain, &args.namespace, args.account());
    let channel = access.channel()?;
    let identity = Identity::new();
    let view = View::new(args.own_service(), args.pod_ip);
    let (views, seen) = watch::channel(Arc::new(view.clone()));
    let (wants, wanted) = mpsc::channel(WANTS);
    let linker = Linker::new(identity.clone(), &args.pod_uid, Settings::default());
    let proxy = Arc::new(Proxy {
        view: ArcSwap::from_pointee(view.clone()),
        identity: identity.clone(),
        http: HttpPool::new(linker.clone(), tasks.clone()),
        linker,
        callers: Callers::new(wants, seen),
        bounds: Bounds::default(),
        tasks: connections.clone(),
        drain: CancellationToken::new(),
    });

    let (complete, is_complete) = watch::channel(false);
    let trust_domain: Arc<str> = args.trust_domain.as_str().into();
    let (events, discovered) = mpsc::channel(EVENTS);
    let node = node_of(&args.pod_name, &args.pod_ip.to_string(), &args.cluster);
    let subscriptions = follow::subscriptions(&trust_domain);
    let way = (Arc::clone(&access), channel.clone());
    let discovery = Discovery::new(way, node, subscriptions, wanted, events);
    drop(tasks.spawn("discovery", discovery.run()));
    let follower = Follower {
        proxy: Arc::clone(&proxy),
        view,
        views,
        trust_domain,
        complete,
        told: std::collections::BTreeSet::new(),
    };
    drop(tasks.spawn("follower", follower.run(discovered)));

    let (bundles, trusted) = mpsc::channel(EVENTS);
    let following = trust::run(Arc::clone(&access), channel.clone(), 0, bundles);
    drop(tasks.spawn("trust stream", following));
    let trusting = follow::trust(
        identity.clone(),
        Arc::clone(&access),
        domain.clone(),
        trusted,
    );
    drop(tasks.spawn("trust", trusting));
    let certificate = follow::certificate(identity, access, channel, own, domain);
    drop(tasks.spawn("certificate", certificate));
    let forgetful = Arc::clone(&proxy);
    drop(tasks.spawn("forget callers", async move {
        loop {
            tokio::time::sleep(FORGET).await;
            forgetful.callers.forget();
        }
    }));
    Ok((proxy, is_complete))
}

/// The pages: metrics, readiness, administration.
async fn pages(
    args: &Args,
    proxy: &Arc<Proxy>,
    complete: &watch::Receiver<bool>,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let registry = Registry::new();
    registry.register_collector(Box::new(ProcessMetrics));
    let metrics = Routes::new().get("/metrics", "metrics", move |ask| {
        let (content_type, text) = registry.render(ask.accept.as_deref());
        Page::new(http::StatusCode::OK, content_type, text)
    });
    let (ready_complete, ready_proxy) = (complete.clone(), Arc::clone(proxy));
    let ready = Routes::new().get("/healthz/ready", "readiness", move |_| {
        if ready_proxy.drain.is_cancelled() {
            Page::not_ready("stopping\n")
        } else if !*ready_complete.borrow() {
            Page::not_ready("the control plane has not told everything yet\n")
        } else if ready_proxy.identity.papers().is_none() {
            Page::not_ready("there is no certificate yet\n")
        } else {
            Page::text("ready\n")
        }
    });
    let shown = Arc::clone(proxy);
    let admin = Routes::new().get("/config_dump", "what is known", move |_| {
        let view = shown.view();
        let services: Vec<_> = view.mesh.services().map(|s| &**s).collect();
        let workloads: Vec<_> = view.mesh.workloads().map(|w| &**w).collect();
        let routes: Vec<_> = view.mesh.all_routes().map(|r| &**r).collect();
        Page::json(&serde_json::json!({
            "services": services, "workloads": workloads, "routes": routes,
        }))
    });
    for (name, address, routes) in [
        ("metrics page", args.metrics, metrics),
        ("ready page", args.ready, ready),
        ("admin page", args.admin, admin),
    ] {
        let listener = bind(address).await?;
        drop(tasks.spawn(name, pages::serve(listener, routes, tasks.token())));
    }
    Ok(())
}
