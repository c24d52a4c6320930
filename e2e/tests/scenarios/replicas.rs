//! A service of several pods behind a waypoint of several pods, any of which may come and go while
//! clients go on. What Kubernetes would write about a pod is written into the objects' file.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ambit_e2e::clients::get;
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, Waypoint};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, NAMESPACE, SPREAD, World, uid};
use nix::sys::socket;

use crate::support::SOON;

/// The pods of the service `server`.
pub(crate) const SERVERS: [&str; 3] = ["server", "server-2", "server-3"];
/// The pods of the waypoint, as far as a scenario starts them.
pub(crate) const WAYPOINTS: [&str; 3] = ["waypoint", "waypoint-2", "waypoint-3"];

/// How the objects say that a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Ready.
    Ready,
    /// Running, and not ready.
    NotReady,
    /// Deleted, and given time to end.
    Terminating,
    /// Not there.
    Gone,
}

/// A world in which the client is on node 1, and servers and waypoints are on both.
pub(crate) struct Replicas {
    pub(crate) world: World,
    /// The objects as they are if all pods are ready.
    objects: Vec<String>,
    stands: Vec<(&'static str, Stands)>,
}

impl Replicas {
    /// The world; no waypoint runs yet and none is ready.
    pub(crate) fn start() -> Self {
        let pods = [
            ("client", 1),
            (SERVERS[0], 2),
            (SERVERS[1], 1),
            (SERVERS[2], 2),
            (WAYPOINTS[0], 2),
            (WAYPOINTS[1], 1),
            (WAYPOINTS[2], 2),
        ];
        let options = Options {
            waypoints: WAYPOINTS.map(str::to_owned).to_vec(),
            bound: vec![SERVERS[0].to_owned()],
            ..Options::default()
        };
        let world = World::prepare(&pods, &options).unwrap();
        for name in [&["client"][..], &SERVERS].concat() {
            world.enrol(name).unwrap();
        }
        for (name, _) in pods {
            let advertised = world.mesh.await_advertised(&uid(name), true, SPREAD);
            advertised.unwrap();
        }
        world.await_bound(SERVERS[0], true).unwrap();
        let file = world.mesh.configuration.dir().join("pods.yaml");
        let text = fs::read_to_string(file).unwrap();
        let objects = text.split("---\n").map(one_of_the_service).collect();
        let mut replicas = Self {
            world,
            objects,
            stands: Vec::new(),
        };
        for name in WAYPOINTS {
            replicas.set(name, Stands::NotReady);
        }
        replicas
    }

    /// What the objects say about a pod from now on.
    pub(crate) fn set(&mut self, pod: &'static str, stands: Stands) {
        self.stands.retain(|(name, _)| *name != pod);
        self.stands.push((pod, stands));
        let objects = self.objects.iter().filter_map(|object| {
            let of = |(name, _): &&(&str, _)| is_of(object, name);
            match self.stands.iter().find(of) {
                Some((_, stands)) => written(object, *stands),
                None => Some(object.clone()),
            }
        });
        let text = objects.collect::<Vec<_>>().join("---\n");
        self.world.mesh.configuration.apply("pods", &text).unwrap();
    }

    /// Starts a waypoint in its pod and has it ready.
    pub(crate) fn waypoint(&mut self, pod: &'static str) -> Waypoint {
        let waypoint = self.world.waypoint(pod, &["--drain-time", "10"]).unwrap();
        self.set(pod, Stands::Ready);
        waypoint
    }

    /// What all waypoints that ran in this pod have printed, line by line.
    pub(crate) fn log_of(&self, pod: &str) -> Vec<String> {
        let dir = self.world.lab.dir();
        let files = ["out", "err"].map(|kind| dir.join(format!("waypoint-{pod}.{kind}")));
        let texts = files.map(|file| fs::read_to_string(file).unwrap_or_default());
        texts
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| format!("{pod}: {line}"))
            .collect()
    }

    /// Waits until clients are served.
    pub(crate) fn await_served(&self) {
        let (client, at) = (self.client(), self.at());
        let served = || get(client.namespace(), at, "/").is_ok_and(|answer| answer.status == 200);
        wait_until("clients to be served", SPREAD, served).unwrap();
    }

    /// Where clients reach the service.
    pub(crate) fn at(&self) -> SocketAddr {
        let at = self.world.service(SERVERS[0], Family::V4, HTTP.0);
        at.unwrap()
    }

    /// The pod of the clients.
    pub(crate) fn client(&self) -> Arc<Pod> {
        self.world.pod("client").unwrap()
    }

    /// A server in a pod.
    pub(crate) fn server(&self, pod: &str) -> Replica {
        Replica::start(&self.world.pod(pod).unwrap())
    }
}

/// Every pod whose name begins with that of the service is one of its, and the service speaks HTTP.
fn one_of_the_service(object: &str) -> String {
    if object.contains("kind: Service\n") {
        return object.replace("name: p80\n", "name: http\n");
    }
    if !object.contains("kind: Pod\n") {
        return object.to_owned();
    }
    SERVERS.iter().fold(object.to_owned(), |object, name| {
        object.replace(
            &format!("    app: {name}\n"),
            &format!("    app: {}\n", SERVERS[0]),
        )
    })
}

fn is_of(object: &str, pod: &str) -> bool {
    object.contains("kind: Pod\n") && object.contains(&format!("\n  uid: {}\n", uid(pod)))
}

fn written(object: &str, stands: Stands) -> Option<String> {
    match stands {
        Stands::Ready => Some(object.to_owned()),
        Stands::NotReady => Some(object.replace("status: \"True\"", "status: \"False\"")),
        Stands::Terminating => {
            let namespace = format!("  namespace: {NAMESPACE}\n");
            let since = "  deletionTimestamp: '2026-01-01T00:00:00Z'\n";
            Some(object.replacen(&namespace, &format!("{namespace}{since}"), 1))
        }
        Stands::Gone => None,
    }
}

/// How long a leaving server keeps a connection on which nothing comes.
const IDLE: Duration = Duration::from_secs(2);
/// How often a server looks whether it is to leave.
const LOOK: Duration = Duration::from_millis(50);
/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
struct Counts {
    leaving: AtomicBool,
    served: AtomicU64,
    open: AtomicUsize,
}

/// A server that counts what it serves, and leaves as a graceful one does: it accepts nothing more,
/// says so on the connections that it has, and ends those that are idle.
#[derive(Debug)]
pub(crate) struct Replica {
    listener: TcpListener,
    counts: Arc<Counts>,
    accepting: Option<JoinHandle<()>>,
}

impl Replica {
    fn start(pod: &Pod) -> Self {
        let any = SocketAddr::from(([0_u16; 8], HTTP.1));
        let bound = pod.namespace().run(|| TcpListener::bind(any)).unwrap();
        let listener = bound.unwrap();
        let counts = Arc::<Counts>::default();
        let (accepted, counted) = (listener.try_clone().unwrap(), Arc::clone(&counts));
        let accepting = thread::spawn(move || {
            while let Ok((connection, _)) = accepted.accept() {
                let counts = Arc::clone(&counted);
                counts.open.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    // What goes wrong is the client's to notice.
                    answer(connection, &counts).ok();
                    counts.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            listener,
            counts,
            accepting: Some(accepting),
        }
    }

    /// Requests served.
    pub(crate) fn served(&self) -> u64 {
        self.counts.served.load(Ordering::Relaxed)
    }

    /// Connections open.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Ends gracefully; how many requests it has served.
    pub(crate) fn leave(mut self) -> u64 {
        self.counts.leaving.store(true, Ordering::Relaxed);
        self.close();
        wait_until("the server's connections to end", SOON, || self.open() == 0).unwrap();
        self.served()
    }

    fn close(&mut self) {
        // Wakes the thread that waits in accept.
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.close();
    }
}

/// Answers the requests of a connection, bodies of one line included.
fn answer(connection: TcpStream, counts: &Counts) -> std::io::Result<()> {
    connection.set_read_timeout(Some(LOOK))?;
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    loop {
        let Some(request) = line(&mut reader, counts)? else {
            return Ok(());
        };
        let mut posted = 0;
        loop {
            let Some(field) = line(&mut reader, counts)? else {
                return Ok(());
            };
            let length = field.to_ascii_lowercase();
            let length = length.strip_prefix("content-length: ").map(str::trim_end);
            posted += usize::from(length.is_some_and(|length| length != "0"));
            if field == "\r\n" {
                break;
            }
        }
        for _ in 0..posted {
            line(&mut reader, counts)?;
        }
        if request.contains(" /slow ") {
            thread::park_timeout(SLOW);
        }
        counts.served.fetch_add(1, Ordering::Relaxed);
        let leaving = counts.leaving.load(Ordering::Relaxed);
        let close = if leaving { "Connection: close\r\n" } else { "" };
        writer.write_all(
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\nok").as_bytes(),
        )?;
        if leaving {
            return Ok(());
        }
    }
}

/// The next line; none at the end, or when the server leaves and nothing comes.
fn line(reader: &mut BufReader<TcpStream>, counts: &Counts) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let mut looks = 0;
    loop {
        match reader.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(line)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                looks += u32::from(counts.leaving.load(Ordering::Relaxed));
                if LOOK * looks > IDLE {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
}
