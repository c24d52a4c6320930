//! How much an idle proxied connection costs.

use std::sync::Arc;

use ambit_identity::testing::Authority;
use ambit_tunnel::{Ask, CopyEnd, Dialled, Key, Meter, Pool, Settings, accept, copy};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 2000;
/// What an idle connection may cost each of the two agents.
const PER_AGENT: usize = 4096;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (a, b) = tokio::join!(connect, listener.accept());
    (a.unwrap(), b.unwrap().0)
}

/// Proxied connections through a pool, with the applications at both ends.
#[derive(Default)]
struct Idle {
    copies: JoinSet<CopyEnd>,
    applications: Vec<(TcpStream, TcpStream)>,
}

impl Idle {
    /// Opens more connections, sends some bytes through each and leaves it at that.
    async fn more(&mut self, count: usize, open: impl AsyncFn(TcpStream) -> Ends) {
        for _ in 0..count {
            let (near, a) = tcp_pair().await;
            let Ends {
                near: near_copy,
                far: far_copy,
                app,
            } = open(a).await;
            self.copies.spawn(near_copy);
            self.copies.spawn(far_copy);
            let (mut near, mut far) = (near, app);
            let mut block = vec![7; 1000];
            near.write_all(&block).await.unwrap();
            far.read_exact(&mut block).await.unwrap();
            far.write_all(&block).await.unwrap();
            near.read_exact(&mut block).await.unwrap();
            self.applications.push((near, far));
        }
    }
}

type Copy = std::pin::Pin<Box<dyn Future<Output = CopyEnd> + Send>>;

struct Ends {
    near: Copy,
    far: Copy,
    app: TcpStream,
}

#[tokio::test]
async fn an_idle_connection_costs_an_agent_at_most_4_kib() {
    // Four sockets for each connection are more than most shells allow.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let authority = Authority::new("ca");
    let (web, db) = (
        Arc::new(authority.workload("web")),
        authority.workload("db"),
    );
    let trust = Arc::new(authority.trust());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let (give, take) = tokio::sync::mpsc::channel(16);
    let server_trust = trust.clone();
    let expected = [db.id().clone()].into();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let settings = Settings::default();
            let shaking = Box::pin(accept(tcp, &db, &server_trust, &settings));
            let (mut session, give) = (shaking.await.unwrap(), give.clone());
            tokio::spawn(async move {
                while let Some(Ok(incoming)) = session.next().await {
                    give.send(incoming.accept(None).unwrap()).await.unwrap();
                }
            });
        }
    });
    let key = Key {
        source_pod: "web".into(),
        destination_pod: "db".into(),
        to,
        expected,
    };
    let pool = Pool::new(Settings::default());
    let take = tokio::sync::Mutex::new(take);
    let open = async |tcp: TcpStream| {
        let dial = || async {
            let tcp = TcpStream::connect(to).await.unwrap();
            Ok(Dialled {
                tcp,
                credential: web.clone(),
                trust: trust.clone(),
            })
        };
        let ask = Ask {
            authority: "10.0.0.7:80".to_owned(),
            ..Ask::default()
        };
        let near_stream = pool.open(&key, dial, &ask).await.unwrap().stream;
        let far_stream = take.lock().await.recv().await.unwrap();
        let (far_tcp, app) = tcp_pair().await;
        Ends {
            near: Box::pin(async move { copy(tcp, near_stream, &Meter::default()).await }),
            far: Box::pin(async move { copy(far_tcp, far_stream, &Meter::default()).await }),
            app,
        }
    };
    let mut idle = Idle::default();
    // The first ones pay for what all share: connections, buffers, tables.
    idle.more(200, &open).await;
    let before = resident();
    idle.more(CONNECTIONS, &open).await;
    let each = resident().saturating_sub(before) / CONNECTIONS / 2;
    assert!(each <= PER_AGENT, "{each} bytes");
}
