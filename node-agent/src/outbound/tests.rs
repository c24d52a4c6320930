use std::net::IpAddr;
use std::process::Command;

use ambit_model::{Change, PortMapping, Service, TunnelProtocol};
use ambit_netsys::{NetNs, sockets};
use ambit_wire::node::SocketKind;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::proxy::fixtures::{pod_in, record, resolving, service};
use crate::proxy::names::forward::tests::{Scripted, answer};

/// A namespace with a resolver and a host outside of the mesh.
fn outside() -> NetNs {
    let netns = NetNs::fresh().unwrap();
    for line in [
        "link set lo up",
        "addr add 192.0.2.1/32 dev lo",
        "addr add 192.0.2.2/32 dev lo",
    ] {
        let run = || Command::new("ip").args(line.split(' ')).status();
        assert!(netns.run(run).unwrap().unwrap().success(), "ip {line}");
    }
    netns
}

/// A service of the mesh, and one outside of it with an endpoint known by name.
fn mesh() -> Mesh {
    let api = Service {
        canonical: false,
        ..service("api.example.com", "240.240.0.1")
    };
    let mapping = PortMapping {
        service_port: 80,
        target_port: 8080,
    };
    let endpoint = Workload {
        uid: WorkloadUid::new("Kubernetes/networking.istio.io/ServiceEntry/shop/api/0"),
        addresses: Vec::new(),
        pod_uid: None,
        hostname: "api.example.com".into(),
        protocol: TunnelProtocol::None,
        services: [(api.name.clone(), vec![mapping])].into(),
        ..record()
    };
    let mut mesh = Mesh::default();
    for service in [api, service("web.shop.svc.cluster.local", "10.96.0.1")] {
        mesh.apply(Change::PutService(service.into()));
    }
    mesh.apply(Change::PutWorkload(endpoint.into()));
    mesh
}

#[tokio::test]
async fn an_endpoint_known_by_name_is_resolved_and_never_leads_into_the_mesh() {
    let netns = outside();
    let bind = || sockets::datagram_listener("192.0.2.1:53".parse().unwrap());
    let socket = std::net::UdpSocket::from(netns.run(bind).unwrap().unwrap());
    let mut resolver = Scripted::on(UdpSocket::from_std(socket).unwrap());
    let listen = || sockets::listener("192.0.2.2:8080".parse().unwrap(), 16);
    let listener = std::net::TcpListener::from(netns.run(listen).unwrap().unwrap());
    let listener = TcpListener::from_std(listener).unwrap();
    let path = resolving(&[resolver.address]);
    path.publish(mesh());
    let arrival = Arrival {
        client: "10.0.0.1:40000".parse().unwrap(),
        destination: "240.240.0.1:80".parse().unwrap(),
    };
    for (address, reason) in [
        ([192, 0, 2, 2], None),
        ([10, 96, 0, 1], Some(Reason::OutsideAddress)),
        ([127, 0, 0, 1], Some(Reason::OutsideAddress)),
        ([192, 0, 2, 1], Some(Reason::ConnectRefused)),
    ] {
        // What one pod was told, another one does not believe.
        let pod = Arc::new(pod_in(&netns));
        assert!(pod.stock.take(SocketKind::Datagram4).await.is_some());
        let (path, asking) = (Arc::clone(&path), Arc::clone(&pod));
        let opened = tokio::spawn(async move {
            let mesh = path.mesh();
            let mut ends = Ends {
                source: Some(asking.as_source(&mesh)),
                ..Ends::default()
            };
            let opened = open(&path, &asking, &mesh, &arrival, &mut ends).await;
            let service = ends
                .service
                .map(|service| service.name.hostname.to_string());
            (opened.map(drop).map_err(|refusal| refusal.reason), service)
        });
        let (sent, from) = resolver.asked().await;
        resolver.says(&answer(&sent, address), from).await;
        let (opened, asked) = opened.await.unwrap();
        assert_eq!(opened.err(), reason, "{address:?}");
        assert_eq!(asked.as_deref(), Some("api.example.com"));
        if reason.is_none() {
            let (mut accepted, from) = listener.accept().await.unwrap();
            assert_eq!(from.ip(), IpAddr::from(address));
            assert_eq!(accepted.read(&mut [0; 1]).await.unwrap(), 0);
        }
    }
}
