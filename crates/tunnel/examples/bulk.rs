//! Measures a tunnel against a raw TLS relay of the same shape, on loopback.
//!
//! `cargo run --release -p ambit-tunnel --example bulk [SECONDS [LOAD [SHAPE]]]` prints, for one and eight bulk
//! streams and for 64 connections that exchange small messages, how much went through and how
//! much CPU the two relaying halves used (their threads alone, not source and sink).
//!
//! Set `MALLOC_TRIM_THRESHOLD_=8388608 MALLOC_MMAP_THRESHOLD_=4194304` for it, which is what the
//! node agent asks of the allocator at its start; and let no BBR throttle loopback.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ambit_identity::testing::Authority;
use ambit_identity::{Credential, Trust, client_config, server_config};
use ambit_tunnel::{Ask, Dialled, Key, Meter, Pool, Settings, accept, copy};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const RELAY_BUFFER: usize = 256 << 10;

#[derive(Clone)]
struct World {
    web: Arc<Credential>,
    db: Arc<Credential>,
    trust: Arc<Trust>,
}

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

/// CPU seconds of the threads whose name begins with `mesh`.
fn mesh_cpu() -> f64 {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        if name.contains("(mesh") {
            let fields: Vec<u64> = rest
                .split(' ')
                .filter_map(|field| field.parse().ok())
                .collect();
            // proc(5): utime and stime are fields 14 and 15; the state, a letter, is not parsed.
            ticks += fields.iter().skip(10).take(2).sum::<u64>();
        }
    }
    ticks as f64 / 100.0
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The accepting half of the tunnel; its streams go on to `app`.
fn tunnel_server(runtime: &Runtime, world: World, app: SocketAddr) -> SocketAddr {
    let (listener, address) = runtime.block_on(bind());
    runtime.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let world = world.clone();
            tokio::spawn(async move {
                let settings = Settings::default();
                let accepting = Box::pin(accept(tcp, &world.db, &world.trust, &settings));
                let mut session = accepting.await.unwrap();
                while let Some(Ok(incoming)) = session.next().await {
                    tokio::spawn(async move {
                        let tcp = TcpStream::connect(app).await.unwrap();
                        tcp.set_nodelay(true).unwrap();
                        let stream = incoming.accept(None).unwrap();
                        copy(tcp, stream, &Meter::default()).await
                    });
                }
            });
        }
    });
    address
}

/// The opening half of the tunnel.
fn tunnel_client(runtime: &Runtime, world: World, to: SocketAddr) -> SocketAddr {
    let (listener, address) = runtime.block_on(bind());
    let pool = Pool::new(Settings::default());
    runtime.spawn(async move {
        let key = Key {
            source_pod: "web".into(),
            destination_pod: "db".into(),
            to,
            expected: [world.db.id().clone()].into(),
        };
        while let Ok((tcp, _)) = listener.accept().await {
            let (world, key, pool) = (world.clone(), key.clone(), pool.clone());
            tokio::spawn(async move {
                tcp.set_nodelay(true).unwrap();
                let ask = Ask {
                    authority: "10.0.0.7:80".to_owned(),
                    ..Ask::default()
                };
                let dial = || async {
                    let tcp = TcpStream::connect(to).await.unwrap();
                    Ok(Dialled {
                        tcp,
                        credential: world.web.clone(),
                        trust: world.trust.clone(),
                    })
                };
                let opened = pool.open(&key, dial, &ask).await.unwrap();
                copy(tcp, opened.stream, &Meter::default()).await
            });
        }
    });
    address
}

fn relay_server(runtime: &Runtime, world: &World, app: SocketAddr) -> SocketAddr {
    let (listener, address) = runtime.block_on(bind());
    let acceptor = TlsAcceptor::from(server_config(&world.db, &world.trust).unwrap());
    runtime.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                tcp.set_nodelay(true).unwrap();
                let tcp = BufReader::with_capacity(RELAY_BUFFER, tcp);
                let enlarged = |tls: &mut rustls::ServerConnection| {
                    tls.set_buffer_limit(Some(RELAY_BUFFER));
                };
                let mut tls = acceptor.accept_with(tcp, enlarged).await.unwrap();
                let mut app = TcpStream::connect(app).await.unwrap();
                app.set_nodelay(true).unwrap();
                copy_bidirectional_with_sizes(&mut tls, &mut app, RELAY_BUFFER, RELAY_BUFFER).await
            });
        }
    });
    address
}

fn relay_client(runtime: &Runtime, world: &World, to: SocketAddr) -> SocketAddr {
    let (listener, address) = runtime.block_on(bind());
    let expected = [world.db.id().clone()].into();
    let connector = TlsConnector::from(client_config(&world.web, &world.trust, expected).unwrap());
    runtime.spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                near.set_nodelay(true).unwrap();
                let tcp = TcpStream::connect(to).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                let name = ServerName::try_from("x").unwrap();
                let tcp = BufReader::with_capacity(RELAY_BUFFER, tcp);
                let enlarged = |tls: &mut rustls::ClientConnection| {
                    tls.set_buffer_limit(Some(RELAY_BUFFER));
                };
                let mut tls = connector.connect_with(name, tcp, enlarged).await.unwrap();
                copy_bidirectional_with_sizes(&mut near, &mut tls, RELAY_BUFFER, RELAY_BUFFER).await
            });
        }
    });
    address
}

/// A sink that counts, or an echo.
fn application(runtime: &Runtime, echo: bool, count: Arc<AtomicU64>) -> SocketAddr {
    let (listener, address) = runtime.block_on(bind());
    runtime.spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tcp.set_nodelay(true).unwrap();
            let count = count.clone();
            tokio::spawn(async move {
                let mut block = vec![0; 256 << 10];
                while let Ok(read @ 1..) = tcp.read(&mut block).await {
                    let bytes = block.get(..read).unwrap_or_default();
                    if echo && tcp.write_all(bytes).await.is_err() {
                        return;
                    }
                    count.fetch_add(if echo { 1 } else { read as u64 }, Ordering::Relaxed);
                }
            });
        }
    });
    address
}

async fn load(to: SocketAddr, echo: bool, stop: Arc<AtomicBool>) {
    let mut tcp = TcpStream::connect(to).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let block = vec![1; if echo { 200 } else { 256 << 10 }];
    let mut answer = vec![0; block.len()];
    while !stop.load(Ordering::Relaxed) {
        if tcp.write_all(&block).await.is_err()
            || (echo && tcp.read_exact(&mut answer).await.is_err())
        {
            return;
        }
    }
}

/// Things per second that arrive, and CPU seconds of the halves per second.
fn measure(
    entry: SocketAddr,
    loaders: usize,
    echo: bool,
    count: &AtomicU64,
    time: Duration,
) -> (f64, f64) {
    let ends = runtime("load");
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..loaders {
        ends.spawn(load(entry, echo, stop.clone()));
    }
    // The first second is for handshakes and windows.
    std::thread::sleep(Duration::from_secs(1));
    let (cpu, begun, before) = (mesh_cpu(), Instant::now(), count.load(Ordering::Relaxed));
    std::thread::sleep(time);
    let seconds = begun.elapsed().as_secs_f64();
    let moved = (count.load(Ordering::Relaxed) - before) as f64 / seconds;
    let cpu = (mesh_cpu() - cpu) / seconds;
    stop.store(true, Ordering::Relaxed);
    ends.shutdown_timeout(Duration::from_secs(1));
    (moved, cpu)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seconds = args.first().and_then(|text| text.parse().ok()).unwrap_or(4);
    let wanted = |at: usize, name: &str| args.get(at).is_none_or(|only| only == name);
    let authority = Authority::new("ca");
    let world = World {
        web: Arc::new(authority.workload("web")),
        db: Arc::new(authority.workload("db")),
        trust: Arc::new(authority.trust()),
    };
    println!(
        "{:<22}{:>12}{:>16}",
        "", "Gbit/s | k/s", "CPU s/GiB | /100k"
    );
    for (name, loaders, echo) in [
        ("bulk x1", 1, false),
        ("bulk x8", 8, false),
        ("small x64", 64, true),
    ] {
        if !wanted(1, name) {
            continue;
        }
        let mut rows = Vec::new();
        for shape in ["relay", "tunnel"]
            .into_iter()
            .filter(|shape| wanted(2, shape))
        {
            let (near, far, app) = (runtime("mesh-near"), runtime("mesh-far"), runtime("app"));
            let count = Arc::new(AtomicU64::new(0));
            let application = application(&app, echo, count.clone());
            let entry = if shape == "relay" {
                relay_client(&near, &world, relay_server(&far, &world, application))
            } else {
                let server = tunnel_server(&far, world.clone(), application);
                tunnel_client(&near, world.clone(), server)
            };
            let (rate, cpu) = measure(entry, loaders, echo, &count, Duration::from_secs(seconds));
            let (rate, cost) = if echo {
                (rate / 1e3, cpu / (rate / 1e5))
            } else {
                (rate * 8.0 / 1e9, cpu / (rate / f64::from(1 << 30)))
            };
            println!("{:<22}{rate:>12.2}{cost:>16.3}", format!("{name} {shape}"));
            rows.push((rate, cost));
            near.shutdown_timeout(Duration::from_secs(1));
            far.shutdown_timeout(Duration::from_secs(1));
            app.shutdown_timeout(Duration::from_secs(1));
        }
        if let [relay, tunnel] = rows.as_slice() {
            let (rate, cost) = (tunnel.0 / relay.0, tunnel.1 / relay.1);
            println!("{:<22}{rate:>12.2}{cost:>16.2}", format!("{name} ratio"));
        }
    }
}
