//! What this program does when the launcher starts it as a role.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ambit_node_agent::launch::{ProxyStart, enter_control, enter_proxy};
use ambit_node_agent::link::{ProxyEnd, ToHost};
use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct ProxyArguments {
    #[arg(long)]
    host_fd: i32,
    #[arg(long)]
    feed_fd: i32,
    #[arg(long)]
    generation: u64,
    #[command(flatten)]
    start: ProxyStart,
    #[arg(long)]
    scene: String,
}

#[derive(Parser)]
struct ControlArguments {
    #[arg(long)]
    host_fd: i32,
    #[arg(long)]
    own: std::path::PathBuf,
    #[arg(long)]
    reach: std::net::SocketAddr,
}

fn own_arguments() -> impl Iterator<Item = String> {
    // The name of the role takes the place of the program's name.
    std::env::args().skip(1)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime under the filter")
}

pub(crate) fn proxy() -> ExitCode {
    let arguments = ProxyArguments::parse_from(own_arguments());
    assert_eq!(arguments.generation, 1);
    let entered = enter_proxy(arguments.host_fd, arguments.feed_fd, &arguments.start);
    let (link, _feed) = match entered {
        Ok(ends) => ends,
        Err(error) => {
            eprintln!("expected by a test: {error}");
            return ExitCode::from(7);
        }
    };
    runtime().block_on(async {
        let link = ProxyEnd::new(link).expect("link");
        match arguments.scene.as_str() {
            "rest" => rest(&link).await,
            "serve" => serve(&link).await,
            "shake" => shake_hands(&link).await,
            "eat" => eat(&link).await,
            other => panic!("no scene {other}"),
        }
    });
    ExitCode::SUCCESS
}

/// Nothing is left of the file system, then waits for SIGTERM or the host's end.
async fn rest(link: &ProxyEnd) {
    assert!(std::fs::read_dir("/").is_err() && std::fs::read("/proc/self/status").is_err());
    assert_eq!(std::process::id(), 1);
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    link.send(&ToHost::Ready).await.expect("send");
    tokio::select! {
        _ = terminate.recv() => {}
        message = link.recv() => assert!(message.is_ok_and(|message| message.is_none())),
    }
}

/// Takes a listener and outgoing sockets, and relays each connection to where the first line says.
async fn serve(link: &ProxyEnd) {
    let (_, mut sockets) = link.recv().await.expect("recv").expect("message");
    let listener = std::net::TcpListener::from(sockets.remove(0));
    let listener = TcpListener::from_std(listener).expect("a passed listener");
    link.send(&ToHost::Ready).await.expect("send");
    for outgoing in sockets {
        let (mut client, _) = listener.accept().await.expect("accept");
        let relayed = tokio::spawn(async move {
            client.set_nodelay(true).expect("nodelay");
            let mut to = [0; 2];
            client.read_exact(&mut to).await.expect("port");
            let to = (std::net::Ipv4Addr::LOCALHOST, u16::from_be_bytes(to)).into();
            let outgoing = TcpSocket::from_std_stream(TcpStream::from(outgoing));
            let mut server = outgoing.connect(to).await.expect("connect a passed socket");
            tokio::io::copy_bidirectional(&mut client, &mut server)
                .await
                .expect("copy");
        });
        relayed.await.expect("relay");
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let counted = tokio::task::spawn_blocking(|| (0..1000).sum::<u32>())
        .await
        .expect("thread");
    assert_eq!(counted, 499_500);
    link.send(&ToHost::Drained).await.expect("send");
}

/// Makes keys and a certificate and speaks TLS with itself: what the TLS provider asks of the
/// kernel (random numbers, memory) is there.
async fn shake_hands(link: &ProxyEnd) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(vec!["peer".to_owned()]).expect("parameters");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a server");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(16 << 10);
    let name = "peer".try_into().expect("name");
    let (near, far) = tokio::join!(
        tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, near),
        tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(far),
    );
    near.expect("client side")
        .write_all(b"hello")
        .await
        .expect("write");
    far.expect("server side")
        .read_exact(&mut [0; 5])
        .await
        .expect("read");
    link.send(&ToHost::Ready).await.expect("send");
}

/// Takes more memory than it may have.
async fn eat(link: &ProxyEnd) {
    link.send(&ToHost::Ready).await.expect("send");
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..1024 {
        eaten.push(vec![1; 1 << 20]);
    }
    link.send(&ToHost::Drained).await.expect("send");
}

pub(crate) fn control() -> ExitCode {
    let arguments = ControlArguments::parse_from(own_arguments());
    let host: OwnedFd = match enter_control(arguments.host_fd, &[&arguments.own]) {
        Ok(host) => host,
        Err(error) => {
            eprintln!("cannot enter: {error}");
            return ExitCode::from(7);
        }
    };
    let mut host = std::os::unix::net::UnixStream::from(host);
    host.set_nonblocking(false).expect("blocking");
    runtime().block_on(controls(&arguments.own, arguments.reach));
    host.write_all(b"k").expect("answer");
    // Until the host role goes.
    host.read_to_end(&mut Vec::new()).expect("the end");
    ExitCode::SUCCESS
}

async fn controls(own: &Path, reach: std::net::SocketAddr) {
    tokio::fs::write(own.join("new"), b"state")
        .await
        .expect("its own directory");
    tokio::fs::rename(own.join("new"), own.join("state"))
        .await
        .expect("rename");
    assert!(
        tokio::fs::read("/etc/shadow").await.is_err(),
        "a file of root's"
    );
    let mut stream = tokio::net::TcpStream::connect(("localhost", reach.port())).await;
    if stream.is_err() {
        stream = tokio::net::TcpStream::connect(reach).await;
    }
    stream
        .expect("the node's network")
        .write_all(b"hi")
        .await
        .expect("write");
    assert!(
        std::process::Command::new("/bin/true").status().is_err(),
        "started a program"
    );
    let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
    assert_eq!(unshared, Err(nix::errno::Errno::EPERM));
}

/// A host role of its own: starts a proxy and a control role, tells their pids, then waits.
pub(crate) fn host() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("runtime").block_on(async {
        let proxy = crate::Proxy::start("rest", None).await;
        proxy.hears(ToHost::Ready).await;
        let control = crate::control::Control::start().await;
        println!("{} {}", proxy.child.pid(), control.child.pid());
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// Checks a passed relay from the client's side.
pub(crate) fn relay_answers(through: std::net::SocketAddr, to: u16) {
    let mut client = TcpStream::connect(through).expect("connect");
    client.write_all(&to.to_be_bytes()).expect("port");
    client.write_all(b"hello").expect("write");
    client
        .shutdown(std::net::Shutdown::Write)
        .expect("half-close");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("read");
    assert_eq!(answer, "HELLO");
}
