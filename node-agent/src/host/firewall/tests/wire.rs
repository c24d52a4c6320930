//! A pod on a wire to its node, with something behind every port that rules lead to.
//!
//! Whoever accepts says first which of them it is, so that a test sees where a connection went.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ambit_netsys::{NetNs, sockets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Namespace;
use crate::host::rules::{Duty, RuleInput};
use crate::ports;

/// How long a connection or an answer may take: one lost first packet is forgiven.
const PATIENCE: Duration = Duration::from_secs(3);
/// Port of the application in the pod and of the server beside the node.
pub(super) const PORT: u16 = 9000;
/// A port of the pod on which nobody listens.
pub(super) const DEAD: u16 = 9001;

/// The addresses of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// The pod's.
    pub(super) pod: IpAddr,
    /// The node's, as rules know it.
    pub(super) node: IpAddr,
    /// Somebody else's at the other end of the wire.
    pub(super) peer: IpAddr,
    /// An address that is nowhere near.
    pub(super) foreign: IpAddr,
}

/// Both families.
pub(super) const FAMILIES: [Family; 2] = [
    Family {
        pod: v4(10, 244, 1, 2),
        node: v4(10, 244, 1, 1),
        peer: v4(10, 244, 1, 9),
        foreign: v4(10, 9, 9, 9),
    },
    Family {
        pod: v6(1, 2),
        node: v6(1, 1),
        peer: v6(1, 9),
        foreign: v6(9, 9),
    },
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d))
}

const fn v6(net: u16, host: u16) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(
        0xfd00, 0x244, net, 0, 0, 0, 0, host,
    ))
}

/// The two ends.
#[derive(Debug)]
pub(super) struct Wire {
    /// The pod.
    pub(super) pod: Namespace,
    /// The node, where the peer is too.
    pub(super) node: Namespace,
}

/// An open connection and who accepted it.
#[derive(Debug)]
pub(super) struct Talk {
    stream: TcpStream,
    /// What the accepting side said first.
    pub(super) with: String,
}

impl Wire {
    /// A pod that nobody has captured. In it: the application on [`PORT`], which says `app`, and a
    /// stand-in for the proxy, which says where the connection was meant to go.
    pub(super) fn make(about: &str) -> Self {
        let wire = Self {
            pod: Namespace::make(about),
            node: Namespace::make("node"),
        };
        wire.join();
        for family in FAMILIES {
            wire.serve(&wire.node, (family.peer, PORT), "peer");
            wire.start_application(family, PORT);
            wire.serve(&wire.pod, (loopback(family.pod), ports::OUTBOUND), "out");
            wire.serve(&wire.pod, (any(family.pod), ports::PLAINTEXT), "in");
            wire.serve(&wire.pod, (any(family.pod), ports::HBONE), "tunnel");
        }
        wire
    }

    fn join(&self) {
        self.node.shell(&format!(
            "ip link add pod type veth peer name eth0 netns {}; ip link set pod up",
            self.pod.name()
        ));
        self.pod.shell("ip link set eth0 up");
        for Family {
            pod, node, peer, ..
        } in FAMILIES
        {
            let more = if pod.is_ipv4() { "/24" } else { "/64 nodad" };
            self.node.shell(&format!(
                "ip addr add {node}{more} dev pod; ip addr add {peer}{more} dev pod"
            ));
            let version = if pod.is_ipv4() { "-4" } else { "-6" };
            self.pod.shell(&format!(
                "ip addr add {pod}{more} dev eth0; ip {version} route add default via {node}"
            ));
        }
    }

    /// What captures the pod.
    pub(super) fn capture(&self) -> Duty {
        Duty::Capture(RuleInput::new(&FAMILIES.map(|family| family.node)))
    }

    /// An application in the pod.
    pub(super) fn start_application(&self, family: Family, port: u16) {
        self.serve(&self.pod, (any(family.pod), port), "app");
    }

    /// Somebody who accepts, and says this word.
    pub(super) fn serve(&self, at: &Namespace, address: (IpAddr, u16), word: &'static str) {
        let open = || sockets::listener(SocketAddr::from(address), 128);
        let socket = at.open().run(open).unwrap().unwrap();
        let listener = TcpListener::from_std(std::net::TcpListener::from(socket)).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, word));
            }
        });
    }

    /// From the pod to the peer.
    pub(super) async fn outward(&self, family: Family) -> io::Result<Talk> {
        connect(&self.pod, None, (family.peer, PORT).into()).await
    }

    /// From the peer to a port of the pod.
    pub(super) async fn inward(&self, family: Family, port: u16) -> io::Result<Talk> {
        let from = (family.peer, 0).into();
        connect(&self.node, Some(from), (family.pod, port).into()).await
    }

    /// From the node to a port of the pod, as a probe.
    pub(super) async fn probe(&self, family: Family, port: u16) -> io::Result<Talk> {
        let from = (family.node, 0).into();
        connect(&self.node, Some(from), (family.pod, port).into()).await
    }

    /// Both ways in both families; who answered.
    pub(super) async fn all(&self) -> Vec<Talk> {
        let mut talks = Vec::new();
        for family in FAMILIES {
            talks.push(self.outward(family).await.unwrap());
            talks.push(self.inward(family, PORT).await.unwrap());
        }
        talks
    }
}

/// The names of those who answered [`Wire::all`] if the pod is captured.
pub(super) fn captured() -> Vec<String> {
    let both = |family: Family| {
        let (peer, pod) = (family.peer, family.pod);
        [
            format!("out {}", SocketAddr::new(peer, PORT)),
            format!("in {}", SocketAddr::new(pod, PORT)),
        ]
    };
    FAMILIES.into_iter().flat_map(both).collect()
}

/// The same if it is not.
pub(super) fn direct() -> Vec<String> {
    ["peer", "app", "peer", "app"].map(str::to_owned).to_vec()
}

/// Who answered.
pub(super) fn with(talks: &[Talk]) -> Vec<String> {
    talks.iter().map(|talk| talk.with.clone()).collect()
}

impl Talk {
    /// Fails unless the other end still answers.
    pub(super) async fn goes_on(&mut self) {
        let exchange = async {
            self.stream.write_all(b"still there?").await?;
            self.stream.read_exact(&mut [0; 12]).await
        };
        let answered = tokio::time::timeout(PATIENCE, exchange).await;
        answered.unwrap().unwrap();
    }
}

/// Connects and hears who accepted.
pub(super) async fn connect(
    from: &Namespace,
    source: Option<SocketAddr>,
    to: SocketAddr,
) -> io::Result<Talk> {
    let make = || match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = from.open().run(make).unwrap()?;
    socket.set_reuseaddr(true)?;
    if let Some(source) = source {
        socket.bind(source)?;
    }
    greet(socket, to).await
}

/// Connects a socket that was made elsewhere.
pub(super) async fn greet(socket: TcpSocket, to: SocketAddr) -> io::Result<Talk> {
    let meet = async {
        let mut stream = socket.connect(to).await?;
        let mut with = String::new();
        loop {
            match stream.read_u8().await? {
                b'\n' => return Ok(Talk { stream, with }),
                byte => with.push(byte.into()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, meet).await?
}

/// Says who this is, and then whatever it hears.
async fn answer(mut stream: TcpStream, word: &'static str) -> io::Result<()> {
    let said = match word {
        "out" | "in" => format!("{word} {}\n", sockets::original_destination(&stream)?),
        word => format!("{word}\n"),
    };
    stream.write_all(said.as_bytes()).await?;
    let (mut heard, mut said) = stream.split();
    tokio::io::copy(&mut heard, &mut said).await?;
    Ok(())
}

fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

fn loopback(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    }
}

/// A handle on a pod's namespace, for short.
pub(super) fn netns(wire: &Wire) -> std::sync::Arc<NetNs> {
    wire.pod.open()
}
